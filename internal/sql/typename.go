package sql

import "strconv"

// typeName reads the name of a type with its modifiers and array bounds.
func (p *parser) typeName() *TypeName {
	at := p.here()
	setOf := p.accept("setof")
	t := p.simpleType()
	t.At, t.SetOf = at, setOf
	p.arrayBounds(t)
	return t
}

// arrayBounds reads [n]... or ARRAY[n] behind a type.
func (p *parser) arrayBounds(t *TypeName) {
	if p.accept("array") {
		t.ArrayDims = []int{-1}
		if p.acceptOp("[") {
			t.ArrayDims[0] = p.intConst()
			p.expectOp("]")
		}
		return
	}
	for p.acceptOp("[") {
		n := -1
		if !p.isOp("]") {
			n = p.intConst()
		}
		p.expectOp("]")
		t.ArrayDims = append(t.ArrayDims, n)
	}
}

// simpleType reads a type without array bounds.
func (p *parser) simpleType() *TypeName {
	if t := p.builtinType(false); t != nil {
		return t
	}
	if !p.tok.isTypeFunc() {
		p.unexpected()
	}
	t := &TypeName{At: p.here(), Name: Name{At: p.here()}}
	t.Name.Parts = append(t.Name.Parts, p.take())
	for p.acceptOp(".") {
		t.Name.Parts = append(t.Name.Parts, p.label())
	}
	if p.isOp("(") {
		t.Mods = parenList(p, p.expr)
	}
	return t
}

// pgType makes a built-in type.
func pgType(at At, name string, mods ...Expr) *TypeName {
	return &TypeName{At: at, Mods: mods,
		Name: Name{At: at, Parts: []Ident{{At: at, Text: "pg_catalog"}, {At: at, Text: name}}}}
}

// builtinType reads a type that has words of its own in the grammar; it returns nil if none begins here. As the type of a constant,
// CHAR and BIT without a length are unrestricted.
func (p *parser) builtinType(isConst bool) *TypeName {
	if p.tok.kind != tokKeyword {
		return nil
	}
	at, word := p.here(), p.tok.text
	switch word {
	case "int", "integer":
		p.advance()
		return pgType(at, "int4")
	case "smallint":
		p.advance()
		return pgType(at, "int2")
	case "bigint":
		p.advance()
		return pgType(at, "int8")
	case "real":
		p.advance()
		return pgType(at, "float4")
	case "boolean":
		p.advance()
		return pgType(at, "bool")
	case "double":
		if !p.accept("double", "precision") {
			return nil
		}
		return pgType(at, "float8")
	case "float":
		p.advance()
		return p.floatType(at)
	case "decimal", "dec", "numeric":
		p.advance()
		t := pgType(at, "numeric")
		if p.isOp("(") {
			t.Mods = parenList(p, p.expr)
		}
		return t
	case "bit":
		p.advance()
		return p.bitType(at, isConst)
	case "character", "char", "nchar", "varchar", "national":
		return p.charType(at, word, isConst)
	case "time", "timestamp":
		return p.timeType(at, word)
	case "interval":
		p.advance()
		t := pgType(at, "interval")
		if isConst && !p.isOp("(") {
			return t
		}
		if p.isOp("(") {
			t.Mods = p.precision()
		} else {
			p.intervalFields(t)
		}
		return t
	}
	return nil
}

func (p *parser) floatType(at At) *TypeName {
	if !p.isOp("(") {
		return pgType(at, "float8")
	}
	p.advance()
	pos := p.tok.pos
	n := p.intConst()
	p.expectOp(")")
	switch {
	case n < 1:
		p.fail(pos, "22023", "precision for type float must be at least 1 bit", "")
	case n > 53:
		p.fail(pos, "22023", "precision for type float must be less than 54 bits", "")
	case n <= 24:
		return pgType(at, "float4")
	}
	return pgType(at, "float8")
}

func (p *parser) bitType(at At, isConst bool) *TypeName {
	t := pgType(at, "bit")
	if p.accept("varying") {
		t = pgType(at, "varbit")
	}
	if p.isOp("(") {
		t.Mods = parenList(p, p.expr)
	} else if t.Name.Last() == "bit" && !isConst {
		t.Mods = []Expr{&NumberLit{At: at, Text: "1", IsInt: true}}
	}
	return t
}

