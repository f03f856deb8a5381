package chaos

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Report is what a run found. Times are in milliseconds, unless their name says otherwise.
type Report struct {
	Seed    uint64   `json:"seed"`
	Nodes   int      `json:"nodes"`
	Seconds float64  `json:"seconds"` // of load
	Network string   `json:"network"` // namespaces, proxies, none
	Kinds   []Kind   `json:"kinds"`
	Skipped []string `json:"skipped"` // what was asked for and could not be done, and why

	Acked      int64 `json:"acked"` // writes: rows of inserts, transactions, statements
	Unknown    int64 `json:"unknown"`
	Refused    int64 `json:"refused"`
	Lost       int   `json:"lost"`
	Duplicated int   `json:"duplicated"`
	Wrong      int   `json:"wrong"`

	DigestMismatches     int `json:"digest_mismatches"`
	StaleReadsUnlabelled int `json:"stale_reads_unlabelled"`
	StaleReadsLabelled   int `json:"stale_reads_labelled"`
	StaleReadsRefused    int `json:"stale_reads_refused"`

	StaleSpans []Span `json:"stale_spans"` // when which node's answers said that they may be old

	Reads                  int `json:"reads"`
	RegisterOps            int `json:"linearizable_operations"` // that were checked
	RegistersUnchecked     int `json:"registers_unchecked"`     // the checker took too long
	Subscribers            int `json:"subscribers"`
	SubscriptionsResumed   int `json:"subscriptions_resumed"`
	SubscriptionsBegunAnew int `json:"subscriptions_begun_anew"` // the steps were not kept any more
	SinkRecords            int `json:"sink_records"`

	Recoveries  Times            `json:"recoveries"` // kill of the leader to the next acknowledged write
	Outages     map[string]Times `json:"outages"`    // the same for each fault of a leader
	HealSeconds float64          `json:"heal_seconds"`
	Throughput  float64          `json:"throughput"` // acknowledged writes a second

	UnexpectedExits int               `json:"unexpected_exits"`
	NotHealed       []string          `json:"not_healed"` // what did not work after all faults had ended
	Problems        []string          `json:"problems"`   // that nodes told of, at any time
	Work            map[string]Counts `json:"work"`       // by kind of work
	Errors          map[string]int    `json:"errors"`     // that clients got, by SQLSTATE
	ErrorSamples    map[string]string `json:"error_samples"`
	Faults          []Event           `json:"faults"`
	Findings        []string          `json:"findings"`
	Data            string            `json:"data,omitempty"` // where data and logs are, if they were kept
}

// Counts is what became of one kind of work.
type Counts struct {
	Acked   int64 `json:"acked"`
	Unknown int64 `json:"unknown"`
	Refused int64 `json:"refused"`
}

// Times of something that happened Count times.
type Times struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// maxSpans bounds the spans that are kept.
const maxSpans = 500

// Span is a part of the run, in seconds since the start of the load.
type Span struct {
	Node string  `json:"node"`
	From float64 `json:"from"`
	To   float64 `json:"to"`
}

// Event is a fault, as it was carried out.
type Event struct {
	AtSeconds float64 `json:"at_seconds"`
	Kind      Kind    `json:"kind"`
	What      string  `json:"what"`
	Error     string  `json:"error,omitempty"`
}

// Failed reports whether anything is there that must not be.
func (r *Report) Failed() bool {
	return r.Lost+r.Duplicated+r.Wrong+r.DigestMismatches+r.StaleReadsUnlabelled > 0 || len(r.NotHealed) > 0
}

// timesOf summarises durations.
func timesOf(all []time.Duration) Times {
	if len(all) == 0 {
		return Times{}
	}
	all = slices.Clone(all)
	slices.Sort(all)
	at := func(q float64) float64 { return millis(all[min(len(all)-1, int(q*float64(len(all))))]) }
	return Times{Count: len(all), P50: at(0.5), P99: at(0.99), Max: millis(all[len(all)-1])}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// WriteText writes the report for people.
func (r *Report) WriteText(out io.Writer) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-24s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("seed", "%d", r.Seed)
	line("nodes", "%d, network: %s", r.Nodes, r.Network)
	line("load", "%.0f s, %d faults of %s", r.Seconds, len(r.Faults), joinKinds(r.Kinds))
	for _, s := range r.Skipped {
		line("skipped", "%s", s)
	}
	line("acknowledged", "%d writes, %.0f a second; %d unknown, %d refused", r.Acked, r.Throughput, r.Unknown, r.Refused)
	for _, k := range sortedKeys(r.Work) {
		w := r.Work[k]
		line("  "+k, "%d acknowledged, %d unknown, %d refused", w.Acked, w.Unknown, w.Refused)
	}
	line("lost", "%d", r.Lost)
	line("duplicated", "%d", r.Duplicated)
	line("wrong", "%d", r.Wrong)
	line("digest mismatches", "%d", r.DigestMismatches)
	line("stale reads", "%d unlabelled, %d labelled, %d refused, of %d reads", r.StaleReadsUnlabelled, r.StaleReadsLabelled, r.StaleReadsRefused, r.Reads)
	for _, s := range r.StaleSpans {
		line("  labelled", "node %s from %.1fs to %.1fs", s.Node, s.From, s.To)
	}
	line("linearizable", "%d operations checked, %d registers not in time", r.RegisterOps, r.RegistersUnchecked)
	line("subscriptions", "%d, resumed %d times, begun anew %d times", r.Subscribers, r.SubscriptionsResumed, r.SubscriptionsBegunAnew)
	line("records of the sink", "%d", r.SinkRecords)
	line("recoveries", "%s", r.Recoveries)
	for _, k := range sortedKeys(r.Outages) {
		line("  "+k, "%s", r.Outages[k])
	}
	line("all well after", "%.1f s", r.HealSeconds)
	line("unexpected exits", "%d", r.UnexpectedExits)
	for _, k := range sortedKeys(r.Errors) {
		line("  errors "+k, "%d, such as %s", r.Errors[k], firstLine(r.ErrorSamples[k]))
	}
	for _, p := range r.Problems {
		line("problem", "%s", p)
	}
	for _, p := range r.NotHealed {
		line("not healed", "%s", p)
	}
	for _, f := range r.Findings {
		line("FOUND", "%s", f)
	}
	if r.Data != "" {
		line("data", "%s", r.Data)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// String tells times for people.
func (t Times) String() string {
	if t.Count == 0 {
		return "none"
	}
	return fmt.Sprintf("%d, p50 %.0f ms, p99 %.0f ms, at most %.0f ms", t.Count, t.P50, t.P99, t.Max)
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
