package types

// Error is an error that SQL clients see: SQLSTATE, message, and where it helps
// a byte offset into the statement, a detail and a hint. Every package that
// reports errors to SQL clients uses it.
type Error struct {
	Code    string // five-character SQLSTATE
	Message string // PostgreSQL's wording where it has one; lower case, no period
	Detail  string
	Hint    string
	Pos     int // 1 + byte offset into the statement; 0 when unknown
}

func (e *Error) Error() string { return e.Message }

// At returns a copy of e positioned at byte offset off, unless it already has a position.
func (e *Error) At(off int) *Error {
	if e.Pos != 0 {
		return e
	}
	c := *e
	c.Pos = off + 1
	return &c
}

// SQLSTATE codes that more than one package needs.
const (
	CodeDivisionByZero      = "22012"
	CodeOutOfRange          = "22003"
	CodeInvalidText         = "22P02"
	CodeInvalidDatetime     = "22007"
	CodeDatetimeOverflow    = "22008"
	CodeStringTruncation    = "22001"
	CodeInvalidParameter    = "22023"
	CodeNotNull             = "23502"
	CodeUnique              = "23505"
	CodeCheck               = "23514"
	CodeSyntax              = "42601"
	CodeUndefinedTable      = "42P01"
	CodeUndefinedColumn     = "42703"
	CodeUndefinedFunction   = "42883"
	CodeUndefinedObject     = "42704"
	CodeDuplicateTable      = "42P07"
	CodeDuplicateColumn     = "42701"
	CodeAmbiguousColumn     = "42702"
	CodeAmbiguousFunction   = "42725"
	CodeDatatypeMismatch    = "42804"
	CodeGrouping            = "42803"
	CodeWrongObject         = "42809"
	CodeDependent           = "2BP01"
	CodeCardinality         = "21000"
	CodeFeature             = "0A000"
	CodeTooComplex          = "54001"
	CodeOutOfMemory         = "53200"
	CodeDiskFull            = "53100"
	CodeTooManyConnections  = "53300"
	CodeQueryCanceled       = "57014"
	CodeSerialization       = "40001"
	CodeInternal            = "XX000"
	CodeInFailedTransaction = "25P02"
	// Codes of our own, in classes of PostgreSQL.
	CodeSequenceGap = "55T01" // a producer left out a sequence
	CodeKeyReused   = "22T01" // an idempotency key that came before with other content
)
