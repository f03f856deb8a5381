package nexmark

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/connector/conntest"
	"github.com/tidemill/tidemill/internal/types"
)

var (
	bigint = types.T(types.Int8)
	varch  = types.T(types.Varchar)
	stamp  = types.T(types.Timestamp)
)

func cols(list string) []connector.Column {
	var out []connector.Column
	for _, n := range strings.Fields(list) {
		c := connector.Column{Name: n, Type: varch}
		base := n
		for _, k := range kindNames {
			base = strings.TrimPrefix(base, k+"_")
		}
		switch base {
		case "id", "seller", "category", "reserve", "initial_bid", "auction", "bidder", "price", "event_type":
			c.Type = bigint
		case "date_time", "expires":
			c.Type = stamp
		}
		out = append(out, c)
	}
	return out
}

const (
	personCols  = "id name email_address credit_card city state date_time extra"
	auctionCols = "id item_name description initial_bid reserve date_time expires seller category extra"
	bidCols     = "auction bidder price channel url date_time extra"
)

// allCols are the columns of a source with all events.
func allCols() string {
	out := []string{"event_type", "date_time"}
	for k, list := range []string{personCols, auctionCols, bidCols} {
		for _, n := range strings.Fields(list) {
			out = append(out, kindNames[k]+"_"+n)
		}
	}
	return strings.Join(out, " ")
}

