package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/big"
	"os/exec"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/examples/flights"
)

// demo runs the demo to its end and returns what it prints.
func demo(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(deadline(t), tidemill(t), append([]string{"demo", "--once"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &errs, env()
	if err := cmd.Run(); err != nil {
		t.Fatalf("demo %v: %v\n%s", args, err, &errs)
	}
	return out.String()
}

// TestDemo compares the demo's answers at several speeds with each other and with
// a recomputation from the file.
func TestDemo(t *testing.T) {
	first := demo(t, "--speed", "0", "-o", "json")
	if again := demo(t, "--speed", "0", "-o", "json"); again != first {
		t.Error("two runs gave different answers")
	}
	start := time.Now()
	if slower := demo(t, "--speed", fmt.Sprint(40*86400), "-o", "json"); slower != first {
		t.Error("a run at another speed gave different answers")
	}
	t.Logf("replay of three months at 40 days a second: %v", time.Since(start))

	d := json.NewDecoder(strings.NewReader(first))
	d.UseNumber()
	var doc struct {
		Flights       int
		DelayByOrigin []map[string]any `json:"delay_by_origin"`
		WorstRoutes   []map[string]any `json:"worst_routes"`
		OnTime        []map[string]any `json:"on_time"`
	}
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	if d.More() {
		t.Error("more than one document")
	}
	fs := loadFlights(t)
	if doc.Flights != len(fs) || len(fs) != 20000 {
		t.Errorf("%d flights of %d", doc.Flights, len(fs))
	}
	sameRows(t, "delay_by_origin", doc.DelayByOrigin, delayByOrigin(fs))
	sameRows(t, "worst_routes", doc.WorstRoutes, worstRoutes(fs))
	sameRows(t, "on_time", doc.OnTime, onTime(fs))

	text := demo(t, "--speed", "0")
	for _, part := range []string{"psql -h 127.0.0.1 -p ", "20000 of 20000 flights", "worst routes", doc.WorstRoutes[9]["origin"].(string), "On time"} {
		if !strings.Contains(text, part) {
			t.Errorf("the text is without %q:\n%s", part, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Errorf("control sequences where there is no terminal: %q", text)
	}
}

type flightRow struct {
	at                  time.Time
	delay               int64
	origin, destination string
}

func loadFlights(t *testing.T) []flightRow {
	gz, err := gzip.NewReader(bytes.NewReader(flights.Data))
	if err != nil {
		t.Fatal(err)
	}
	recs, err := csv.NewReader(gz).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []flightRow
	for _, r := range recs[1:] {
		f := flightRow{origin: r[3], destination: r[4]}
		if f.at, err = time.Parse(time.DateTime, r[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(r[1], &f.delay); err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

// group is the sums of some flights.
type group struct{ n, sum, most, onTime int64 }

func groups(fs []flightRow, keys func(flightRow) []string) map[string]*group {
	out := map[string]*group{}
	for _, f := range fs {
		for _, k := range keys(f) {
			g := out[k]
			if g == nil {
				g = &group{most: f.delay}
				out[k] = g
			}
			g.n++
			g.sum += f.delay
			g.most = max(g.most, f.delay)
			if f.delay <= 15 {
				g.onTime++
			}
		}
	}
	return out
}

// ratio prints a/b rounded to one digit, half away from zero, as SQL's round does.
func ratio(a, b int64) string { return big.NewRat(a, b).FloatString(1) }

func delayByOrigin(fs []flightRow) []string {
	var out []string
	for k, g := range groups(fs, func(f flightRow) []string {
		var ks []string
		for h := range 6 {
			start := f.at.Truncate(time.Hour).Add(-time.Duration(h) * time.Hour)
			ks = append(ks, f.origin+"|"+start.Format(time.DateTime)+"|"+start.Add(6*time.Hour).Format(time.DateTime))
		}
		return ks
	}) {
		p := strings.Split(k, "|")
		out = append(out, fmt.Sprintf("avg_delay=%s flights=%d origin=%s window_end=%s window_start=%s worst_delay=%d", ratio(g.sum, g.n), g.n, p[0], p[2], p[1], g.most))
	}
	return out
}

func worstRoutes(fs []flightRow) []string {
	type route struct {
		key string
		*group
	}
	var all []route
	for k, g := range groups(fs, func(f flightRow) []string { return []string{f.origin + "|" + f.destination} }) {
		if g.n >= 10 {
			all = append(all, route{k, g})
		}
	}
	tenths := func(g *group) *big.Rat {
		r, _ := new(big.Rat).SetString(ratio(g.sum, g.n))
		return r
	}
	sort.Slice(all, func(i, j int) bool {
		if c := tenths(all[i].group).Cmp(tenths(all[j].group)); c != 0 {
			return c > 0
		}
		return all[i].key < all[j].key
	})
	var out []string
	for _, r := range all[:10] {
		o, d, _ := strings.Cut(r.key, "|")
		out = append(out, fmt.Sprintf("avg_delay=%s destination=%s flights=%d origin=%s", ratio(r.sum, r.n), d, r.n, o))
	}
	return out
}

func onTime(fs []flightRow) []string {
	var out []string
	for k, g := range groups(fs, func(f flightRow) []string { return []string{f.origin} }) {
		out = append(out, fmt.Sprintf("flights=%d on_time_pct=%s origin=%s", g.n, ratio(100*g.onTime, g.n), k))
	}
	return out
}

// sameRows compares rows of JSON with rows written "name=value ...", in any order.
func sameRows(t *testing.T, what string, got []map[string]any, wanted []string) {
	t.Helper()
	var have []string
	for _, r := range got {
		var cells []string
		for k, v := range r {
			cells = append(cells, fmt.Sprintf("%s=%v", k, v))
		}
		sort.Strings(cells)
		have = append(have, strings.Join(cells, " "))
	}
	sort.Strings(have)
	sort.Strings(wanted)
	if len(have) != len(wanted) {
		t.Errorf("%s: %d rows, want %d", what, len(have), len(wanted))
	}
	bad := 0
	for i := range min(len(have), len(wanted)) {
		if have[i] != wanted[i] {
			if bad++; bad < 5 {
				t.Errorf("%s:\ngot  %s\nwant %s", what, have[i], wanted[i])
			}
		}
	}
	if bad > 0 {
		t.Errorf("%s: %d rows differ", what, bad)
	}
}