func (p *parser) charType(at At, word string, isConst bool) *TypeName {
	p.advance()
	if word == "national" {
		if !p.isAny("character", "char") {
			p.unexpected()
		}
		p.advance()
	}
	t := pgType(at, "bpchar")
	if word == "varchar" || p.accept("varying") {
		t = pgType(at, "varchar")
	}
	if p.isOp("(") {
		p.advance()
		n := &NumberLit{At: p.here(), IsInt: true}
		n.Text = strconv.Itoa(p.intConst())
		t.Mods = []Expr{n}
		p.expectOp(")")
	} else if t.Name.Last() == "bpchar" && !isConst {
		t.Mods = []Expr{&NumberLit{At: at, Text: "1", IsInt: true}}
	}
	return t
}

func (p *parser) timeType(at At, word string) *TypeName {
	p.advance()
	var mods []Expr
	if p.isOp("(") {
		mods = p.precision()
	}
	if p.accept("with", "time") {
		p.expect("zone")
		word += "tz"
	} else if p.accept("without", "time") {
		p.expect("zone")
	}
	return pgType(at, word, mods...)
}

// precision reads (n).
func (p *parser) precision() []Expr {
	p.expectOp("(")
	n := &NumberLit{At: p.here(), IsInt: true}
	n.Text = strconv.Itoa(p.intConst())
	p.expectOp(")")
	return []Expr{n}
}

// pluralFields are Flink's plural units.
var pluralFields = map[string]IntervalFields{"years": IntervalYear, "months": IntervalMonth, "days": IntervalDay, "hours": IntervalHour,
	"minutes": IntervalMinute, "seconds": IntervalSecond}

// intervalFields reads DAY TO SECOND (3) and the like, if they come next.
func (p *parser) intervalFields(t *TypeName) {
	to := func(plain IntervalFields, ends map[string]IntervalFields) IntervalFields {
		if !p.isWord("to") {
			return plain
		}
		p.advance()
		f, ok := ends[p.tok.text]
		if !ok || p.tok.kind != tokKeyword {
			p.unexpected()
		}
		p.advance()
		return f
	}
	if p.plurals && p.tok.kind == tokIdent && !p.tok.quoted {
		if f, ok := pluralFields[p.tok.text]; ok {
			p.advance()
			t.Interval = f
			return
		}
	}
	switch {
	case p.accept("year"):
		t.Interval = to(IntervalYear, map[string]IntervalFields{"month": IntervalYearToMonth})
	case p.accept("month"):
		t.Interval = IntervalMonth
	case p.accept("day"):
		t.Interval = to(IntervalDay, map[string]IntervalFields{
			"hour": IntervalDayToHour, "minute": IntervalDayToMinute, "second": IntervalDayToSecond})
	case p.accept("hour"):
		t.Interval = to(IntervalHour, map[string]IntervalFields{"minute": IntervalHourToMinute, "second": IntervalHourToSecond})
	case p.accept("minute"):
		t.Interval = to(IntervalMinute, map[string]IntervalFields{"second": IntervalMinuteToSecond})
	case p.accept("second"):
		t.Interval = IntervalSecond
	}
	switch t.Interval {
	case IntervalSecond, IntervalDayToSecond, IntervalHourToSecond, IntervalMinuteToSecond:
		if p.isOp("(") {
			t.Mods = p.precision()
		}
	}
}

// typedConst reads a constant behind a built-in type's words: TIMESTAMP '..', INTERVAL '1' DAY. It returns nil if the current keyword
// is not such a type or is used as a name.
func (p *parser) typedConst() Expr {
	at, n := p.here(), p.peek(1)
	switch p.tok.text {
	case "int", "integer", "smallint", "bigint", "real", "boolean", "float", "decimal", "dec", "numeric", "varchar", "nchar":
		if n.kind != tokString && !n.isOp("(") {
			return nil
		}
	case "bit", "character", "char":
		if n.kind != tokString && !n.isOp("(") && !n.isWord("varying") {
			return nil
		}
	case "time", "timestamp":
		zoned := n.isWord("with") || n.isWord("without")
		if n.kind != tokString && !n.isOp("(") && !(zoned && p.peek(2).isWord("time")) {
			return nil
		}
	case "interval":
		if n.kind != tokString && !n.isOp("(") {
			return nil
		}
	case "double":
		if !n.isWord("precision") {
			return nil
		}
	case "national":
		if !n.isWord("character") && !n.isWord("char") {
			return nil
		}
	default:
		return nil
	}
	t := p.builtinType(true)
	c := &TypedLit{At: at, Type: t, Value: p.stringConst()}
	if t.Name.Last() == "interval" && t.Mods == nil {
		p.intervalFields(t)
	}
	return c
}
