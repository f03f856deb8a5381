package nexmark

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/types"
)

// attr is what a column holds.
type attr uint8

const (
	eventType attr = iota
	dateTime
	personID
	personName
	personEmail
	personCard
	personCity
	personState
	personExtra
	auctionID
	auctionItem
	auctionDescription
	auctionInitial
	auctionReserve
	auctionExpires
	auctionSeller
	auctionCategory
	auctionExtra
	bidAuction
	bidBidder
	bidPrice
	bidChannel
	bidURL
	bidExtra
	attrs           // how many there are
	nothing = attrs // of generated columns
)

// names are the columns of the three tables, without underscores: email_address,
// emailAddress and emailaddress are one. A table of all events has them with the
// kind of event in front.
var names = [3]map[string]attr{
	person: {"id": personID, "name": personName, "emailaddress": personEmail, "creditcard": personCard, "city": personCity, "state": personState,
		"datetime": dateTime, "extra": personExtra},
	auction: {"id": auctionID, "itemname": auctionItem, "description": auctionDescription, "initialbid": auctionInitial, "reserve": auctionReserve,
		"datetime": dateTime, "expires": auctionExpires, "seller": auctionSeller, "category": auctionCategory, "extra": auctionExtra},
	bid: {"auction": bidAuction, "bidder": bidBidder, "price": bidPrice, "channel": bidChannel, "url": bidURL, "datetime": dateTime, "extra": bidExtra},
}

var kindNames = [...]string{person: "person", auction: "auction", bid: "bid"}

// column makes the values of one column.
type column struct {
	attr   attr
	typ    types.Type
	of     kind   // of which events; all: of every event
	salt   uint64 // the randomness of event e is mix(salt + e*golden)
	events uint64 // how many its type has room for
}

// columns finds out what is asked for.
func (s *Source) columns(cols []connector.Column) error {
	for _, c := range cols {
		if c.Generated {
			s.cols = append(s.cols, column{attr: nothing, typ: c.Type, of: all, events: maxEvents})
			continue
		}
		a, of, ok := s.lookup(c.Name)
		if !ok {
			return &types.Error{Code: types.CodeUndefinedColumn, Message: fmt.Sprintf("nexmark source has no column %q", c.Name), Hint: "The columns are " + s.known() + "."}
		}
		col := s.column(a, of, c.Type)
		if err := s.fits(&col, c); err != nil {
			return err
		}
		s.cols = append(s.cols, col)
		if a == bidURL && s.text.urls == nil {
			s.text.makeURLs()
		}
	}
	return nil
}

func (s *Source) lookup(name string) (a attr, of kind, ok bool) {
	name = strings.ToLower(strings.ReplaceAll(name, "_", ""))
	if s.kind != all {
		a, ok = names[s.kind][name]
		return a, all, ok // every row has it
	}
	switch name {
	case "eventtype":
		return eventType, all, true
	case "datetime":
		return dateTime, all, true
	}
	for k, kindName := range kindNames {
		if rest, is := strings.CutPrefix(name, kindName); is {
			if a, ok = names[k][rest]; ok {
				return a, kind(k), true
			}
		}
	}
	return 0, 0, false
}

// known lists the columns there are.
func (s *Source) known() string {
	table := [...]string{
		person:  "id, name, email_address, credit_card, city, state, date_time, extra",
		auction: "id, item_name, description, initial_bid, reserve, date_time, expires, seller, category, extra",
		bid:     "auction, bidder, price, channel, url, date_time, extra",
	}
	if s.kind != all {
		return table[s.kind]
	}
	out := "event_type, date_time"
	for k, list := range table {
		for _, n := range strings.Split(list, ", ") {
			out += ", " + kindNames[k] + "_" + n
		}
	}
	return out
}

func (s *Source) column(a attr, of kind, t types.Type) column {
	return column{attr: a, typ: t, of: of, salt: salt(s.seed, a), events: maxEvents}
}