func source(t testing.TB, columns, options string) *Source {
	t.Helper()
	s, err := New(connector.Config{Name: "n", Columns: cols(columns), Options: opts(options)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// opts reads "a=b c=d", names without nexmark.
func opts(text string) map[string]string {
	m := map[string]string{}
	for _, f := range strings.Fields(text) {
		n, v, _ := strings.Cut(f, "=")
		m["nexmark."+n] = v
	}
	return m
}

func read(t testing.TB, s *Source, from, to uint64) *batch.Batch {
	t.Helper()
	var ts []types.Type
	for _, c := range s.cols {
		ts = append(ts, c.typ)
	}
	bu := batch.NewBuilder(ts)
	if err := s.Read(from, to, bu); err != nil {
		t.Fatal(err)
	}
	if b := bu.View(); b.N != int(to-from) {
		t.Fatalf("%d rows of [%d, %d)", b.N, from, to)
	}
	return bu.Seal()
}

func ints(b *batch.Batch, c int) []int64 { return b.Cols[c].I64 }

// TestRowsAreForever: what a position holds may never change, since logs name
// ranges of positions and nothing else.
func TestRowsAreForever(t *testing.T) {
	for _, c := range []struct{ columns, options, first, digest string }{
		{personCols, "table.type=person", "1000|Luke Bartels|iaf@mxg.com|0035 3303 5363 3904|Bend|AZ|2015-07-15 00:00:00|", "{13038558925633246087 13818420435488407799}"},
		{auctionCols, "table.type=Auction", "1000|qpjrtktfvyxqusibq|bkxawcoffhp|4027475|5181998|2015-07-15 00:00:00|2015-07-15 00:00:00.155|1003|11|", "{5156107595653976395 9233825663607300861}"},
		{bidCols, "table.type=Bid seed=7", "1000|1009|2947|channel-536|https://www.nexmark.com/tdu/jyxb/dil/item.htm?query=1&channel_id=406847488|2015-07-15 00:00:00|", "{960502429936065299 1364204712564094284}"},
		{allCols(), "out.of.order.group.size=100", "0|2015-07-15 00:00:00|1000|Luke Bartels|iaf@mxg.com|", "{9840597818166415318 10442100106212849157}"},
	} {
		b := read(t, source(t, c.columns, c.options), 0, 5000)
		if first := conntest.Text(b)[0]; !strings.HasPrefix(first, c.first) {
			t.Errorf("%s: first row %q", c.options, first)
		}
		if d := fmt.Sprint(batch.DigestOf(b)); d != c.digest {
			t.Errorf("%s: digest %s", c.options, d)
		}
	}
}

// TestAnyRange: rows do not depend on how they are asked for.
func TestAnyRange(t *testing.T) {
	for _, o := range []string{"", "table.type=bid", "table.type=person out.of.order.group.size=7", "out.of.order.group.size=1000", "person.proportion=5 auction.proportion=7 bid.proportion=4"} {
		columns := map[bool]string{true: allCols(), false: bidCols}[!strings.Contains(o, "table")]
		if strings.Contains(o, "person out") {
			columns = personCols
		}
		s := source(t, columns, o)
		whole := conntest.Text(read(t, s, 0, 3000))
		for _, at := range []uint64{0, 1, 45, 46, 255, 256, 257, 999, 2048} {
			for _, n := range []uint64{0, 1, 2, 50, 300, 900} {
				if got := conntest.Text(read(t, s, at, at+n)); !slices.Equal(got, whole[at:at+n]) {
					t.Fatalf("%q: rows [%d, %d) are not those of the whole", o, at, at+n)
				}
			}
		}
		other := conntest.Text(read(t, source(t, columns, o+" seed=1"), 0, 3000))
		same := 0
		for i := range whole {
			if whole[i] == other[i] {
				same++
			}
		}
		if same > 0 {
			t.Errorf("%q: %d rows of two seeds are the same", o, same)
		}
	}
}

// TestThreeTablesAreOne: the source of one kind gives what the source of all gives
// of that kind, in the same order, also when columns are left out.
func TestThreeTablesAreOne(t *testing.T) {
	for _, o := range []string{"", "out.of.order.group.size=30", "seed=3 person.proportion=2 auction.proportion=2 bid.proportion=3"} {
		s := source(t, allCols(), o)
		every := read(t, s, 0, 4000)
		at := 2
		for k, list := range []string{personCols, auctionCols, bidCols} {
			names := strings.Fields(list)
			var want []string
			for i := range every.N {
				if kind(every.Cols[0].I64[i]) != kind(k) {
					if !every.Cols[at].Null(i) {
						t.Fatalf("row %d is no %s and has one's columns", i, kindNames[k])
					}
					continue
				}
				row := &batch.Batch{Cols: slices.Clone(every.Cols[at : at+len(names)]), N: every.N, Sel: []uint32{uint32(i)}}
				for c := range names {
					if names[c] == "date_time" {
						row.Cols[c] = every.Cols[1]
					}
				}
				want = append(want, conntest.Text(row)...)
			}
			at += len(names)
			one := source(t, list, o+" table.type="+kindNames[k])
			if n := one.RowsBefore(4000); n != uint64(len(want)) {
				t.Fatalf("%q: %d rows of %s among the first 4000 events, want %d", o, n, kindNames[k], len(want))
			}
			if got := conntest.Text(read(t, one, 0, uint64(len(want)))); !slices.Equal(got, want) {
				t.Errorf("%q: rows of %s differ", o, kindNames[k])
			}
			part := source(t, names[2]+" "+names[0], o+" table.type="+kindNames[k])
			for i, row := range conntest.Text(read(t, part, 0, uint64(min(500, len(want))))) {
				f := strings.Split(want[i], "|")
				if row != f[2]+"|"+f[0] {
					t.Fatalf("%q: row %d of two columns is %q", o, i, row)
				}
			}
		}
	}
}

// TestSpecification holds the rows against the rules, written down anew.
func TestSpecification(t *testing.T) {
	const events = 200_000
	s := source(t, "event_type date_time person_id auction_id auction_seller auction_category auction_expires auction_initial_bid auction_reserve bid_auction bid_bidder bid_price", "")
	b := read(t, s, 0, events)
	people, auctions := int64(0), int64(0) // so far
	counts := map[int64]int{}
	hotAuctions, hotBidders, hotSellers, halves := 0, 0, 0, 0
	var lengths float64
	for i := range b.N {
		col := func(c int) int64 { return ints(b, c)[i] }
		counts[col(0)]++
		if want := (defaultBaseMillis - epochMillis + int64(i)/10) * 1000; col(1) != want {
			t.Fatalf("event %d at %d, want %d", i, col(1), want)
		}
		switch kind(col(0)) {
		case person:
			if col(2) != 1000+people {
				t.Fatalf("event %d: person %d", i, col(2))
			}
			people++
		case auction:
			if col(3) != 1000+auctions {
				t.Fatalf("event %d: auction %d", i, col(3))
			}
			auctions++
			hotSellers += check(t, i, "seller", col(4)-1000, (people-1)/100*100, people-min(people, 1000), people+10)
			if c := col(5); c < 10 || c > 14 {
				t.Fatalf("event %d: category %d", i, c)
			}
			length := col(6) - col(1)
			lengths += float64(length) / 1000
			// 100 auctions are 1666 events, which take 166 ms.
			if length <= 0 || length > (2*167+1)*1000 || length%1000 != 0 {
				t.Fatalf("event %d: expires after %d", i, length)
			}
			if col(8) < col(7)+100 {
				t.Fatalf("event %d: reserve %d, first bid %d", i, col(8), col(7))
			}
		case bid:
			hotAuctions += check(t, i, "auction", col(9)-1000, (auctions-1)/100*100, max(auctions-1-100, 0), auctions+10)
			hotBidders += check(t, i, "bidder", col(10)-1000, (people-1)/100*100+1, people-min(people, 1000), people+10)
			if p := col(11); p < 100 || p > 100_000_000 {
				t.Fatalf("event %d: price %d", i, p)
			} else if p < 100_000 { // 10^3 dollars: half way
				halves++
			}
		}
	}
	if counts[0] != events/50 || counts[1] != 3*events/50 || counts[2] != 46*events/50 {
		t.Errorf("kinds: %v", counts)
	}
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > 0.02*want {
			t.Errorf("%s: %.4f, want about %.4f", what, got, want)
		}
	}
	near("hot auctions", float64(hotAuctions)/float64(counts[2]), 0.5+0.5/111)
	near("hot bidders", float64(hotBidders)/float64(counts[2]), 0.75)
	near("hot sellers", float64(hotSellers)/float64(counts[1]), 0.75)
	near("prices below 10^3", float64(halves)/float64(counts[2]), 0.5)
	near("mean length of an auction", lengths/float64(counts[1]), 167)
}

// check reports whether an id is the hot one; others must lie from lo to below hi.
func check(t *testing.T, i int, what string, id, hot, lo, hi int64) int {
	t.Helper()
	if id == hot {
		return 1
	}
	if id < lo || id >= hi {
		t.Fatalf("event %d: %s %d, want [%d, %d) or %d", i, what, id, lo, hi, hot)
	}
	return 0
}

func TestPrices(t *testing.T) {
	for _, r := range []uint64{0, 1 << 63, 1<<64 - 1, 1 << 62, 0x123456789abcdef0} {
		u := float64(r>>34) / (1 << 30)
		want := int64(math.Round(math.Pow(10, 6*u) * 100))
		if got := price(r); got < want-1 || got > want+1 {
			t.Errorf("price(%#x) = %d, want %d", r, got, want)
		}
	}
	if price(0) != 100 || price(1<<64-1) >= 100_000_000 {
		t.Errorf("bounds: %d, %d", price(0), price(1<<64-1))
	}
}

func TestTexts(t *testing.T) {
	sizes := map[string]float64{}
	for _, c := range []struct{ kind, columns string }{{"person", personCols}, {"auction", auctionCols}, {"bid", bidCols}} {
		s := source(t, c.columns, "table.type="+c.kind)
		rows := conntest.Text(read(t, s, 0, 20_000))
		names := strings.Fields(c.columns)
		for _, r := range rows {
			f := strings.Split(r, "|")
			size := 0
			for i, n := range names {
				if max := s.text.maxLen(s.cols[i].attr); max > 0 && len(f[i]) > max {
					t.Fatalf("%s.%s %q is longer than %d", c.kind, n, f[i], max)
				}
				switch {
				case s.cols[i].typ != varch:
					size += 8
				case n == "channel" || n == "url": // the specification does not count them
				default:
					size += len(f[i])
				}
				if strings.Trim(f[i], " ") != f[i] {
					t.Fatalf("%s.%s %q is not trimmed", c.kind, n, f[i])
				}
			}
			if c.kind != "bid" {
				size -= 8 // nor the time of a person, nor that of an auction
			}
			sizes[c.kind] += float64(size) / float64(len(rows))
		}
	}
	for k, want := range map[string]float64{"person": 200, "auction": 500, "bid": 100} {
		if math.Abs(sizes[k]-want) > 1 {
			t.Errorf("a %s has %.1f bytes on average, want %.0f", k, sizes[k], want)
		}
	}
	s := source(t, "channel url", "table.type=bid")
	hot, ids := 0, 0
	seen := map[string]string{}
	for _, r := range conntest.Text(read(t, s, 0, 40_000)) {
		channel, url, _ := strings.Cut(r, "|")
		if was, ok := seen[channel]; ok && was != url {
			t.Fatalf("channel %s has URLs %s and %s", channel, was, url)
		}
		seen[channel] = url
		if n := strings.Count(url, "/"); n != 6 || !strings.HasPrefix(url, urlStart) || !strings.Contains(url, "/item.htm?query=1") {
			t.Fatalf("URL %s", url)
		}
		if !strings.HasPrefix(channel, "channel-") {
			hot++
			if strings.Contains(url, "channel_id") {
				t.Fatalf("URL %s of %s", url, channel)
			}
		} else if strings.Contains(url, channelID) {
			ids++
		}
	}
	if hot < 19_500 || hot > 20_500 || ids < 17_600 || ids > 18_400 || seen["channel-1"] == "" {
		t.Errorf("%d bids by hot channels, %d with an id of the others", hot, ids)
	}
	if u := seen["channel-3"]; u != "" && strings.Contains(u, channelID) && !strings.HasSuffix(u, "=1073741824") { // 3 in reverse is -2^30
		t.Errorf("channel-3: %s", u)
	}
}

// TestOutOfOrder: groups come scattered, and hold the same events.
func TestOutOfOrder(t *testing.T) {
	straight := conntest.Text(read(t, source(t, bidCols, "table.type=bid"), 0, 4600))
	s := source(t, bidCols, "table.type=bid out.of.order.group.size=1000")
	scattered := conntest.Text(read(t, s, 0, 4600))
	back := 0
	for i := range scattered {
		if i > 0 && timeOf(scattered[i]) < timeOf(scattered[i-1]) {
			back++
		}
	}
	if back < 100 {
		t.Errorf("time goes back %d times", back)
	}
	for g := 0; g < 4600; g += 920 {
		a, b := slices.Sorted(slices.Values(straight[g:g+920])), slices.Sorted(slices.Values(scattered[g:g+920]))
		if !slices.Equal(a, b) {
			t.Fatalf("group at %d has other rows", g)
		}
	}
}

func timeOf(row string) string { return strings.Split(row, "|")[5] }

func TestAvailable(t *testing.T) {
	s := source(t, bidCols, "table.type=bid event.num=1000 min.event.gap.in.ns=1000000") // an event a millisecond
	if s.Rows() != 920 {
		t.Errorf("%d bids of 1000 events", s.Rows())
	}
	last := uint64(0)
	for now := int64(0); now < 2_000_000; now += 777 {
		n := s.Available(0, now)
		if events := now / 1000; events < 1000 && n != uint64(events/50*46+max(events%50-4, 0)) {
			t.Fatalf("%d bids after %d events", n, events)
		}
		if n < last {
			t.Fatalf("%d after %d", n, last)
		}
		last = n
	}
	if last != 920 || s.Available(5, 5) != 0 || s.Available(math.MinInt64, math.MaxInt64) != 920 {
		t.Errorf("at the end %d", last)
	}
	if n := source(t, bidCols, "table.type=bid event.num=77 min.event.gap.in.ns=0").Available(0, 1); n != 46+23 {
		t.Errorf("without a gap %d", n)
	}
	if err := s.Read(919, 921, batch.NewBuilder(nil)); err == nil {
		t.Error("rows behind the end can be read")
	}
	small := source(t, bidCols, "table.type=bid")
	if n := small.Available(math.MinInt64, math.MaxInt64); n == 0 || n != uint64(math.MaxUint64)/100/50*46+n-uint64(math.MaxUint64)/100/50*46 {
		t.Errorf("whole of time: %d", n)
	}
}

func TestIntegerColumns(t *testing.T) {
	c := []connector.Column{{Name: "auction", Type: types.T(types.Int4)}, {Name: "g", Type: varch, Generated: true}}
	s, err := New(connector.Config{Columns: c, Options: opts("table.type=bid")})
	if err != nil {
		t.Fatal(err)
	}
	last := read(t, s, s.Rows()-1000, s.Rows())
	most := slices.Max(ints(last, 0))
	if most > math.MaxInt32 || most < math.MaxInt32-1000 {
		t.Errorf("the last auction is %d", most)
	}
	if !last.Cols[1].Null(0) {
		t.Error("a generated column has a value")
	}
	_, err = New(connector.Config{Columns: c, Options: opts("table.type=bid event.num=1000000000000")})
	if err == nil || !strings.Contains(err.Error(), `"auction" of type integer is too small`) {
		t.Errorf("many events: %v", err)
	}
}

func TestBadOptions(t *testing.T) {
	for _, c := range []struct{ columns, options, code, want string }{
		{bidCols, "table.type=bids", "22023", `"nexmark.table.type"`},
		{bidCols, "table.type=bid sed=1", "22023", `unknown option "nexmark.sed"`},
		{bidCols, "table.type=bid split.num=4", "22023", `"nexmark.split.num" is not supported`},
		{bidCols, "table.type=bid event.num=-1", "22023", `"-1" for option "nexmark.event.num"`},
		{bidCols, "table.type=bid first.event.rate=0", "22023", "rate"},
		{bidCols, "table.type=bid first.event.rate=1 events.per.sec=1", "22023", "mean the same"},
		{bidCols, "table.type=bid out.of.order.group.size=1906", "22023", "no multiple of 953"},
		{bidCols, "table.type=bid out.of.order.group.size=999999", "22023", "repeats after"},
		{bidCols, "table.type=bid us.states=a,,b", "22023", "nexmark.us.states"},
		{bidCols, "table.type=person", "42703", `no column "auction"`},
		{bidCols, "", "42703", `no column "auction"`},
	} {
		_, err := New(connector.Config{Columns: cols(c.columns), Options: opts(c.options)})
		var sql *types.Error
		if !errors.As(err, &sql) || sql.Code != c.code || !strings.Contains(sql.Message, c.want) {
			t.Errorf("%s: %v", c.options, err)
		}
	}
	for _, c := range []struct {
		kind, name string
		typ        types.Type
		notNull    bool
		want       string
	}{
		{"bid", "price", varch, false, `column "price" cannot be of type character varying`},
		{"bid", "price", types.T(types.Int2), false, "smallint"},
		{"bid", "channel", bigint, false, `column "channel" cannot be of type bigint`},
		{"bid", "channel", types.Type{Kind: types.Varchar, Mod: 4 + 8}, false, "up to 12 characters"},
		{"bid", "dateTime", types.T(types.Date), false, "timestamp"},
		{"bid", "date_time", types.Type{Kind: types.Timestamp, Mod: 1 + 2}, false, "milliseconds"},
		{"", "bid_price", bigint, true, "cannot be NOT NULL"},
	} {
		_, err := New(connector.Config{Columns: []connector.Column{{Name: c.name, Type: c.typ, NotNull: c.notNull}}, Options: opts(map[bool]string{false: "table.type=" + c.kind}[c.kind == ""])})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v", c.name, c.typ, err)
		}
	}
	ok := []connector.Column{{Name: "dateTime", Type: types.Type{Kind: types.Timestamp, Mod: 1 + 3}}, {Name: "itemName", Type: types.Type{Kind: types.Varchar, Mod: 4 + 20}}}
	if _, err := New(connector.Config{Columns: ok, Options: map[string]string{"nexmark.table.type": "Auction", "first-event.rate": "10", "auction.proportion": "2"}}); err != nil {
		t.Errorf("Flink's names: %v", err)
	}
	if _, err := New(connector.Config{Format: "DEBEZIUM"}); err == nil {
		t.Error("a format is taken")
	}
}

// TestNoAllocations: rows cost no allocation.
func TestNoAllocations(t *testing.T) {
	for _, c := range []struct{ columns, options string }{{personCols, "table.type=person"}, {auctionCols, "table.type=auction"}, {bidCols, "table.type=bid"}} {
		s := source(t, c.columns, c.options)
		var ts []types.Type
		for _, col := range s.cols {
			ts = append(ts, col.typ)
		}
		bu := batch.NewBuilder(ts)
		run := func() {
			bu.Reset()
			if err := s.Read(1000, 1000+batch.BlockRows, bu); err != nil {
				t.Fatal(err)
			}
		}
		run()
		run()
		if n := testing.AllocsPerRun(10, run); n > 2 {
			t.Errorf("%s: %.0f allocations a block", c.options, n)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for _, c := range []struct{ name, columns, options string }{
		{"bid", bidCols, "table.type=bid"}, {"bid-numbers", "auction bidder price date_time", "table.type=bid"}, {"bid-q2", "auction price", "table.type=bid"},
		{"auction", auctionCols, "table.type=auction"}, {"person", personCols, "table.type=person"}, {"all", allCols(), ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := source(b, c.columns, c.options)
			var ts []types.Type
			for _, col := range s.cols {
				ts = append(ts, col.typ)
			}
			bu := batch.NewBuilder(ts)
			b.ReportAllocs()
			at := uint64(0)
			for b.Loop() {
				bu.Reset()
				if err := s.Read(at, at+batch.BlockRows, bu); err != nil {
					b.Fatal(err)
				}
				at += batch.BlockRows
			}
			b.ReportMetric(batch.BlockRows*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}
