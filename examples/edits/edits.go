// Package edits makes up the edits of a wiki: the data of the edits example.
package edits

import (
	_ "embed"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// SQL creates the source and the views.
//
//go:embed edits.sql
var SQL string

// Edit is one change of a page.
type Edit struct {
	At     time.Time // UTC, whole milliseconds
	Page   string
	User   string
	Delta  int // bytes added, negative if more went than came
	Revert bool
}

// JSON is the edit as one line of NDJSON, without the line's end.
func (e Edit) JSON() string {
	return fmt.Sprintf(`{"at":%q,"page":%q,"username":%q,"delta":%d,"is_revert":%v}`,
		e.At.Format("2006-01-02 15:04:05.000"), e.Page, e.User, e.Delta, e.Revert)
}

// Start is the time of the first edit.
var Start = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)

// The wiki's size, and how far from the order of time edits arrive.
const (
	pages     = 400
	users     = 150
	warEvery  = 600             // edits between two quarrels
	outOfTime = 2 * time.Minute // at most
	meanGap   = 900 * time.Millisecond
)

// Generate gives n edits in the order in which they arrive, which is not quite that
// of their time. Equal arguments give equal edits. A few pages are edited much more
// than others, and now and then two people keep undoing each other's work.
func Generate(n int, seed uint64) []Edit {
	r := rand.New(rand.NewPCG(seed, 0x7469646d))
	out := make([]Edit, 0, n)
	var war []Edit // to come, each at its time
	now := Start
	for len(out) < n {
		now = now.Add(time.Duration(r.ExpFloat64() * float64(meanGap))).Truncate(time.Millisecond)
		for len(war) > 0 && !war[0].At.After(now) && len(out) < n {
			out, war = append(out, war[0]), war[1:]
		}
		if len(out) == n {
			break
		}
		if len(out)%warEvery == warEvery-1 && len(war) == 0 {
			war = quarrel(r, now)
		}
		e := Edit{At: now, Page: page(r), User: fmt.Sprintf("user%03d", r.IntN(users)), Delta: r.IntN(2000) - 400, Revert: r.IntN(25) == 0}
		out = append(out, e)
	}
	late(r, out)
	return out
}

// page picks a page; low numbers are picked much more often.
func page(r *rand.Rand) string {
	u := r.Float64()
	return fmt.Sprintf("Page_%03d", int(u*u*u*pages))
}

// quarrel is two users who undo each other's work on one page, in turns.
func quarrel(r *rand.Rand, at time.Time) []Edit {
	on, a, b := fmt.Sprintf("Disputed_%02d", r.IntN(40)), r.IntN(users), r.IntN(users-1)
	if b >= a {
		b++
	}
	size := 50 + r.IntN(500)
	var out []Edit
	for i := range 4 + r.IntN(5) {
		at = at.Add(time.Duration(20+r.IntN(200)) * time.Second)
		who, delta := a, size
		if i%2 == 1 {
			who, delta = b, -size
		}
		out = append(out, Edit{At: at, Page: on, User: fmt.Sprintf("user%03d", who), Delta: delta, Revert: i > 0})
	}
	return out
}

// late lets one edit in eight arrive behind others that are up to outOfTime younger.
func late(r *rand.Rand, edits []Edit) {
	for i := range edits {
		if r.IntN(8) > 0 {
			continue
		}
		limit := edits[i].At.Add(time.Duration(r.Int64N(int64(outOfTime))))
		e, k := edits[i], i
		for ; k+1 < len(edits) && edits[k+1].At.Before(limit); k++ {
			edits[k] = edits[k+1]
		}
		edits[k] = e
	}
}

// Write writes edits as NDJSON.
func Write(w io.Writer, edits []Edit) error {
	for _, e := range edits {
		if _, err := io.WriteString(w, e.JSON()+"\n"); err != nil {
			return err
		}
	}
	return nil
}