// fits checks the column's type and how many events it has room for.
func (s *Source) fits(col *column, c connector.Column) error {
	bad := func(want string) error {
		return &types.Error{Code: types.CodeDatatypeMismatch, Message: fmt.Sprintf("nexmark column %q cannot be of type %s: want %s", c.Name, c.Type, want)}
	}
	if c.NotNull && col.of != all {
		return &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("nexmark column %q is NULL for events of another kind and cannot be NOT NULL", c.Name)}
	}
	switch a := col.attr; {
	case a == dateTime || a == auctionExpires:
		if k := c.Type.Kind; k != types.Timestamp && k != types.TimestampTZ || c.Type.Mod > 0 && !holdsMillis(c.Type) {
			return bad("a timestamp that holds milliseconds")
		}
	case s.text.maxLen(a) > 0:
		if !types.IsString(c.Type.Kind) || c.Type.Kind == types.Char || c.Type.Kind == types.Name {
			return bad("text")
		}
		if n := int(c.Type.Mod) - 4; c.Type.Kind == types.Varchar && c.Type.Mod > 0 && n < s.text.maxLen(a) {
			return bad(fmt.Sprintf("text of up to %d characters", s.text.maxLen(a)))
		}
	case a == eventType && types.IsInteger(c.Type.Kind):
	case c.Type.Kind == types.Int4:
		col.events = s.room(a)
		if col.events == 0 {
			return bad("bigint")
		}
	case c.Type.Kind != types.Int8:
		return bad("bigint or integer")
	}
	return nil
}

// holdsMillis reports whether a timestamp with a precision keeps milliseconds.
func holdsMillis(t types.Type) bool { return t.Mod-1 >= 3 }

// room returns how many events there may be until an integer is too small for a.
func (s *Source) room(a attr) uint64 {
	const most = uint64(math.MaxInt32)
	var first, each uint64
	switch a {
	case personID, auctionSeller, bidBidder:
		first, each = uint64(s.firstPerson)+s.personLead+1, s.people
	case auctionID, bidAuction:
		first, each = uint64(s.firstAuction)+s.auctionLead+1, s.auctions
	case auctionCategory:
		if uint64(s.firstCategory)+s.categories > most {
			return 0
		}
		return maxEvents
	default:
		return maxEvents
	}
	if first+each > most {
		return 0
	}
	return (most - first - each) / each * s.total()
}

// append appends the values of chunk c as rows n and up of dst.
func (g *column) append(s *Source, c *chunk, dst *batch.Column, n int) {
	if g.attr == nothing {
		for i := range c.n {
			dst.AppendNull(n + i)
		}
		return
	}
	if g.of == all {
		g.fill(s, c, 0, c.n, dst)
		return
	}
	for lo := 0; lo < c.n; { // runs of one kind
		hi := lo + 1
		for hi < c.n && (c.kind[hi] == g.of) == (c.kind[lo] == g.of) {
			hi++
		}
		if c.kind[lo] == g.of {
			g.fill(s, c, lo, hi, dst)
			if dst.Valid != nil {
				grow(dst, n+hi)
				for i := lo; i < hi; i++ {
					dst.Valid.Set(n + i)
				}
			}
		} else {
			for i := lo; i < hi; i++ {
				dst.AppendNull(n + i)
			}
		}
		lo = hi
	}
}

// grow makes room for the validity of n rows.
func grow(dst *batch.Column, n int) {
	for len(dst.Valid) < (n+63)>>6 {
		dst.Valid = append(dst.Valid, 0)
	}
}

