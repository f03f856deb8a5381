package nexmark

import (
	"math"
	"strings"

	"github.com/tidemill/tidemill/internal/connector"
)

// Bounds of the options.
const (
	maxProportion = 1_000_000 // of each kind of event
	maxIDs        = 1 << 40   // of options that count or name people and auctions
	maxRate       = 1_000_000_000
	maxBytes      = 1 << 16 // of the average size of an event
	maxGapNanos   = int64(3600) * 1_000_000_000
	maxWords      = 10_000 // of a list of cities and the like
	// maxEvents keeps every number that follows from an event's within 64 bits.
	maxEvents = 1 << 50
	// maxPeriod bounds the events after which the order of arrival repeats.
	maxPeriod = 1 << 22
	// epochMillis is 2000-01-01, from which timestamps count, in milliseconds since 1970.
	epochMillis = 946_684_800_000
	// defaultBaseMillis is 2015-07-15, where event time begins.
	defaultBaseMillis = 1_436_918_400_000
	// maxBaseMillis keeps event time within what a timestamp holds.
	maxBaseMillis = int64(1) << 47
)

// shuffler is the factor by which the specification scatters the events of a group.
const shuffler = 953

// config is the specification's parameters.
type config struct {
	kind     kind   // whose table it is; all for one source with all three
	events   uint64 // how many there are, of all kinds
	gapNanos uint64 // time between the arrivals of two events; 0: all are there at once
	rate     uint64 // events a second of event time
	base     int64  // event time of event 0, milliseconds since 2000
	group    uint64 // events of a group that come out of order
	seed     uint64

	people, auctions, bids uint64 // proportions
	activePeople           uint64
	inFlight               uint64
	personLead             uint64
	auctionLead            uint64
	categories             uint64
	firstPerson            int64
	firstAuction           int64
	firstCategory          int64
	personBytes            int
	auctionBytes           int
	bidBytes               int
	hotSeller              uint64 // 1 in hotSeller auctions is not of a hot seller
	hotAuction             uint64
	hotBidder              uint64
	hotChannel             uint64
	sellerBatch            uint64 // one in sellerBatch people is a hot seller
	auctionBatch           uint64
	bidderBatch            uint64
	firstNames, lastNames  []string
	cities, states         []string
}

func (c *config) total() uint64 { return c.people + c.auctions + c.bids }

// options reads options under RisingWave's names, and those there are under the
// names of Flink's suite.
type options struct{ *connector.Options }

// name returns the one of names that is given, or the first.
func (o options) name(names ...string) string {
	found := ""
	for _, n := range names {
		switch {
		case !o.Has(n):
		case found == "":
			found = n
		default:
			o.Failf("", "options %q and %q mean the same", found, n)
		}
	}
	if found == "" {
		return names[0]
	}
	return found
}

func (o options) count(def, lo, hi int64, names ...string) uint64 {
	return uint64(o.Int(o.name(names...), def, lo, hi))
}

// words reads a list of words with commas between them.
func (o options) words(name, def string) []string {
	ws := strings.Split(o.Str(name, def), ",")
	if len(ws) > maxWords {
		o.Failf("", "option %q has %d words, more than %d", name, len(ws), maxWords)
	}
	for _, w := range ws {
		if w == "" {
			o.Bad(name, o.Str(name, def), "words with commas between them")
			break
		}
	}
	return ws
}

// unsupported are options of RisingWave that would change what is generated, with
// what to do instead.
var unsupported = []struct{ name, hint string }{
	{"nexmark.split.num", "Leave it out: one source gives all rows, and views are computed by all workers."},
	{"nexmark.max.chunk.size", "Leave it out: the size of blocks has no effect on answers."},
	{"nexmark.use.real.time", "Event time follows nexmark.first.event.rate and nexmark.base.time, so that the rows can be generated again."},
	{"nexmark.next.event.rate", "The rate of event time does not change: use nexmark.first.event.rate."},
	{"nexmark.rate.shape", "The rate of event time does not change: use nexmark.first.event.rate."},
	{"nexmark.threads", "Leave it out: one source gives all rows."},
}

