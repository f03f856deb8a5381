package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/types"
)

// params are a session's settings.
type params struct {
	s      *Session
	values map[string]string
	resets map[string]string // what RESET gives
	style  types.Style
	path   []string
}

// setting describes a parameter that exists.
type setting struct {
	name     string // as shown
	value    string
	report   bool // clients are told of changes
	readOnly bool
	about    string
	one      []string // the values it may have, in lower case; nil if any
}

var onOff = []string{"on", "off", "true", "false", "yes", "no", "1", "0"}

// settings are the parameters that drivers and tools send or ask for.
var settings = indexSettings([]setting{
	{name: "server_version", value: "15.0", report: true, readOnly: true, about: "PostgreSQL version whose dialect is spoken"},
	{name: "server_version_num", value: "150000", readOnly: true, about: "server_version as a number"},
	{name: "server_encoding", value: "UTF8", report: true, readOnly: true, about: "encoding of all text"},
	{name: "client_encoding", value: "UTF8", report: true, about: "encoding of the client", one: []string{"utf8", "utf-8", "unicode", "sql_ascii"}},
	{name: "DateStyle", value: "ISO, MDY", report: true, about: "how dates are printed and read"},
	{name: "IntervalStyle", value: "postgres", report: true, about: "how intervals are printed", one: []string{"postgres", "postgres_verbose", "sql_standard", "iso_8601"}},
	{name: "TimeZone", value: "UTC", report: true, about: "time zone of the session"},
	{name: "integer_datetimes", value: "on", report: true, readOnly: true, about: "times are integers"},
	{name: "standard_conforming_strings", value: "on", report: true, about: "backslashes in strings are plain", one: []string{"on", "true", "1", "yes"}},
	{name: "application_name", report: true, about: "name of the client program"},
	{name: "is_superuser", value: "on", report: true, readOnly: true, about: "whether the user manages roles"},
	{name: "session_authorization", report: true, readOnly: true, about: "user of the session"},
	{name: "default_transaction_read_only", value: "off", report: true, about: "whether transactions may write", one: onOff},
	{name: "in_hot_standby", value: "off", report: true, readOnly: true, about: "whether this node follows another"},
	{name: "password_encryption", value: "scram-sha-256", readOnly: true, about: "what is kept of passwords"},
	{name: "search_path", value: "public", about: "schemas that names are looked up in"},
	{name: "extra_float_digits", value: "1", about: "digits of floating-point numbers"},
	{name: "bytea_output", value: "hex", about: "how byte strings are printed", one: []string{"hex", "escape"}},
	{name: "transaction_isolation", value: "repeatable read", about: "isolation of the transaction"},
	{name: "default_transaction_isolation", value: "repeatable read", about: "isolation of transactions"},
	{name: "transaction_read_only", value: "off", about: "whether the transaction may write", one: onOff},
	{name: "transaction_deferrable", value: "off", about: "has no effect", one: onOff},
	{name: "default_transaction_deferrable", value: "off", about: "has no effect", one: onOff},
	{name: "statement_timeout", value: "0", about: "milliseconds after which a statement is cancelled"},
	{name: "lock_timeout", value: "0", about: "has no effect"},
	{name: "idle_in_transaction_session_timeout", value: "0", about: "has no effect"},
	{name: "idle_session_timeout", value: "0", about: "has no effect"},
	{name: "client_min_messages", value: "notice", about: "which messages are sent"},
	{name: "max_identifier_length", value: "63", readOnly: true, about: "bytes of a name"},
	{name: "max_index_keys", value: "32", readOnly: true, about: "columns of an index"},
	{name: "block_size", value: "8192", readOnly: true, about: "has no meaning here"},
	{name: "synchronous_commit", value: "on", about: "commits are always durable", one: onOff},
	{name: "row_security", value: "on", about: "has no effect", one: onOff},
	{name: "escape_string_warning", value: "on", about: "has no effect", one: onOff},
	{name: "backslash_quote", value: "safe_encoding", about: "has no effect"},
	{name: "check_function_bodies", value: "on", about: "has no effect", one: onOff},
	{name: "default_tablespace", about: "has no effect"},
	{name: "default_table_access_method", value: "heap", about: "has no effect"},
	{name: "xmloption", value: "content", about: "has no effect"},
	{name: "lc_messages", value: "C", about: "language of messages"},
	{name: "lc_monetary", value: "C", about: "has no effect"},
	{name: "lc_numeric", value: "C", about: "has no effect"},
	{name: "lc_time", value: "C", about: "has no effect"},
	{name: "lc_collate", value: "C", readOnly: true, about: "order of text"},
	{name: "lc_ctype", value: "C", readOnly: true, about: "classes of characters"},
	{name: "jit", value: "off", about: "has no effect", one: onOff},
	{name: "geqo", value: "on", about: "has no effect", one: onOff},
	{name: "enable_seqscan", value: "on", about: "has no effect", one: onOff},
	{name: "work_mem", value: "4MB", about: "has no effect"},
	{name: "read", value: "committed", about: "whether statements read the last step of this node, or wait for all that is committed anywhere", one: []string{"committed", "latest"}},
	{name: "max_staleness", value: "10s", about: "how old answers of a node that is behind or cut off may be"},
	{name: "stale_reads", value: "warn", about: "what becomes of answers that may be older than max_staleness", one: []string{"warn", "refuse"}},
	{name: "role", value: "none", about: "the current role", one: []string{"none"}},
	{name: "max_connections", value: strconv.Itoa(MaxSessions), readOnly: true, about: "sessions there may be"},
})

