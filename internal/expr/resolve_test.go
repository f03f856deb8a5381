package expr

import (
	"errors"
	"testing"

	"github.com/tidemill/tidemill/internal/types"
)

func TestResolve(t *testing.T) {
	for _, c := range []struct{ name, args, want string }{
		{"+", "int4,int4", "integer, integer -> integer"},
		{"+", "int4,int8", "bigint, bigint -> bigint"},
		{"+", "int2,int4", "integer, integer -> integer"},
		{"+", "int4,unknown", "integer, integer -> integer"},
		{"+", "int4,numeric", "numeric, numeric -> numeric"},
		{"+", "float4,int4", "real, double precision -> double precision"},
		{"+", "float8,numeric", "double precision, double precision -> double precision"},
		{"+", "date,int4", "date, integer -> date"},
		{"+", "date,interval", "date, interval -> timestamp without time zone"},
		{"+", "timestamp,interval", "timestamp without time zone, interval -> timestamp without time zone"},
		{"-", "timestamp,date", "timestamp without time zone, timestamp without time zone -> interval"},
		{"-", "date,date", "date, date -> integer"},
		{"*", "interval,int4", "interval, double precision -> interval"},
		{"=", "date,timestamptz", "timestamp with time zone, timestamp with time zone -> boolean"},
		{"=", "name,text", "text, text -> boolean"},
		{"=", "varchar,varchar", "text, text -> boolean"},
		{"=", "varchar,unknown", "text, text -> boolean"},
		{"=", "unknown,unknown", "text, text -> boolean"},
		{"=", "oid,int4", "oid, oid -> boolean"},
		{"=", "regclass,oid", "oid, oid -> boolean"},
		{"=", "timestamp,unknown", "timestamp without time zone, timestamp without time zone -> boolean"},
		{"||", "unknown,unknown", "text, text -> text"},
		{"||", "text,int4", "text, integer -> text"},
		{"||", "int4,unknown", "integer, text -> text"},
		{"||", "varchar,unknown", "text, text -> text"},
		{"~~", "varchar,unknown", "text, text -> boolean"},
		{"length", "unknown", "text -> integer"},
		{"lower", "varchar", "text -> text"},
		{"round", "numeric,int4", "numeric, integer -> numeric"},
		{"round", "int4", "double precision -> double precision"},
		{"date_trunc", "unknown,timestamp", "text, timestamp without time zone -> timestamp without time zone"},
		{"date_trunc", "unknown,date", "text, timestamp with time zone -> timestamp with time zone"},
		{"greatest", "int4,unknown", "integer, integer -> integer"},
		{"array", "int4,int4,int4", "integer, integer, integer -> integer[]"},
		{"concat", "int4,unknown,date", "integer, text, date -> text"},
		{"= any", "int4,int4[]", "integer, integer[] -> boolean"},
		{"sqrt", "int4", "double precision -> double precision"},
		{"abs", "int2", "smallint -> smallint"},
		{"format_type", "oid,int4", "oid, integer -> text"},
		{"timezone", "unknown,timestamptz", "text, timestamp with time zone -> timestamp without time zone"},
	} {
		args := parseTypes(c.args)
		fn, cast, ret, err := Resolve(c.name, args)
		if err != nil {
			t.Errorf("%s(%s): %v", c.name, c.args, err)
			continue
		}
		if got := typeList(cast) + " -> " + typeName(ret); got != c.want || fn.Name != c.name {
			t.Errorf("%s(%s): %s, want %s", c.name, c.args, got, c.want)
		}
	}
}

func TestResolveErrors(t *testing.T) {
	for _, c := range []struct{ name, args, code, msg string }{
		{"foo", "int4", "42883", "function foo(integer) does not exist"},
		{"+", "int4,text", "42883", "operator does not exist: integer + text"},
		{"+", "unknown,unknown", "42725", "operator is not unique: unknown + unknown"},
		{"lower", "int4", "42883", "function lower(integer) does not exist"},
		{"-", "text", "42883", "operator does not exist: - text"},
		{"=", "int4,date", "42883", "operator does not exist: integer = date"},
		{"sum", "", "42883", "function sum() does not exist"},
		{"abs", "interval", "42883", "function abs(interval) does not exist"},
	} {
		_, _, _, err := Resolve(c.name, parseTypes(c.args))
		var e *types.Error
		if !errors.As(err, &e) || e.Code != c.code || e.Message != c.msg || e.Hint == "" {
			t.Errorf("%s(%s): %v, want %s %s and a hint", c.name, c.args, err, c.code, c.msg)
		}
	}
}

func TestResolveAggregates(t *testing.T) {
	for _, c := range []struct{ name, args, want string }{
		{"sum", "int2", "bigint"}, {"sum", "int8", "numeric"}, {"sum", "float4", "real"}, {"sum", "interval", "interval"},
		{"avg", "int4", "numeric"}, {"avg", "float4", "double precision"}, {"min", "varchar", "text"}, {"max", "timestamp", "timestamp without time zone"},
		{"count", "", "bigint"}, {"count", "unknown", "bigint"}, {"any_value", "date", "date"}, {"stddev", "int4", "numeric"},
		{"string_agg", "varchar,unknown", "text"}, {"bool_or", "bool", "boolean"}, {"max", "int4[]", "integer[]"}, {"single_value", "date", "date"},
	} {
		_, _, ret, err := ResolveAgg(c.name, parseTypes(c.args))
		if err != nil || typeName(ret) != c.want {
			t.Errorf("%s(%s): %s %v, want %s", c.name, c.args, typeName(ret), err, c.want)
		}
	}
}

func TestUnifyTypes(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"int4,int8", "bigint"}, {"int4,numeric,unknown", "numeric"}, {"unknown,unknown", "text"}, {"varchar,text", "character varying"}, {"date,timestamptz", "timestamp with time zone"},
		{"float8,numeric", "double precision"}, {"int4,text", "CASE types integer and text cannot be matched"}, {"unknown,date", "date"},
	} {
		got, err := UnifyTypes("CASE", parseTypes(c.args))
		if err != nil {
			if err.Error() != c.want {
				t.Errorf("%s: %v", c.args, err)
			}
		} else if typeName(got) != c.want {
			t.Errorf("%s: %s, want %s", c.args, typeName(got), c.want)
		}
	}
}