// fill appends the values of rows [lo, hi) of c.
func (g *column) fill(s *Source, c *chunk, lo, hi int, dst *batch.Column) {
	if dst.Type.Layout() == types.LayoutStr {
		g.texts(s, c, lo, hi, dst)
		return
	}
	have := len(dst.I64)
	dst.I64 = slices.Grow(dst.I64, hi-lo)[:have+hi-lo]
	out := dst.I64[have:]
	ev := c.event[lo:hi]
	out = out[:len(ev)]
	switch g.attr {
	case eventType:
		for i := range out {
			out[i] = int64(c.kind[lo+i])
		}
	case dateTime:
		s.times(ev, out)
	case auctionExpires:
		ahead := s.inFlight * s.total() / s.auctions
		for i, e := range ev {
			now := s.millis(e)
			length, _ := draw(g.random(e), uint64(max(2*(s.millis(e+ahead)-now), 1)))
			out[i] = (now + 1 + int64(length)) * 1000
		}
	case personID:
		for i, p := range c.person[lo:hi] {
			out[i] = s.firstPerson + int64(p)
		}
	case auctionID:
		for i, a := range c.auction[lo:hi] {
			out[i] = s.firstAuction + int64(a)
		}
	case auctionSeller:
		g.people(s, ev, c.person[lo:hi], s.hotSeller, s.sellerBatch, 0, out)
	case bidBidder: // the second of each batch, so that hot bidders are not hot sellers
		g.people(s, ev, c.person[lo:hi], s.hotBidder, s.bidderBatch, 1, out)
	case bidAuction:
		g.auctions(s, ev, c.auction[lo:hi], out)
	case auctionCategory:
		for i, e := range ev {
			k, _ := draw(g.random(e), s.categories)
			out[i] = s.firstCategory + int64(k)
		}
	case auctionInitial, bidPrice:
		for i, e := range ev {
			out[i] = price(g.random(e))
		}
	case auctionReserve:
		initial := s.column(auctionInitial, all, g.typ)
		for i, e := range ev {
			out[i] = price(initial.random(e)) + price(g.random(e))
		}
	}
}

// salt returns what makes the values of a different from those of other columns.
func salt(seed uint64, a attr) uint64 { return mix(mix(seed) + (uint64(a)+1)*golden) }

func (g *column) random(e uint64) uint64 { return mix(g.salt + e*golden) }

// times computes the event time of each event, in microseconds, with a division only
// where events do not follow one another.
func (s *Source) times(ev []uint64, out []int64) {
	const near = 1 << 20
	prev, ms, rest := uint64(0), uint64(0), uint64(0)
	for i, e := range ev {
		if i > 0 && e-prev < near { // also false if e is before prev
			if rest += (e - prev) * 1000; rest >= s.rate {
				ms += rest / s.rate
				rest %= s.rate
			}
		} else {
			ms = uint64(s.millis(e) - s.base)
			rest = e*1000 - ms*s.rate
		}
		prev = e
		out[i] = (s.base + int64(ms)) * 1000
	}
}

// people draws ids of people: the nth of the last batch, but once in ratio one of
// those who are active, or will be shortly.
func (g *column) people(s *Source, ev, last []uint64, ratio, batch, nth uint64, out []int64) {
	seen, hot := uint64(math.MaxUint64), uint64(0)
	for i, e := range ev {
		p := last[i]
		if p != seen {
			seen, hot = p, p/batch*batch+nth
		}
		which, r := draw(g.random(e), ratio)
		id := hot
		if which == 0 {
			active := min(p+1, s.activePeople)
			id, _ = draw(r, active+s.personLead)
			id += p + 1 - active
		}
		out[i] = s.firstPerson + int64(id)
	}
}

// auctions draws ids of auctions: the first of the last batch, but once in
// hotAuction one of those in flight, or shortly to come.
func (g *column) auctions(s *Source, ev, last []uint64, out []int64) {
	seen, hot := uint64(math.MaxUint64), uint64(0)
	for i, e := range ev {
		a := last[i]
		if a != seen {
			seen, hot = a, a/s.auctionBatch*s.auctionBatch
		}
		which, r := draw(g.random(e), s.hotAuction)
		id := hot
		if which == 0 {
			first := a - min(a, s.inFlight)
			id, _ = draw(r, a-first+1+s.auctionLead)
			id += first
		}
		out[i] = s.firstAuction + int64(id)
	}
}