func (o options) config() config {
	for _, u := range unsupported {
		if o.Has(u.name) {
			o.Failf(u.hint, "option %q is not supported by the nexmark source", u.name)
		}
	}
	c := config{
		events:        o.count(maxEvents, 0, maxEvents, "nexmark.event.num", "events.num"),
		gapNanos:      o.count(100_000, 0, maxGapNanos, "nexmark.min.event.gap.in.ns"),
		rate:          o.count(10_000, 1, maxRate, "nexmark.first.event.rate", "nexmark.events.per.sec", "first-event.rate"),
		base:          o.Int("nexmark.base.time", defaultBaseMillis, -maxBaseMillis, maxBaseMillis) - epochMillis,
		group:         o.count(1, 1, maxPeriod, "nexmark.out.of.order.group.size"),
		seed:          uint64(o.Int("nexmark.seed", 0, math.MinInt64, math.MaxInt64)),
		people:        o.count(1, 1, maxProportion, "nexmark.person.proportion", "person.proportion"),
		auctions:      o.count(3, 1, maxProportion, "nexmark.auction.proportion", "auction.proportion"),
		bids:          o.count(46, 1, maxProportion, "nexmark.bid.proportion", "bid.proportion"),
		activePeople:  o.count(1000, 1, maxIDs, "nexmark.active.people"),
		inFlight:      o.count(100, 1, maxIDs, "nexmark.in.flight.auctions"),
		personLead:    o.count(10, 0, maxIDs, "nexmark.person.id.lead"),
		auctionLead:   o.count(10, 0, maxIDs, "nexmark.auction.id.lead"),
		categories:    o.count(5, 1, maxIDs, "nexmark.num.categories"),
		firstPerson:   int64(o.count(1000, 0, maxIDs, "nexmark.first.person.id")),
		firstAuction:  int64(o.count(1000, 0, maxIDs, "nexmark.first.auction.id")),
		firstCategory: int64(o.count(10, 0, maxIDs, "nexmark.first.category.id")),
		personBytes:   int(o.count(200, 0, maxBytes, "nexmark.avg.person.byte.size", "person.avg-size")),
		auctionBytes:  int(o.count(500, 0, maxBytes, "nexmark.avg.auction.byte.size", "auction.avg-size")),
		bidBytes:      int(o.count(100, 0, maxBytes, "nexmark.avg.bid.byte.size", "bid.avg-size")),
		hotSeller:     o.count(4, 1, maxIDs, "nexmark.hot.seller.ratio", "auction.hot-ratio.sellers"),
		hotAuction:    o.count(2, 1, maxIDs, "nexmark.hot.auction.ratio", "bid.hot-ratio.auctions"),
		hotBidder:     o.count(4, 1, maxIDs, "nexmark.hot.bidder.ratio", "bid.hot-ratio.bidders"),
		hotChannel:    o.count(2, 1, maxIDs, "nexmark.hot.channel.ratio"),
		sellerBatch:   o.count(100, 1, maxIDs, "nexmark.hot.seller.ratio.2"),
		auctionBatch:  o.count(100, 1, maxIDs, "nexmark.hot.auction.ratio.2"),
		bidderBatch:   o.count(100, 1, maxIDs, "nexmark.hot.bidder.ratio.2"),
		firstNames:    o.words("nexmark.first.names", "Peter,Paul,Luke,John,Saul,Vicky,Kate,Julie,Sarah,Deiter,Walter"),
		lastNames:     o.words("nexmark.last.names", "Shultz,Abrams,Spencer,White,Bartels,Walton,Smith,Jones,Noris"),
		cities:        o.words("nexmark.us.cities", "Phoenix,Los Angeles,San Francisco,Boise,Portland,Bend,Redmond,Seattle,Kent,Cheyenne"),
		states:        o.words("nexmark.us.states", "AZ,CA,ID,OR,WA,WY"),
	}
	c.kind = map[string]kind{"": all, "person": person, "auction": auction, "bid": bid}[o.Word("nexmark.table.type", "", "person", "auction", "bid")]
	if c.group%shuffler == 0 { // else the scattering is a permutation: shuffler is prime
		o.Bad("nexmark.out.of.order.group.size", o.Str("nexmark.out.of.order.group.size", ""), "no multiple of 953")
	}
	if p := c.period(); p > maxPeriod {
		o.Failf("Take a group size that divides, or is a multiple of, the sum of the proportions.",
			"the order of arrival repeats after %d events, more than %d", p, maxPeriod)
	}
	return c
}

// period returns after how many events the order of arrival repeats itself: the
// least common multiple of the proportions' sum and the group size.
func (c *config) period() uint64 {
	a, b := c.total(), c.group
	for b != 0 {
		a, b = b, a%b
	}
	return c.total() / a * c.group
}
