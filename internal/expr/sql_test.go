package expr

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/types"
)

// bind turns SQL text into an expression, for the subset that the examples of the
// function table are written in. cols are the columns that names may mean.
func bind(t testing.TB, text string, cols ...Col) Expr {
	t.Helper()
	p := &sqlParser{text: text, cols: cols}
	p.next()
	var e Expr
	func() {
		defer func() {
			if r := recover(); r != nil {
				if err, ok := r.(error); ok {
					t.Fatalf("%s: %v", text, err)
				}
				panic(r)
			}
		}()
		e = p.expr(0)
		if p.tok != "" {
			panic(fmt.Errorf("left over: %q", p.tok))
		}
	}()
	return e
}

type sqlParser struct {
	text string
	at   int
	tok  string
	kind byte // 'i'dentifier, 'n'umber, 's'tring, 'o'perator
	cols []Col
}

func (p *sqlParser) next() {
	for p.at < len(p.text) && p.text[p.at] == ' ' {
		p.at++
	}
	start := p.at
	if start == len(p.text) {
		p.tok, p.kind = "", 0
		return
	}
	letter := func(c byte) bool { return c == '_' || c >= '0' && c <= '9' || c|32 >= 'a' && c|32 <= 'z' }
	switch c := p.text[start]; {
	case c == '\'':
		var b strings.Builder
		for p.at++; ; p.at++ {
			if p.text[p.at] == '\'' {
				if p.at+1 < len(p.text) && p.text[p.at+1] == '\'' {
					p.at++
				} else {
					break
				}
			}
			b.WriteByte(p.text[p.at])
		}
		p.at++
		p.tok, p.kind = b.String(), 's'
		return
	case c == '"':
		end := strings.IndexByte(p.text[start+1:], '"')
		p.at = start + end + 2
		p.tok, p.kind = `"`+p.text[start+1:start+1+end]+`"`, 'i'
		return
	case c >= '0' && c <= '9':
		for p.at < len(p.text) && (p.text[p.at] >= '0' && p.text[p.at] <= '9' || p.text[p.at] == '.') {
			p.at++
		}
		p.kind = 'n'
	case letter(c):
		for p.at < len(p.text) && letter(p.text[p.at]) {
			p.at++
		}
		p.kind = 'i'
	case strings.IndexByte("()[],", c) >= 0:
		p.at++
		p.kind = 'o'
	default:
		for p.at < len(p.text) && strings.IndexByte("+-*/%^<>=~!@#&|:", p.text[p.at]) >= 0 {
			if p.at > start && strings.IndexByte("+-", p.text[p.at]) >= 0 && !strings.ContainsAny(p.text[start:p.at], "~!@#%^&|") {
				break
			}
			p.at++
		}
		p.kind = 'o'
	}
	p.tok = p.text[start:p.at]
}

func (p *sqlParser) is(s string) bool { return p.kind != 's' && strings.EqualFold(p.tok, s) }

func (p *sqlParser) take(s string) bool {
	if p.is(s) {
		p.next()
		return true
	}
	return false
}

func (p *sqlParser) must(s string) {
	if !p.take(s) {
		panic(fmt.Errorf("want %s at %q", s, p.text[min(p.at, len(p.text)):]))
	}
}

func coerce(e Expr, t types.Type) Expr {
	if sameType(e.Type(), t) && e.Type().Kind != types.Unknown {
		return e
	}
	return &Cast{Arg: e, T: t}
}

func callOf(name string, args ...Expr) Expr {
	fn, cast, ret, err := Resolve(name, typesOf(args))
	if err != nil {
		panic(err)
	}
	as := make([]Expr, len(args))
	for i, a := range args {
		as[i] = coerce(a, cast[i])
	}
	return &Call{Fn: fn, Args: as, T: ret}
}

var precedence = map[string]int{"OR": 1, "AND": 2, "IS": 4, "<": 5, ">": 5, "=": 5, "<=": 5, ">=": 5, "<>": 5, "LIKE": 6, "ILIKE": 6, "NOT": 6,
	"OVERLAPS": 6, "+": 8, "-": 8, "*": 9, "/": 9, "%": 9, "^": 10, "AT": 11, "::": 13}

func (p *sqlParser) expr(min int) Expr {
	l := p.unary()
	for {
		op := p.tok
		if p.kind == 'i' {
			op = strings.ToUpper(op)
		}
		prec, known := precedence[op]
		if !known && p.kind == 'o' && strings.IndexByte("()[],", op[0]) < 0 {
			prec, known = 7, true
		}
		if !known || p.kind == 's' || p.kind == 0 || prec <= min {
			return l
		}
		p.next()
		l = p.infix(op, prec, l)
	}
}

func (p *sqlParser) infix(op string, prec int, l Expr) Expr {
	switch op {
	case "OR", "AND":
		return &Logic{Or: op == "OR", Args: []Expr{l, p.expr(prec)}}
	case "::":
		return &Cast{Arg: l, T: p.typeName(), Explicit: true}
	case "IS":
		neg := p.take("NOT")
		p.must("NULL")
		return &IsNull{Arg: l, Negate: neg}
	case "AT":
		p.must("TIME")
		p.must("ZONE")
		return callOf("timezone", p.expr(prec), l)
	case "NOT":
		op = "NOT " + strings.ToUpper(p.tok)
		p.next()
	}
	if s, ok := map[string]string{"LIKE": "~~", "ILIKE": "~~*", "NOT LIKE": "!~~", "NOT ILIKE": "!~~*"}[op]; ok {
		op = s
	}
	for _, q := range []string{"any", "all"} {
		if p.take(q) {
			p.must("(")
			r := p.expr(0)
			p.must(")")
			return callOf(op+" "+q, l, r)
		}
	}
	return callOf(op, l, p.expr(prec))
}