func indexSettings(list []setting) map[string]setting {
	m := make(map[string]setting, len(list))
	for _, s := range list {
		m[strings.ToLower(s.name)] = s
	}
	return m
}

func newParams(s *Session) *params {
	p := &params{s: s, values: map[string]string{}}
	for name, st := range settings {
		p.values[name] = st.value
	}
	p.values["session_authorization"] = s.opt.User
	p.values["is_superuser"] = s.e.superuser(s.opt.User)
	p.path = []string{catalog.PublicSchema}
	p.resets = maps.Clone(p.values)
	return p
}

func (p *params) get(name string) (string, bool) {
	v, ok := p.values[name]
	return v, ok
}

func (p *params) value(name string) string { return p.values[name] }

// set changes a parameter. At start-up what is set is also what RESET gives.
func (p *params) set(name, value string, start bool) error {
	st, known := settings[name]
	if !known {
		if !strings.Contains(name, ".") {
			return &types.Error{Code: types.CodeUndefinedObject, Message: fmt.Sprintf("unrecognized configuration parameter %q", name)}
		}
		p.values[name] = value // a parameter of somebody else's
		return nil
	}
	if st.readOnly {
		return &types.Error{Code: "55P02", Message: fmt.Sprintf("parameter %q cannot be changed", st.name)}
	}
	shown, err := p.apply(st, name, value)
	if err != nil {
		return err
	}
	changed := p.values[name] != shown
	p.values[name] = shown
	if start {
		p.resets[name] = shown
	} else if changed && st.report {
		p.report(st, name)
	}
	return nil
}

// restore puts back a value that was valid.
func (p *params) restore(name, value string) { _ = p.set(name, value, false) }

func (p *params) reset(name string) error {
	v, ok := p.resets[name]
	if !ok {
		if strings.Contains(name, ".") {
			delete(p.values, name)
			return nil
		}
		return &types.Error{Code: types.CodeUndefinedObject, Message: fmt.Sprintf("unrecognized configuration parameter %q", name)}
	}
	if settings[name].readOnly {
		return nil
	}
	return p.set(name, v, false)
}

func (p *params) resetAll() {
	for _, name := range sortedKeys(p.values) {
		if _, ok := p.resets[name]; ok {
			_ = p.reset(name)
		} else {
			delete(p.values, name)
		}
	}
}

func (p *params) report(st setting, name string) {
	if p.s.opt.ParamChanged != nil {
		p.s.opt.ParamChanged(st.name, p.values[name])
	}
}

func (p *params) reportAll() {
	for _, name := range sortedKeys(settings) {
		if st := settings[name]; st.report {
			p.report(st, name)
		}
	}
}

