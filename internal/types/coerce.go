package types

import (
	"fmt"
	"unicode/utf8"
)

// Coerce applies t's modifier to v, which is of t's kind, as an assignment does:
// varchar(n) drops trailing spaces beyond n and else refuses (22001), numeric(p,s)
// rounds and refuses what has too many digits (22003), the precision of times
// rounds. Without a modifier v is only retyped.
func Coerce(v Value, t Type) (Value, error) {
	v.T = t
	if v.Null || t.Mod == 0 {
		return v, nil
	}
	switch t.Kind {
	case Varchar:
		s, err := CoerceVarchar(v.S, t.Mod, false)
		v.S = s
		return v, err
	case Numeric:
		var arena []byte
		d, err := CoerceDecimal(v.D, arenaOf(v), t.Mod, &arena)
		v.D, v.S = d, string(arena)
		if d.Form == DecBig && len(arena) == 0 {
			panic("types: CoerceDecimal left a big number in its argument's arena")
		}
		return v, err
	case Time:
		v.I = RoundMicros(v.I, t.Mod)
	case Timestamp, TimestampTZ:
		v.I = CoerceTimestamp(v.I, t.Mod)
	case Interval:
		v.V.Micros = RoundMicros(v.V.Micros, t.Mod)
	case Array:
		elems, err := ArrayElems([]byte(v.S))
		for i := range elems {
			if err == nil {
				elems[i], err = Coerce(elems[i], t.ElemType())
			}
		}
		if err != nil {
			return Value{}, err
		}
		v.S = ArrayValue(t.Elem, elems).S
	}
	return v, nil
}

// CoerceVarchar cuts s to the n characters of the modifier. Unless explicit, only
// spaces may be cut; else the error is 22001.
func CoerceVarchar(s string, mod int32, explicit bool) (string, error) {
	n := int(mod) - 4
	if mod == 0 || len(s) <= n {
		return s, nil
	}
	at := 0
	for range n {
		if at >= len(s) {
			return s, nil
		}
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	if !explicit {
		for i := at; i < len(s); i++ {
			if s[i] != ' ' {
				return "", &Error{Code: CodeStringTruncation, Message: fmt.Sprintf("value too long for type character varying(%d)", n)}
			}
		}
	}
	return s[:at], nil
}

// CoerceDecimal rounds d to numeric(p,s) of the modifier; a big result is in *arena.
// Too many digits before the point are error 22003.
func CoerceDecimal(d Decimal, da []byte, mod int32, arena *[]byte) (Decimal, error) {
	if mod == 0 || d.Form == DecNaN {
		return DecCopy(d, da, arena), nil
	}
	p, s, _ := Type{Kind: Numeric, Mod: mod}.NumericPS()
	if !d.IsFinite() {
		return Decimal{}, &Error{Code: CodeOutOfRange, Message: "numeric field overflow",
			Detail: fmt.Sprintf("A field with precision %d, scale %d cannot hold an infinite value.", p, s)}
	}
	start := len(*arena)
	r, err := DecRound(d, da, s, arena)
	if err != nil {
		return Decimal{}, err
	}
	if r.Form == DecBig && len(*arena) == start {
		r = DecCopy(d, da, arena)
	}
	if r.Form == DecFinite {
		if u := r.Coef().abs(); u.digits()-int(r.Scale) <= p-s {
			return r, nil
		}
	} else if bigDigits(r.coefBig(*arena))-int(r.Scale) <= p-s {
		return r, nil
	}
	max := "10^" + fmt.Sprint(p-s)
	if p == s {
		max = "1"
	}
	return Decimal{}, &Error{Code: CodeOutOfRange, Message: "numeric field overflow",
		Detail: fmt.Sprintf("A field with precision %d, scale %d must round to an absolute value less than %s.", p, s, max)}
}

// precisionSteps are the microseconds of the last digit kept, by precision.
var precisionSteps = [7]int64{1000000, 100000, 10000, 1000, 100, 10, 1}

// RoundMicros rounds microseconds, half away from zero, to the precision of a
// time type's modifier.
func RoundMicros(us int64, mod int32) int64 {
	if mod == 0 || mod > MaxTimePrecision {
		return us
	}
	step := precisionSteps[mod-1]
	half := step / 2
	if us < 0 {
		return -((-us + half) / step * step)
	}
	return (us + half) / step * step
}

// CoerceTimestamp is RoundMicros that leaves infinities alone.
func CoerceTimestamp(ts int64, mod int32) int64 {
	if ts == TimestampNegInf || ts == TimestampPosInf {
		return ts
	}
	return RoundMicros(ts, mod)
}
