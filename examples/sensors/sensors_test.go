package sensors_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/examples/exampletest"
	"github.com/tidemill/tidemill/examples/sensors"
)

// quake is what the test knows of a row.
type quake struct {
	at  time.Time
	mag float64
	net string
}

// read returns the quakes of the file that are not late, in the order of the file,
// how many are late, and the watermark at its end: two days behind the latest.
func read(t *testing.T) (in []quake, late int, watermark time.Time) {
	t.Helper()
	gz, err := gzip.NewReader(bytes.NewReader(sensors.Data))
	if err != nil {
		t.Fatal(err)
	}
	all, err := csv.NewReader(gz).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range all[1:] {
		at, err := time.Parse("2006-01-02 15:04:05.000", rec[1])
		if err != nil {
			t.Fatal(err)
		}
		mag, err := strconv.ParseFloat(rec[3], 64)
		if err != nil {
			t.Fatal(err)
		}
		if at.Before(watermark) {
			late++
			continue
		}
		if w := at.Add(-48 * time.Hour); w.After(watermark) {
			watermark = w
		}
		in = append(in, quake{at, mag, rec[7]})
	}
	return in, late, watermark
}

// byNet are the quakes of each network in the order of time.
func byNet(in []quake) map[string][]quake {
	out := map[string][]quake{}
	for _, q := range in {
		out[q.net] = append(out[q.net], q)
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b quake) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.mag, b.mag)) })
	}
	return out
}

// The views are what the same questions, put to the file in Go, give.
func TestAnswers(t *testing.T) {
	in, late, watermark := read(t)
	db, err := tidemill.Open(t.Context(), tidemill.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(t.Context(), strings.ReplaceAll(sensors.SQL, "examples/sensors/", "")); err != nil {
		t.Fatal(err)
	}
	await(t, db, fmt.Sprintf(`SELECT (SELECT count(*) FROM quakes) = %d AND (SELECT count(*) FROM tidemill.quarantine WHERE source = 'quakes') = %d`, len(in), late))

	exampletest.Expect(t, db, `SELECT hour, quakes, strongest FROM hourly`, hourly(in))
	exampletest.Expect(t, db, `SELECT net, window_start, window_end, quakes, strongest FROM bursts`, bursts(in, watermark))
	exampletest.Expect(t, db, `SELECT net, silent_from, silent_to FROM silences`, silences(in))
	exampletest.Expect(t, db, `SELECT net, began, ended, quakes, from_mag, to_mag FROM alerts`, alerts(in, watermark))
}

func hourly(in []quake) []string {
	type sum struct {
		n    int
		most float64
	}
	sums := map[time.Time]*sum{}
	for _, q := range in {
		h := q.at.Truncate(time.Hour)
		if sums[h] == nil {
			sums[h] = &sum{most: q.mag}
		}
		sums[h].n++
		sums[h].most = max(sums[h].most, q.mag)
	}
	var out []string
	for h, s := range sums {
		out = append(out, fmt.Sprintf("%s|%d|%v", exampletest.Stamp(h), s.n, s.most))
	}
	return out
}

// bursts are sessions with a gap of half an hour that ended before the watermark.
func bursts(in []quake, watermark time.Time) []string {
	const gap = 30 * time.Minute
	var out []string
	for net, list := range byNet(in) {
		for from := 0; from < len(list); {
			to := from + 1
			most := list[from].mag
			for ; to < len(list) && list[to].at.Sub(list[to-1].at) < gap; to++ {
				most = max(most, list[to].mag)
			}
			if end := list[to-1].at.Add(gap); !end.After(watermark) {
				out = append(out, fmt.Sprintf("%s|%s|%s|%d|%v", net, exampletest.Stamp(list[from].at), exampletest.Stamp(end), to-from, most))
			}
			from = to
		}
	}
	return out
}

func silences(in []quake) []string {
	var out []string
	for net, list := range byNet(in) {
		for i := 1; i < len(list); i++ {
			if list[i].at.Sub(list[i-1].at) > 12*time.Hour {
				out = append(out, fmt.Sprintf("%s|%s|%s", net, exampletest.Stamp(list[i-1].at), exampletest.Stamp(list[i].at)))
			}
		}
	}
	return out
}

// alerts are the longest runs of rising magnitude within half an hour, of three
// quakes at least, one after the other, that the watermark has left behind.
func alerts(in []quake, watermark time.Time) []string {
	const within = 30 * time.Minute
	var out []string
	for net, list := range byNet(in) {
		n := 0
		for n < len(list) && list[n].at.Before(watermark) {
			n++ // what is above the watermark has no certain place yet
		}
		for from := 0; from < n; {
			to := from + 1
			for to < n && list[to].mag > list[to-1].mag && list[to].at.Sub(list[from].at) <= within {
				to++
			}
			switch decided := to < n || watermark.Sub(list[from].at) > within; {
			case to-from < 3:
				from++
			case decided:
				out = append(out, fmt.Sprintf("%s|%s|%s|%d|%v|%v", net, exampletest.Stamp(list[from].at), exampletest.Stamp(list[to-1].at), to-from, list[from].mag, list[to-1].mag))
				from = to
			default:
				from = n
			}
		}
	}
	return out
}

// await waits until a query gives true.
func await(t *testing.T, db *tidemill.DB, query string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		if got := exampletest.Ask(t, db, query); len(got) == 1 && got[0] == "true" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not true after 30 s: %s", query)
		}
		if _, err := db.Exec(t.Context(), "FLUSH"); err != nil {
			t.Fatal(err)
		}
	}
}
