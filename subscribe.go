package tidemill

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// SubscribeOption changes what Subscribe gives.
type SubscribeOption func(*subscribing)

// subscribing is a SUBSCRIBE while it is put together.
type subscribing struct {
	envelope   string
	key        []string
	noSnapshot bool
	progress   bool
	asOf, upTo *int64
}

// AsOf begins with the rows there were at a step, in place of those there are now. A
// step that is no longer kept is an Error with code 22023 that names the oldest one.
func AsOf(step int64) SubscribeOption { return func(s *subscribing) { s.asOf = &step } }

// UpTo ends behind a step: Next then returns io.EOF.
func UpTo(step int64) SubscribeOption { return func(s *subscribing) { s.upTo = &step } }

// NoSnapshot leaves the rows at the beginning out. With AsOf it goes on where another
// subscription ended: every change after the step comes, once.
func NoSnapshot() SubscribeOption { return func(s *subscribing) { s.noSnapshot = true } }

// Progress adds changes with Progressed set, which say that everything up to their
// step was given.
func Progress() SubscribeOption { return func(s *subscribing) { s.progress = true } }

// Upsert tells what became of each key, in Change.State: "upsert", "delete" or
// "key_violation". Rows have the key's columns first, and nil for what is gone.
func Upsert(key ...string) SubscribeOption {
	return func(s *subscribing) { s.envelope, s.key = "UPSERT", key }
}

// Debezium is Upsert with the other columns twice, before and after the change, and
// the state "insert" for a new key.
func Debezium(key ...string) SubscribeOption {
	return func(s *subscribing) { s.envelope, s.key = "DEBEZIUM", key }
}

// statement is the SUBSCRIBE to name.
func (s *subscribing) statement(name string) string {
	text := "SUBSCRIBE " + name
	if s.envelope != "" {
		var key []string
		for _, k := range s.key {
			key = append(key, `"`+strings.ReplaceAll(k, `"`, `""`)+`"`)
		}
		text += " ENVELOPE " + s.envelope + " (KEY (" + strings.Join(key, ", ") + "))"
	}
	text += fmt.Sprintf(" WITH (SNAPSHOT = %t, PROGRESS = %t)", !s.noSnapshot, s.progress)
	if s.asOf != nil {
		text += fmt.Sprintf(" AS OF %d", *s.asOf)
	}
	if s.upTo != nil {
		text += fmt.Sprintf(" UP TO %d", *s.upTo)
	}
	return text
}

// Subscribe follows a view, table or source, or a query in parentheses: first the rows
// there are, then every change, in the order of steps. End it with Close.
func (db *DB) Subscribe(ctx context.Context, name string, options ...SubscribeOption) (*Subscription, error) {
	var s subscribing
	for _, o := range options {
		o(&s)
	}
	rows, err := db.Query(ctx, s.statement(name))
	if err != nil {
		return nil, err
	}
	return &Subscription{rows: rows, with: s}, nil
}

// Change is one change of a subscribed view: a row that came (weight +1, or more
// for several like it) or went (-1).
type Change struct {
	Step int64
	// Progressed says that everything up to Step was given, and nothing else; with the
	// option Progress.
	Progressed bool
	Weight     int64  // 0 with Upsert and Debezium
	State      string // of the key, with Upsert and Debezium
	Row        []any  // as Rows.Values gives them
}

// Subscription is a stream of changes. It is not safe for concurrent use.
type Subscription struct {
	rows *Rows
	with subscribing
}

// lead is how many columns of the statement are not those of Change.Row.
func (s *Subscription) lead() int {
	if s.with.progress {
		return 3
	}
	return 2
}

// Columns returns the names of the values in Change.Row.
func (s *Subscription) Columns() []string { return s.rows.Columns()[s.lead():] }

// Next waits for the next change; behind the last one, which there is with UpTo, it
// returns io.EOF. A ctx that ends leaves the subscription where it is: Next may be
// called again.
func (s *Subscription) Next(ctx context.Context) (Change, error) {
	if !s.rows.next(ctx) {
		err := s.rows.err
		if ctx.Err() != nil {
			s.rows.err, s.rows.b, err = nil, nil, ctx.Err()
		}
		if err == nil {
			err = io.EOF
		}
		return Change{}, err
	}
	v := s.rows.Values()
	c := Change{Step: v[0].(int64)}
	if s.with.progress {
		if c.Progressed = v[1].(bool); c.Progressed {
			return c, nil
		}
	}
	lead := s.lead()
	if s.with.envelope != "" {
		c.State = v[lead-1].(string)
	} else {
		c.Weight = v[lead-1].(int64)
	}
	c.Row = v[lead:]
	return c, nil
}

// Close ends the subscription.
func (s *Subscription) Close() error { return s.rows.Close() }
