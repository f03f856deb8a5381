package sql

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error is why a text was refused.
type Error struct {
	Code    string // SQLSTATE: 42601 syntax, 54001 nested too deeply, 54000 too long, 0A000 not supported, 22021, 22025 ...
	Message string
	Pos     int    // byte offset in the text; CharPos turns it into what the wire protocol wants
	Hint    string // "" if there is none
	Detail  string // "" if there is none
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s (SQLSTATE %s, offset %d)", e.Message, e.Code, e.Pos)
}

// CharPos turns a byte offset in text into the position that PostgreSQL's protocol reports: characters, counted from 1.
func CharPos(text string, offset int) int {
	return utf8.RuneCountInString(text[:max(0, min(offset, len(text)))]) + 1
}

// Options bounds what Parse accepts. A zero field takes the default.
type Options struct {
	MaxStatementBytes int // bytes of the whole text; default DefaultMaxStatementBytes
	MaxDepth          int // height of the syntax tree and nesting of the text; default DefaultMaxDepth
	MaxTokens         int // tokens of the whole text, which bounds the tree's size; default DefaultMaxTokens
}

// Defaults of Options. The height of a tree is bounded as well as the nesting of the text, so a planner may recurse over any tree that
// Parse returned: 1+1+1+... is a tree as high as the sum is long.
const (
	DefaultMaxStatementBytes = 16 << 20
	DefaultMaxDepth          = 2000
	DefaultMaxTokens         = 4 << 20
)

