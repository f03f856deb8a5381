package connector

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/types"
)

// Options reads the options of a source or sink strictly: every option must be
// asked for by somebody, and every value must be what it should be. The first
// thing that is wrong is kept, and Err returns it.
type Options struct {
	what   string // for messages: "datagen source"
	values map[string]string
	known  []string
	used   map[string]bool
	err    error
}

// NewOptions returns a reader of values, for what, such as "nats sink".
func NewOptions(what string, values map[string]string) *Options {
	return &Options{what: what, values: values, used: map[string]bool{}}
}

// Has reports whether name is given, and makes it known.
func (o *Options) Has(name string) bool {
	_, ok := o.lookup(name)
	return ok
}

func (o *Options) lookup(name string) (string, bool) {
	if !o.used[name] {
		o.used[name] = true
		o.known = append(o.known, name)
	}
	v, ok := o.values[name]
	return v, ok
}

// Str returns the value of name, or def without one.
func (o *Options) Str(name, def string) string {
	if v, ok := o.lookup(name); ok {
		return v
	}
	return def
}

// Need returns the value of name, which must be given and not be empty.
func (o *Options) Need(name string) string {
	v, ok := o.lookup(name)
	if !ok || v == "" {
		o.Failf("", "%s needs option %q", o.what, name)
	}
	return v
}

// Int returns the value of name, an integer from lo to hi, or def without one.
func (o *Options) Int(name string, def, lo, hi int64) int64 {
	v, ok := o.lookup(name)
	if !ok {
		return def
	}
	i, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
	if err != nil || i < lo || i > hi {
		o.Bad(name, v, fmt.Sprintf("an integer from %d to %d", lo, hi))
		return def
	}
	return i
}

// Bool returns the value of name, or def without one.
func (o *Options) Bool(name string, def bool) bool {
	v, ok := o.lookup(name)
	if !ok {
		return def
	}
	switch strings.ToLower(strings.TrimSpace(v)) {
	case "true", "t", "on", "yes", "1":
		return true
	case "false", "f", "off", "no", "0":
		return false
	}
	o.Bad(name, v, "true or false")
	return def
}

// Word returns the value of name in lower case, which must be one of words, or
// def without one.
func (o *Options) Word(name, def string, words ...string) string {
	v, ok := o.lookup(name)
	if !ok {
		return def
	}
	got := strings.ToLower(strings.TrimSpace(v))
	for _, w := range words {
		if got == w {
			return w
		}
	}
	o.Bad(name, v, strings.Join(words, ", "))
	return def
}

// Duration returns the value of name, a time such as '100ms' or an interval without
// months such as '1 day', from lo to hi, or def without one.
func (o *Options) Duration(name string, def, lo, hi time.Duration) time.Duration {
	v, ok := o.lookup(name)
	if !ok {
		return def
	}
	d, err := time.ParseDuration(strings.ReplaceAll(v, " ", ""))
	if err != nil {
		var val types.Value
		val, err = types.Parse(types.T(types.Interval), v, types.Style{})
		if val.V.Months != 0 || val.V.Micros < -maxMicros || val.V.Micros > maxMicros {
			err = fmt.Errorf("too long")
		}
		d = time.Duration(val.V.Days)*24*time.Hour + time.Duration(val.V.Micros)*time.Microsecond
	}
	if err != nil || d < lo || d > hi {
		o.Bad(name, v, fmt.Sprintf("an interval from %s to %s", lo, hi))
		return def
	}
	return d
}

// maxMicros bounds the time of an interval, so that no sum overflows.
const maxMicros = int64(1) << 52

// Bad records that the value of name is not what it should be.
func (o *Options) Bad(name, value, want string) {
	o.Failf("", "invalid value %q for option %q of %s: want %s", value, name, o.what, want)
}

// Failf records an error, with a hint unless it is empty.
func (o *Options) Failf(hint, msg string, args ...any) {
	if o.err == nil {
		o.err = &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf(msg, args...), Hint: hint}
	}
}

// Err returns the first error, or one that names an option that nobody asked for.
func (o *Options) Err() error {
	if o.err != nil {
		return o.err
	}
	var unknown []string
	for name := range o.values {
		if !o.used[name] {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	sort.Strings(unknown)
	sort.Strings(o.known)
	hint := "It has no options."
	if len(o.known) > 0 {
		hint = "Its options are " + strings.Join(o.known, ", ") + "."
	}
	return &types.Error{Code: types.CodeInvalidParameter, Hint: hint,
		Message: fmt.Sprintf("unknown option %q of %s", unknown[0], o.what)}
}