func (p *sqlParser) typeName() types.Type {
	name := strings.ToLower(p.tok)
	p.next()
	if name == "double" {
		p.must("precision")
		name = "double precision"
	}
	var mods []int32
	if p.is("(") {
		p.next()
		for !p.take(")") {
			var n int32
			fmt.Sscan(p.tok, &n)
			mods = append(mods, n)
			p.next()
			p.take(",")
		}
	}
	array := false
	if p.take("[") {
		p.must("]")
		array = true
	}
	t, err := types.ParseTypeName(name, mods, array)
	if err != nil {
		panic(err)
	}
	return t
}

func (p *sqlParser) list(end string) []Expr {
	var out []Expr
	for !p.take(end) {
		out = append(out, p.expr(0))
		p.take(",")
	}
	return out
}

func (p *sqlParser) unary() Expr {
	e := p.primary()
	for p.take("[") {
		e = callOf("array_get", e, p.expr(0))
		p.must("]")
	}
	return e
}

func (p *sqlParser) primary() Expr {
	tok, kind := p.tok, p.kind
	p.next()
	switch kind {
	case 's':
		return Const{V: types.Value{S: tok}}
	case 'n':
		t := types.T(types.Int4)
		if strings.Contains(tok, ".") {
			t.Kind = types.Numeric
		} else if len(tok) > 9 {
			if t.Kind = types.Int8; len(tok) > 18 {
				t.Kind = types.Numeric
			}
			if len(tok) == 10 && tok <= "2147483647" {
				t.Kind = types.Int4
			}
		}
		v, err := types.Parse(t, tok, types.Style{})
		if err != nil {
			panic(err)
		}
		return Const{V: v}
	case 'o':
		if tok != "(" {
			return callOf(tok, p.expr(12))
		}
		e := p.expr(0)
		if p.take(",") {
			args := append([]Expr{e}, p.list(")")...)
			p.must("OVERLAPS")
			p.must("(")
			return callOf("overlaps", append(args, p.list(")")...)...)
		}
		p.must(")")
		return e
	}
	return p.word(strings.ToLower(tok))
}

func (p *sqlParser) word(name string) Expr {
	switch name {
	case "true", "false":
		return Const{V: types.BoolValue(name == "true")}
	case "null":
		return Const{V: types.NullOf(types.Type{})}
	case "not":
		return &Not{Arg: p.expr(3)}
	case "array":
		p.must("[")
		args := p.list("]")
		t, err := UnifyTypes("ARRAY", typesOf(args))
		if err != nil {
			panic(err)
		}
		for i := range args {
			args[i] = coerce(args[i], t)
		}
		return callOf("array", args...)
	case "case":
		return p.caseExpr()
	}
	for _, c := range p.cols {
		if c.Name == name {
			return c
		}
	}
	if p.kind == 's' {
		t, err := types.ParseTypeName(name, nil, false)
		if err != nil {
			panic(err)
		}
		s := p.tok
		p.next()
		return &Cast{Arg: Const{V: types.Value{S: s}}, T: t, Explicit: true}
	}
	p.must("(")
	if name == "extract" {
		f := types.TextValue(strings.ToLower(p.tok))
		p.next()
		p.must("from")
		e := p.expr(0)
		p.must(")")
		return callOf(name, Const{V: f}, e)
	}
	var args []Expr
	for !p.take(")") {
		args = append(args, p.expr(4))
		switch {
		case p.take("in"): // position(x in y)
			args = append([]Expr{p.expr(0)}, args...)
		default:
			_ = p.take(",") || p.take("placing") || p.take("from") || p.take("for")
		}
	}
	if name == "coalesce" {
		t, err := UnifyTypes("COALESCE", typesOf(args))
		if err != nil {
			panic(err)
		}
		for i := range args {
			args[i] = coerce(args[i], t)
		}
		return &Coalesce{Args: args, T: t}
	}
	return callOf(name, args...)
}

func (p *sqlParser) caseExpr() Expr {
	e := &Case{}
	var arms []Expr
	for p.take("when") {
		c := p.expr(0)
		p.must("then")
		r := p.expr(0)
		e.Whens = append(e.Whens, When{Cond: c})
		arms = append(arms, r)
	}
	if p.take("else") {
		e.Else = p.expr(0)
		arms = append(arms, e.Else)
	}
	p.must("end")
	t, err := UnifyTypes("CASE", typesOf(arms))
	if err != nil {
		panic(err)
	}
	for i := range e.Whens {
		e.Whens[i].Then = coerce(arms[i], t)
	}
	if e.Else != nil {
		e.Else = coerce(e.Else, t)
	}
	e.T = t
	return e
}

// evalText evaluates an expression without columns and prints its value.
func evalText(e Expr) string {
	v, err := EvalConst(&Ctx{Now: 1}, e)
	if err != nil {
		return "ERROR: " + err.Error()
	}
	if v.Null {
		return "NULL"
	}
	v.T = e.Type()
	return valueText(v)
}
