package types_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/pgtest"
	"github.com/tidemill/tidemill/internal/types"
)

// textCases are texts to read as each type; PostgreSQL says what comes out.
var textCases = map[types.Kind][]string{
	types.Bool: {"t", "TRUE", "tr", "f", "fals", "yes", "y", "n", "no", "on", "of", "off", "o", "1", "0", " true ", "", "2", "truex", "10"},
	types.Int2: {"1", "-1", " 32767 ", "32768", "-32768", "-32769", "1.5", "", "x", "99999999999999999999", "+5", "1_0", "0x10", "- 1"},
	types.Int4: {"2147483647", "2147483648", "-2147483648", "-2147483649", "007", "1e3"},
	types.Int8: {"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "00000000000000000000001", "12 3", "--1"},
	types.Float4: {"1", "1.1", "1e6", "999999", "1000000", "0.0001", "0.00001", "3.4e38", "3.5e38", "1e-45", "1e-46", "1e-50", "nan", "-inf", "Infinity", "1e10",
		"16777217", "0.3", "123456.7", "1.17549435e-38", "-0", "1e", "0x1p3", "0x10", "1_0", "infinit"},
	types.Float8: {"1", "0.1", "1e15", "1e14", "123456789012345", "1234567890123456", "1e-4", "1e-5", "0.00012345", "-0", "NaN", "nan", "inf", "-Infinity", "+infinity",
		"1e308", "1e309", "1e-308", "4.9e-324", "1e-400", "1.7976931348623157e308", "9007199254740993", "5e-324", ".5", "5.", ".", "", "1e+", "abc", "1 2", "0.1e1", " 7 ",
		"0x1.8p1", "1d5", "123456789.123456789", "100", "1e22", "1e23", "0e500", "3.14159265358979323846"},
	types.Numeric: {"0", "-0", "-0.00", "1", "1.10", "0.000", ".5", "5.", "1e5", "1.5e-3", "1e-10", "1e40", "123456789012345678901234567890123456789.123", "nan", "NaN", "-nan", "inf",
		"-Infinity", "+inf", "1e", "1e+", "", " ", " 12 ", "1 2", "x", "1.2.3", "1e131071", "1e131072", "1e-16383", "1e-16384", "1e2147483647", "-170141183460469231731687303715884105728",
		"170141183460469231731687303715884105727", "170141183460469231731687303715884105728", "99999999999999999999999999999999999999", "0e9", "00012.50", "--1", "1e99999999999", "0x1", "1_0", "Infinityx"},
	types.Date: {"1999-01-08", "January 8, 1999", "1/8/1999", "1/18/1999", "01/02/03", "1999-Jan-08", "Jan-08-1999", "08-Jan-1999", "99-Jan-08", "08-Jan-99", "Jan-08-99", "19990108", "990108",
		"1999.008", "J2451187", "January 8, 99 BC", "1999-02-29", "2000-02-29", "1999-13-01", "13/13/2000", "0001-01-01", "0000-01-01", "4714-11-24 BC", "4715-01-01 BC", "5874897-12-31", "5874898-01-01",
		"infinity", "-infinity", "epoch", "now x", "1999-01-08 04:05:06", "1999-01-08T04:05:06Z", "", "x", "2001-2-3", "2001-02-3", "20010203 040506", "Sat Feb 03 2001", "3 feb 2001", "feb 3 2001", "2001 feb 3",
		"2001-034", "2001.034", "1/1/1", "2020-01-01 BC", "99999-01-01", "12-13-2000", "2001-02-03+05", "2001-02", "20010203T", "3rd feb 2001", "1999-01-08 America/New_York", "2001-01-01 foo/bar", "ad 2001-01-01", "2001-01-32", "1-1-70", "1-1-69"},
	types.Time: {"04:05:06.789", "04:05:06", "04:05", "040506", "04:05 AM", "04:05 PM", "12:00 AM", "12:00 PM", "13:00 PM", "24:00:00", "24:00:01", "23:59:60", "23:59:60.5", "23:59:61", "25:00", "04:05:06.1234567", "04:05:06.9999995",
		"04:05:06-08", "04:05-08:00", "allballs", "1999-01-08 04:05:06", "0405", "04", "x", "", "T04:05:06", "t040506", "12:60", "04:05:06 PST", "04:05:06.789-8", "4:5:6", "1:2.5", "10:", "2003-04-12 04:05:06 America/New_York", "040506-08", "040506+0730", "12.5", "00:00:00.000001", "1h 2m", "h 5 mm 6 s 7"},
	types.Timestamp: {"1999-01-08 04:05:06", "1999-01-08 04:05:06 -8:00", "January 8 04:05:06 1999 PST", "2001-02-03 04:05:06.789+02", "1999-01-08", "19990108T040506", "19990108 040506", "19990108T040506-08", "19990108T040506.789", "2001-02-03T04:05:06.7891234Z",
		"2001-02-03 24:00:00", "2001-02-03 23:59:60", "2001-02-03 23:59:59.9999996", "infinity", "-infinity", "epoch", "294276-12-31 23:59:59.999999", "294277-01-01", "4714-11-24 00:00:00 BC", "4714-11-23 23:59:59 BC", "0044-03-15 BC 12:00", "Sat Feb 03 04:05:06 2001", "Sat 03 Feb 04:05:06 2001 EST",
		"Wed Jul 17 20:38:40 1996", "2001-02-03 04:05", "2001-02-03 4:5:6", "2001-02-03 04", "2001-02-03 04:05 pm", "2001-02-30 00:00", "2001-02-03 25:00", "", "garbage", "2001-02-03 04:05:06+16", "2001-02-03 04:05:06 foo", "04:05:06", "2001-02-03 noon", "J2451187 04:05", "J2451187.5", "y2001m02d03 h04mm05s06.7", "2001/02/03 04:05:06", "02/03/2001 4:05:06 PM", "2001-02-03 at 04:05", "2001-02-03 04:05:06.", "2001-02-03 04:05:06.123456789", "2001-02-03-04:05:06", "2001-02-03 04:05:06,5", "1-1-1", "99/12/31", "20010203040506", "2001-02-03 00:00:00 00:00", "2001-02-03 04:05:06 AD", "mon 2001-02-03", "2001-02-03 MET DST", "2001-07-03 04:05:06 Europe/Berlin"},
	types.TimestampTZ: {"1999-01-08 04:05:06", "1999-01-08 04:05:06 -8:00", "January 8 04:05:06 1999 PST", "2001-02-03 04:05:06.789+02", "19990108T040506-08", "2001-02-03T04:05:06Z", "2001-02-03 04:05:06 America/New_York", "2001-07-03 04:05:06 america/new_york", "2001-07-03 04:05:06 EDT", "2001-07-03 04:05:06 MET DST", "2001-02-03 04:05:06+1530", "2001-02-03 04:05:06+15:30:30", "2001-02-03 04:05:06+16", "2001-02-03 04:05:06+5:60", "2001-02-03 04:05:06 Nowhere/Land", "2001-02-03 04:05:06 zulu", "infinity", "-infinity", "epoch", "294276-12-31 23:59:59.999999+00", "294276-12-31 23:59:59-01", "4714-11-24 00:00:00+00 BC", "4714-11-24 00:00:00+01 BC", "2021-03-14 02:30 America/New_York", "2021-11-07 01:30 America/New_York", "1883-11-18 12:00 America/New_York", "1800-01-01 America/New_York", "2001-02-03 allballs", "J2451187+2", "2040-07-01 12:00 Europe/Paris", "2001-02-03 04:05:06 GMT+2", "2001-02-03 04:05:06 UTC", "2001-02-03 04:05:06 +2 BC"},
	types.Interval: {"1 day", "1 day 2 hours ago", "P1Y2M", "1-2", "@ 1 minute", "1 year 2 months 3 days 4 hours 5 minutes 6 seconds", "3 4:05:06", "-1 day +02:03", "1 day -2:03:04.5", "1.5 days", "1.5 months", "1.5 years", "0.5 week", "1 week", "2 decades", "1 century", "1 millennium", "100 ms", "5 us", "5 microseconds", "7 milliseconds",
		"5", "-5.5", "1:2", "1:2:3", "1:2.5", "-1:2:3", "P1Y2M3DT4H5M6S", "P-1Y-2M3DT-4H-5M-6S", "P0001-02-03T04:05:06", "PT0S", "P1.5Y", "PT1.5H", "P20010203T040506", "P2W", "PT", "P", "P1", "1 foo", "", "x", "1 day 1 day", "1 2 3", "1y 2mon 3d", "1 yr 2 hrs", "0", "00:00", "1 year -13 months", "-1-2", "+1-2", "1-13", "178000000 years", "178956971 years", "2147483648 days", "99999999999 hours", "2562047788:00:54.775807", "2562047789:00:00",
		"9223372036854775807 us", "9223372036854775808 us", "-9223372036854775808 us", "1 mon 1 month", "ago", "1 ago", "1 day ago ago", "infinity", "@", "1 day @ 2 hours", "1.23456789 s", "0.0000005 s", "0.0000015 s", "1 quarter", "2.5 weeks", "1e3 days", "1 day 25:00:00", "-0.1 s", "1 hour 1:02", "1.1.1", "--1 day", "1 - 2 days", "3.3 years 3.3 months", "1 mon -1 day 00:00:01", "-1 mon +1 day -00:00:01.5", "P1Y1Y", "P1M2Y", "PT1S1M", "P1DT1H foo", "1d1h", "1 dec", "-2562047788:00:54.775808", "2562047788:00:54.775808", "2.675 s", "-2.0000015 seconds"},
	types.Oid:   {"1", "4294967295", "4294967296", "-1", "x", "", " 7 "},
	types.Bytea: {`\x`, `\x6162`, `\x6`, `\xzz`, `abc`, `a\\b`, `a\001b`, `a\1`, `\x 61 62 `, `\x6 1`},
	types.Name:  {"abc", strings.Repeat("a", 70), strings.Repeat("é", 40)},
}

var styles = []struct {
	set string
	st  types.Style
}{
	{"", types.Style{}},
	{"SET datestyle = 'SQL, DMY'; SET intervalstyle = sql_standard; SET timezone = 'America/New_York'; SET extra_float_digits = 0; SET bytea_output = escape",
		types.Style{DateStyle: types.DateSQL, DateOrder: types.OrderDMY, IntervalStyle: types.IntervalSQLStandard, Location: zone("America/New_York"), FewerFloatDigits: 1, ByteaEscape: true}},
	{"SET datestyle = 'Postgres, YMD'; SET intervalstyle = postgres_verbose; SET timezone = 'Asia/Kolkata'; SET extra_float_digits = -3; SET bytea_output = hex",
		types.Style{DateStyle: types.DatePostgres, DateOrder: types.OrderYMD, IntervalStyle: types.IntervalPostgresVerbose, Location: zone("Asia/Kolkata"), FewerFloatDigits: 4}},
	{"SET datestyle = 'German, MDY'; SET intervalstyle = iso_8601; SET timezone = 'Europe/Berlin'; SET extra_float_digits = 1",
		types.Style{DateStyle: types.DateGerman, IntervalStyle: types.IntervalISO8601, Location: zone("Europe/Berlin")}},
}

func quote(s string) string { return "E'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'" }

func describe(text string, err error) string {
	if err == nil {
		return text
	}
	e, ok := err.(*types.Error)
	if !ok {
		return "not a *types.Error: " + err.Error()
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %s", e.Code, e.Message, e.Detail, e.Hint))
}

func describePG(r pgtest.Result) string {
	if r.Err != nil {
		return strings.TrimSpace(fmt.Sprintf("%s %s %s %s", r.Err.Code, r.Err.Message, r.Err.Detail, r.Err.Hint))
	}
	if r.Rows[0][0] == nil {
		return "NULL"
	}
	return *r.Rows[0][0]
}

// TestTextAgainstPostgres reads and prints every case in every style.
func TestTextAgainstPostgres(t *testing.T) {
	c := pgtest.Connect(t)
	for i, style := range styles {
		if style.set != "" {
			for _, s := range strings.Split(style.set, ";") {
				if r := pgtest.Query(t, c, s); r.Err != nil {
					t.Fatal(r.Err)
				}
			}
		}
		for kind := types.Bool; kind < types.NumKinds; kind++ {
			for _, s := range textCases[kind] {
				want := describePG(pgtest.Query(t, c, fmt.Sprintf("SELECT %s::%s", quote(s), kind.TypName())))
				v, err := types.Parse(types.T(kind), s, style.st)
				got := describe(string(types.AppendText(nil, v, style.st)), err)
				if got != want {
					t.Errorf("style %d: %s %q:\n got %s\nwant %s", i, kind, s, got, want)
				}
			}
		}
	}
}

func zone(name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return loc
}

// TestTypmodsAgainstPostgres stores values into columns with modifiers.
func TestTypmodsAgainstPostgres(t *testing.T) {
	c := pgtest.Connect(t)
	for _, tc := range []struct {
		typ  string
		mods []int32
		in   []string
	}{
		{"numeric", []int32{5, 2}, []string{"1", "999.99", "999.994", "999.995", "-999.995", "1000", "NaN", "inf", "0.001", "1e10"}},
		{"numeric", []int32{3, 5}, []string{"0.00123", "0.01", "0.009994", "0.0099999"}},
		{"numeric", []int32{2, -3}, []string{"12345", "99499", "99500", "-1500", "499"}},
		{"numeric", []int32{4, 4}, []string{"0.99994", "0.99996", "1"}},
		{"numeric", []int32{40, 2}, []string{"123456789012345678901234567890123456.789", "99999999999999999999999999999999999999.999"}},
		{"varchar", []int32{3}, []string{"abc", "abcd", "ab  ", "abc  ", "ééé", "éééé", ""}},
		{"timestamp", []int32{3}, []string{"2001-02-03 04:05:06.7895", "2001-02-03 04:05:06.7894", "1999-12-31 23:59:59.9995", "1999-12-31 23:59:59.9994", "infinity"}},
		{"timestamp with time zone", []int32{0}, []string{"2001-02-03 04:05:06.5", "1960-02-03 04:05:06.5", "1960-02-03 04:05:06.4"}},
		{"time", []int32{2}, []string{"04:05:06.785", "23:59:59.999"}},
		{"interval", []int32{1}, []string{"1.25 s", "-1.25 s", "1 day 1.26 s", "1.24 s"}},
		{"float", []int32{24}, []string{"1.1", "16777217"}},
		{"float", []int32{25}, []string{"1.1", "16777217"}},
	} {
		typ, err := types.ParseTypeName(tc.typ, tc.mods, false)
		if err != nil {
			t.Fatal(err)
		}
		pgtest.Query(t, c, "DROP TABLE IF EXISTS x")
		if r := pgtest.Query(t, c, "CREATE TEMP TABLE x (a "+typ.String()+")"); r.Err != nil {
			t.Fatal(r.Err)
		}
		for _, s := range tc.in {
			want := describePG(pgtest.Query(t, c, fmt.Sprintf("INSERT INTO x VALUES (%s) RETURNING a", quote(s))))
			v, err := types.Parse(typ, s, types.Style{})
			if got := describe(string(types.AppendText(nil, v, types.Style{})), err); got != want {
				t.Errorf("%s %q:\n got %s\nwant %s", typ, s, got, want)
			}
		}
		if got, want := typ.String(), describePG(pgtest.Query(t, c, "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'x'::regclass AND attnum = 1")); got != want {
			t.Errorf("format_type %s, want %s", got, want)
		}
	}
}