// apply checks a value, lets it take effect and returns it as it is shown.
func (p *params) apply(st setting, name, value string) (string, error) {
	bad := func(hint string) (string, error) {
		return "", &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("invalid value for parameter %q: %q", st.name, value), Hint: hint}
	}
	low := strings.ToLower(strings.TrimSpace(value))
	if st.one != nil && !slices.Contains(st.one, low) {
		return bad("Available values: " + strings.Join(st.one, ", ") + ".")
	}
	if len(st.one) == len(onOff) {
		value = "off"
		if low == "on" || low == "true" || low == "yes" || low == "1" {
			value = "on"
		}
	}
	switch name {
	case "client_encoding":
		value = "UTF8"
	case "standard_conforming_strings":
		value = "on"
	case "timezone":
		loc, shown, err := zone(value)
		if err != nil {
			return bad("")
		}
		p.style.Location, value = loc, shown
	case "datestyle":
		return p.dateStyle(value, bad)
	case "intervalstyle":
		value = low
		p.style.IntervalStyle = types.IntervalStyle(slices.Index(st.one, low))
	case "bytea_output":
		p.style.ByteaEscape = low == "escape"
	case "extra_float_digits":
		n, err := strconv.Atoi(low)
		if err != nil || n < -15 || n > 3 {
			return bad("It is from -15 to 3.")
		}
		p.style.SetExtraFloatDigits(n)
		value = low
	case "search_path":
		p.path = splitPath(value, p.s.opt.User)
	case "transaction_isolation", "default_transaction_isolation":
		if !slices.Contains([]string{"read uncommitted", "read committed", "repeatable read", "serializable"}, low) {
			return bad("")
		}
		value = low
	case "read", "stale_reads":
		value = low
	case "max_staleness":
		if ms, err := durationMillis(low); err != nil || ms <= 0 {
			return bad("It is a time above zero such as 500ms or 10s.")
		}
	case "statement_timeout", "lock_timeout":
		if _, err := durationMillis(low); err != nil {
			return bad("")
		}
	}
	return value, nil
}

// durationMillis reads a time as parameters are written: 100, 5s, 1min.
func durationMillis(v string) (int64, error) {
	if n, err := strconv.ParseInt(v, 10, 64); err == nil {
		return n, nil
	}
	d, err := time.ParseDuration(strings.ReplaceAll(strings.ReplaceAll(v, " ", ""), "min", "m"))
	return d.Milliseconds(), err
}

// zone finds a time zone by name or by hours east of UTC.
func zone(v string) (*time.Location, string, error) {
	v = strings.Trim(strings.TrimSpace(v), "'")
	switch strings.ToLower(v) {
	case "utc", "gmt", "z", "zulu", "etc/utc":
		return nil, "UTC", nil
	case "default", "local":
		return nil, "UTC", nil
	}
	if h, err := strconv.ParseFloat(v, 64); err == nil && h >= -24 && h <= 24 {
		secs := int(h * 3600)
		return time.FixedZone(v, secs), v, nil
	}
	loc, err := time.LoadLocation(v)
	if err != nil || v == "" || v == "Local" {
		return nil, "", fmt.Errorf("no time zone %q", v)
	}
	return loc, v, nil
}

func (p *params) dateStyle(value string, bad func(string) (string, error)) (string, error) {
	ds, do := p.style.DateStyle, p.style.DateOrder
	for _, w := range strings.FieldsFunc(strings.ToLower(value), func(r rune) bool { return r == ',' || r == ' ' }) {
		switch {
		case w == "iso":
			ds = types.DateISO
		case w == "sql":
			ds = types.DateSQL
		case strings.HasPrefix(w, "postgres"):
			ds = types.DatePostgres
		case w == "german":
			ds, do = types.DateGerman, types.OrderDMY
		case w == "mdy" || w == "us" || strings.HasPrefix(w, "noneuro"):
			do = types.OrderMDY
		case w == "dmy" || strings.HasPrefix(w, "euro"):
			do = types.OrderDMY
		case w == "ymd":
			do = types.OrderYMD
		case w == "default":
			ds, do = types.DateISO, types.OrderMDY
		default:
			return bad("")
		}
	}
	p.style.DateStyle, p.style.DateOrder = ds, do
	return [...]string{"ISO", "SQL", "Postgres", "German"}[ds] + ", " + [...]string{"MDY", "DMY", "YMD"}[do], nil
}

// splitPath reads a list of schemas. Those of the user's name that do not exist are
// passed over when names are looked up.
func splitPath(v, user string) []string {
	var out []string
	for _, part := range strings.Split(v, ",") {
		part = strings.TrimSpace(part)
		if len(part) >= 2 && part[0] == '"' && part[len(part)-1] == '"' {
			part = strings.ReplaceAll(part[1:len(part)-1], `""`, `"`)
		} else {
			part = strings.Trim(part, "'")
		}
		if part == "$user" {
			part = user
		}
		if part != "" {
			out = append(out, part)
		}
	}
	return out
}

// list returns all parameters in the order of their names.
func (p *params) list() []Setting {
	var out []Setting
	for _, name := range sortedKeys(p.values) {
		st, ok := settings[name]
		if !ok {
			st.name = name
		}
		out = append(out, Setting{Name: st.name, Value: p.values[name], Description: st.about})
	}
	return out
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
