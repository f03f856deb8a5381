package sql

import "fmt"

// Error is why a text was refused.
type Error struct {
	Code    string // SQLSTATE: 42601 syntax, 54001 too deep, 54000 too long, 42622, 22P02 ...
	Message string
	Pos     int    // byte offset in the text; the wire protocol's position counts characters from 1, see CharPos
	Hint    string // "" if there is none
	Detail  string // "" if there is none
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s (SQLSTATE %s, offset %d)", e.Message, e.Code, e.Pos)
}

// Options bounds what Parse accepts. A zero field takes the default.
type Options struct {
	MaxStatementBytes int // bytes of the whole text; default DefaultMaxStatementBytes
	MaxDepth          int // nesting of the syntax tree; default DefaultMaxDepth
	MaxTokens         int // tokens of the whole text, which bounds the tree's size; default DefaultMaxTokens
}

// Defaults of Options.
const (
	DefaultMaxStatementBytes = 16 << 20
	DefaultMaxDepth          = 2000
	DefaultMaxTokens         = 4 << 20
)
