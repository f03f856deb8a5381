package edits_test

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/examples/edits"
	"github.com/tidemill/tidemill/examples/exampletest"
)

// batchRows is how many edits go into one request.
const batchRows = 500

// The views are what the same questions, put to the edits in Go, give.
func TestAnswers(t *testing.T) {
	all := edits.Generate(6000, 7)
	in, watermark := inTime(all)
	db, err := tidemill.Open(t.Context(), tidemill.Config{Dir: t.TempDir(), HTTP: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(t.Context(), edits.SQL); err != nil {
		t.Fatal(err)
	}
	_, addr, _ := db.Addrs()
	for part := range slices.Chunk(all, batchRows) {
		post(t, addr, part)
	}
	if _, err := db.Exec(t.Context(), "FLUSH"); err != nil {
		t.Fatal(err)
	}
	exampletest.Expect(t, db, `SELECT count(*) FROM edits`, []string{fmt.Sprint(len(in))})
	exampletest.Expect(t, db, `SELECT window_end, rank, page, edits FROM trending`, trending(in, watermark))
	exampletest.Expect(t, db, `SELECT page, attacker, defender, began, ended, turns FROM edit_wars`, wars(in, watermark))
	exampletest.Expect(t, db, `SELECT username, began, left_by, edits, pages, bytes FROM sittings`, sittings(in))
}

// Equal seeds give equal edits; they arrive out of order, but not by more than they may.
func TestGenerate(t *testing.T) {
	a, b := edits.Generate(3000, 3), edits.Generate(3000, 3)
	if !slices.Equal(a, b) || slices.Equal(a, edits.Generate(3000, 4)) {
		t.Error("the seed does not decide")
	}
	latest, behind := a[0].At, 0
	for _, e := range a {
		if e.At.Before(latest) {
			behind++
		}
		if latest.Sub(e.At) > 2*time.Minute {
			t.Fatalf("%v arrives behind %v", e.At, latest)
		}
		latest = later(latest, e.At)
	}
	if behind < 100 {
		t.Errorf("only %d of %d arrive out of order", behind, len(a))
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// inTime returns the edits that are not late and the watermark behind the last one.
func inTime(all []edits.Edit) (in []edits.Edit, watermark time.Time) {
	for _, e := range all {
		if e.At.Before(watermark) {
			continue
		}
		in, watermark = append(in, e), later(watermark, e.At.Add(-5*time.Minute))
	}
	return in, watermark
}

func post(t *testing.T, addr string, part []edits.Edit) {
	t.Helper()
	var body bytes.Buffer
	if err := edits.Write(&body, part); err != nil {
		t.Fatal(err)
	}
	res, err := http.Post("http://"+addr+"/v1/sources/edits", "application/x-ndjson", &body)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", res.Status, text)
	}
}

// trending counts the pages of every hour that begins at a multiple of ten minutes
// and is over.
func trending(in []edits.Edit, watermark time.Time) []string {
	const slide, size = 10 * time.Minute, time.Hour
	counts := map[time.Time]map[string]int{}
	for _, e := range in {
		last := e.At.Truncate(slide)
		for s := last; s.After(e.At.Add(-size)); s = s.Add(-slide) {
			if counts[s] == nil {
				counts[s] = map[string]int{}
			}
			counts[s][e.Page]++
		}
	}
	var out []string
	for s, pages := range counts {
		end := s.Add(size)
		if end.After(watermark) {
			continue
		}
		var names []string
		for p := range pages {
			names = append(names, p)
		}
		slices.SortFunc(names, func(a, b string) int { return cmp.Or(pages[b]-pages[a], cmp.Compare(a, b)) })
		for i, p := range names[:min(3, len(names))] {
			out = append(out, fmt.Sprintf("%s|%d|%s|%d", exampletest.Stamp(end), i+1, p, pages[p]))
		}
	}
	return out
}

// wars finds, page by page, the first edit from which on two users undo each other in
// turns, four edits at least and within half an hour, and goes on behind them.
func wars(in []edits.Edit, watermark time.Time) []string {
	pages := map[string][]edits.Edit{}
	for _, e := range in {
		if e.At.Before(watermark) {
			pages[e.Page] = append(pages[e.Page], e)
		}
	}
	var out []string
	for page, list := range pages {
		slices.SortStableFunc(list, func(a, b edits.Edit) int { return a.At.Compare(b.At) })
		for from := 0; from < len(list); {
			to := turns(list, from)
			switch decided := to < len(list) || watermark.Sub(list[from].At) > 30*time.Minute; {
			case to-from < 4:
				from++
			case decided:
				out = append(out, fmt.Sprintf("%s|%s|%s|%s|%s|%d", page, list[from].User, list[from+1].User, exampletest.Stamp(list[from].At), exampletest.Stamp(list[to-1].At), to-from))
				from = to
			default:
				from = len(list)
			}
		}
	}
	return out
}

// turns returns the end of the quarrel that may begin at list[from]: b undoes a, a
// undoes b, and then each edit is undone by who did not make it.
func turns(list []edits.Edit, from int) int {
	first := list[from]
	to := from + 1
	for ; to < len(list); to++ {
		e, before := list[to], list[to-1]
		byFirst := e.User == first.User
		if !e.Revert || e.User == before.User || e.At.Sub(first.At) > 30*time.Minute {
			break
		}
		if turn := to - from; turn == 1 && byFirst || turn == 2 && !byFirst {
			break
		}
	}
	return to
}

// sittings are sessions with a gap of twenty minutes.
func sittings(in []edits.Edit) []string {
	const gap = 20 * time.Minute
	users := map[string][]edits.Edit{}
	for _, e := range in {
		users[e.User] = append(users[e.User], e)
	}
	var out []string
	for user, list := range users {
		slices.SortStableFunc(list, func(a, b edits.Edit) int { return a.At.Compare(b.At) })
		for from := 0; from < len(list); {
			to, bytes, pages := from, 0, map[string]bool{}
			for ; to < len(list) && (to == from || list[to].At.Sub(list[to-1].At) < gap); to++ {
				bytes += list[to].Delta
				pages[list[to].Page] = true
			}
			out = append(out, fmt.Sprintf("%s|%s|%s|%d|%d|%d", user, exampletest.Stamp(list[from].At), exampletest.Stamp(list[to-1].At.Add(gap)), to-from, len(pages), bytes))
			from = to
		}
	}
	return out
}