// Parse reads the statements in text, which semicolons separate. Empty statements are left out, so the result may be empty. Each
// statement knows its byte range. The error, if any, is an *Error, and then no statement is returned.
func Parse(text string, opts Options) ([]Stmt, error) {
	var stmts []Stmt
	err := run(text, opts, func(p *parser) {
		for {
			for p.acceptOp(";") {
			}
			if p.tok.kind == tokEOF {
				return
			}
			stmts = append(stmts, p.stmt())
			if !p.isOp(";") && p.tok.kind != tokEOF {
				p.unexpected()
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return stmts, nil
}

// ParseExpr reads a single value expression.
func ParseExpr(text string, opts Options) (Expr, error) {
	var x Expr
	err := run(text, opts, func(p *parser) {
		x = p.expr()
		p.expectEOF()
	})
	if err != nil {
		return nil, err
	}
	return x, nil
}

// ParseTypeName reads the name of a type, such as numeric(10,2) or text[].
func ParseTypeName(text string, opts Options) (*TypeName, error) {
	var t *TypeName
	err := run(text, opts, func(p *parser) {
		t = p.typeName()
		p.expectEOF()
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// run parses text with parse. The parser reports an error by panicking with an *Error; nothing else is recovered.
func run(text string, opts Options, parse func(*parser)) (err error) {
	p := &parser{lex: lexer{src: text}, maxDepth: opts.MaxDepth, maxTokens: opts.MaxTokens}
	if p.maxDepth <= 0 {
		p.maxDepth = DefaultMaxDepth
	}
	if p.maxTokens <= 0 {
		p.maxTokens = DefaultMaxTokens
	}
	limit := opts.MaxStatementBytes
	if limit <= 0 {
		limit = DefaultMaxStatementBytes
	}
	if len(text) > limit {
		return &Error{Code: "54000", Message: fmt.Sprintf("statement is too long: %d bytes, at most %d are allowed", len(text), limit)}
	}
	if i := strings.IndexByte(text, 0); i >= 0 || !utf8.ValidString(text) {
		return encodingError(text)
	}
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*Error)
			if !ok {
				panic(r)
			}
			err = e
		}
	}()
	p.advance()
	parse(p)
	return nil
}

// encodingError points at the first byte of text that is NUL or no UTF-8.
func encodingError(text string) *Error {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if r == 0 || r == utf8.RuneError && n == 1 {
			return invalidEncoding([]byte(text[i:i+1]), i)
		}
		i += n
	}
	return &Error{Code: "22021", Message: "invalid text encoding"}
}

// parser holds the state of one parse.
type parser struct {
	lex       lexer
	tok       token // the current token
	ahead     []token
	single    bool  // the parentheses that come next may hold one expression only
	plurals   bool  // in the durations of window table functions, where INTERVAL '10' MINUTES is read as Flink does
	itemDepth int   // depth at which the operators of a select item's outermost expression are read
	basic     bool  // the expression being read is a b_expr
	inMatch   bool  // inside MEASURES or DEFINE, where FINAL and RUNNING may stand before calls
	lastEnd   int   // end of the token before the current one
	far       token // where the phrase that began at farFrom and went furthest broke off; for messages
	farFrom   int
	depth     int // nesting of the productions being read
	height    int // upper bound of the height of the trees read so far in the current production
	tokens    int
	maxDepth  int
	maxTokens int
}

// advance makes the next token current.
func (p *parser) advance() {
	p.lastEnd = p.tok.end
	if len(p.ahead) > 0 {
		p.tok = p.ahead[0]
		p.ahead = p.ahead[:copy(p.ahead, p.ahead[1:])]
		return
	}
	p.tok = p.lexOne()
}

func (p *parser) lexOne() token {
	t, err := p.lex.next()
	if err != nil {
		panic(err)
	}
	if p.tokens++; p.tokens > p.maxTokens {
		panic(&Error{Code: "54000", Message: fmt.Sprintf("statement is too complex: more than %d tokens", p.maxTokens), Pos: t.pos})
	}
	return t
}

// peek returns the k-th token after the current one; peek(1) is the next.
func (p *parser) peek(k int) token {
	for len(p.ahead) < k {
		p.ahead = append(p.ahead, p.lexOne())
	}
	return p.ahead[k-1]
}

// enter begins a production that may contain itself. It returns what leave needs.
func (p *parser) enter() int {
	if p.depth++; p.depth > p.maxDepth {
		p.tooDeep()
	}
	outer := p.height
	p.height = 0
	return outer
}

// leave ends a production: its tree is one higher than the highest in it.
func (p *parser) leave(outer int) {
	p.depth--
	p.height = max(outer, p.height+1)
}

// grow says that a node was put on top of all that the current production read so far, as in the chain a + b + c.
func (p *parser) grow() {
	if p.height++; p.height+p.depth > p.maxDepth {
		p.tooDeep()
	}
}

func (p *parser) tooDeep() {
	panic(&Error{Code: "54001", Message: "stack depth limit exceeded", Pos: p.tok.pos,
		Detail: fmt.Sprintf("The statement nests more than %d levels deep.", p.maxDepth),
		Hint:   "Write the statement with fewer nested or chained expressions."})
}

// unexpected reports a syntax error at the current token, or where a phrase of words that began with it broke off.
func (p *parser) unexpected() {
	if p.far.pos > p.tok.pos && p.farFrom == p.tok.pos {
		p.unexpectedAt(p.far)
	}
	p.unexpectedAt(p.tok)
}

func (p *parser) unexpectedAt(t token) {
	if t.kind == tokEOF {
		panic(&Error{Code: "42601", Message: "syntax error at end of input", Pos: t.pos})
	}
	panic(&Error{Code: "42601", Message: `syntax error at or near "` + p.lex.src[t.pos:t.end] + `"`, Pos: t.pos})
}

// fail reports an error of PostgreSQL's grammar that is not a plain syntax error.
func (p *parser) fail(pos int, code, msg, hint string) {
	panic(&Error{Code: code, Message: msg, Pos: pos, Hint: hint})
}

func (p *parser) expectEOF() {
	if p.tok.kind != tokEOF {
		p.unexpected()
	}
}

// isWord reports whether t is the unquoted word w, be it a keyword or not.
func (t token) isWord(w string) bool {
	return (t.kind == tokKeyword || t.kind == tokIdent && !t.quoted) && t.text == w
}

func (t token) isOp(s string) bool { return t.kind == tokOp && t.text == s }

func (p *parser) isWord(w string) bool { return p.tok.isWord(w) }
func (p *parser) isOp(s string) bool   { return p.tok.isOp(s) }

// isWords reports whether the current and following tokens are these words.
func (p *parser) isWords(words ...string) bool {
	if !p.tok.isWord(words[0]) {
		return false
	}
	for i, w := range words[1:] {
		if t := p.peek(i + 1); !t.isWord(w) {
			if p.tok.kind == tokKeyword && t.pos > p.far.pos {
				p.far, p.farFrom = t, p.tok.pos
			}
			return false
		}
	}
	return true
}

// isAny reports whether the current token is one of the words.
func (p *parser) isAny(words ...string) bool {
	for _, w := range words {
		if p.tok.isWord(w) {
			return true
		}
	}
	return false
}

// accept takes the words if they come next, all or none.
func (p *parser) accept(words ...string) bool {
	if !p.isWords(words...) {
		return false
	}
	for range words {
		p.advance()
	}
	return true
}

func (p *parser) acceptOp(s string) bool {
	if p.isOp(s) {
		p.advance()
		return true
	}
	return false
}

// expect takes the words, one after the other.
func (p *parser) expect(words ...string) {
	for _, w := range words {
		if !p.isWord(w) {
			p.unexpected()
		}
		p.advance()
	}
}

func (p *parser) expectOp(s string) {
	if !p.isOp(s) {
		p.unexpected()
	}
	p.advance()
}

// here is the current token's offset.
func (p *parser) here() At { return At(p.tok.pos) }

// span is the range of a statement that began at start and has just been read.
func (p *parser) span(start int) Span { return Span{Start: start, Stop: p.lastEnd} }

// Kinds of names, by PostgreSQL's keyword classes.
func (t token) isColID() bool {
	return t.kind == tokIdent || t.kind == tokKeyword && (t.kw.class == unreserved || t.kw.class == colName)
}
func (t token) isTypeFunc() bool {
	return t.kind == tokIdent || t.kind == tokKeyword && (t.kw.class == unreserved || t.kw.class == typeFuncName)
}
func (t token) isNonReserved() bool {
	return t.kind == tokIdent || t.kind == tokKeyword && t.kw.class != reserved
}
func (t token) isLabel() bool     { return t.kind == tokIdent || t.kind == tokKeyword }
func (t token) isBareLabel() bool { return t.kind == tokIdent || t.kind == tokKeyword && t.kw.label }

// take makes the current token an identifier.
func (p *parser) take() Ident {
	id := Ident{At: p.here(), Text: p.tok.text, Quoted: p.tok.quoted}
	p.advance()
	return id
}

// colID reads the name of a column, table or the like.
func (p *parser) colID() Ident {
	if !p.tok.isColID() {
		p.unexpected()
	}
	return p.take()
}

// label reads any word or identifier.
func (p *parser) label() Ident {
	if !p.tok.isLabel() || p.startsPhrase() {
		p.unexpected()
	}
	return p.take()
}

// startsPhrase reports whether the word and the next are one sign to PostgreSQL's parser, so that the word is no name.
func (p *parser) startsPhrase() bool {
	if p.tok.kind != tokKeyword || p.tok.text != "not" {
		return false
	}
	switch n := p.peek(1); n.text {
	case "between", "in", "like", "ilike", "similar":
		return n.kind == tokKeyword
	}
	return false
}

// nonReserved reads a word that is not reserved, or an identifier.
func (p *parser) nonReserved() Ident {
	if !p.tok.isNonReserved() {
		p.unexpected()
	}
	return p.take()
}

// name reads a possibly qualified name.
func (p *parser) name() Name {
	n := Name{At: p.here(), Parts: []Ident{p.colID()}}
	for p.acceptOp(".") {
		n.Parts = append(n.Parts, p.label())
	}
	return n
}

// relName reads the name of a relation, which has at most three parts.
func (p *parser) relName() Name {
	n := p.name()
	if len(n.Parts) > 3 {
		p.fail(n.Pos(), "42601", "improper qualified name (too many dotted names): "+joinIdents(n.Parts), "")
	}
	return n
}

func joinIdents(ids []Ident) string {
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(id.Text)
	}
	return b.String()
}

// list reads one or more items, separated by commas.
func list[T any](p *parser, item func() T) []T {
	l := []T{item()}
	for p.acceptOp(",") {
		l = append(l, item())
	}
	return l
}

// parenList reads ( item, ... ).
func parenList[T any](p *parser, item func() T) []T {
	p.expectOp("(")
	l := list(p, item)
	p.expectOp(")")
	return l
}

// stringConst reads a string constant.
func (p *parser) stringConst() string {
	if p.tok.kind != tokString {
		p.unexpected()
	}
	s := p.tok.text
	p.advance()
	return s
}
