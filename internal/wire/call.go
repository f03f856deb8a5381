package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/types"
)

// CallVersion is the version of calls and replies. A node refuses those of another.
const CallVersion = 1

// Bounds of calls.
const (
	maxCallTxs     = 1 << 16
	maxCallText    = 64 << 20
	maxCallNotices = 1 << 16
	maxCallPath    = 1 << 12
)

// CallKind says what a standby asks of the leader. The numbers are sent.
type CallKind uint8

// The kinds of calls.
const (
	CallTxs        CallKind = 1 // transactions, each answered by itself
	CallDDL        CallKind = 2
	CallFlush      CallKind = 3
	CallCheckpoint CallKind = 4
	CallBarrier    CallKind = 5
	CallRetry      CallKind = 6 // a row that was left out comes back
	CallDelivery   CallKind = 7 // rows for a source
)

// Call is what a standby asks of the leader. Which fields count depends on Kind.
type Call struct {
	Kind CallKind
	// Txs are the changes of each transaction. A table may have several, which belong together.
	Txs [][]Change
	// Epoch is that of the leader that the transactions are for: another one refuses them.
	// Zero: for any.
	Epoch uint64
	// Origin and Numbers name the transactions; nil: they have no names.
	Origin   uint64
	Numbers  []uint64
	DDL      *DDLCall
	Source   catalog.ID // of CallRetry
	Position uint64
	Delivery *DeliveryCall
}

// DDLCall is a command as its session means it.
type DDLCall struct {
	SQL            string // one statement
	User, Database string
	Path           []string // search path
	Zone           string   // the parameter TimeZone
	PID            int32
}

// DeliveryCall is a request that brings records to a source.
type DeliveryCall struct {
	Schema, Name string
	Body         []byte
	Sent         *Sent // nil: it has no name
}

// CallAnswer is what became of one thing that was asked for.
type CallAnswer struct {
	Step uint64 // that holds it, or on which an error is true
	Seq  uint64 // position in the log up to which that may be seen
	// Void says of an error that nothing was done and nothing will be.
	Void    bool
	Err     *types.Error // nil: it is done
	Notices []catalog.Notice
	Created []catalog.ID
	Receipt *CallReceipt // of CallDelivery
}

// CallReceipt is what became of a delivery.
type CallReceipt struct {
	Rows, Bad, Position  uint64
	Duplicate, Forgotten bool
}

// Encode returns the call's bytes.
func (c *Call) Encode() []byte {
	dst := []byte{CallVersion, byte(c.Kind)}
	switch c.Kind {
	case CallTxs:
		dst = binary.AppendUvarint(dst, c.Epoch)
		dst = appendFlag(dst, c.Numbers != nil)
		if c.Numbers != nil {
			dst = binary.LittleEndian.AppendUint64(dst, c.Origin)
		}
		dst = binary.AppendUvarint(dst, uint64(len(c.Txs)))
		for i, tx := range c.Txs {
			if c.Numbers != nil {
				dst = binary.AppendUvarint(dst, c.Numbers[i])
			}
			dst = appendChanges(dst, tx)
		}
	case CallDDL:
		d := c.DDL
		for _, s := range []string{d.SQL, d.User, d.Database, d.Zone} {
			dst = appendBlob(dst, s)
		}
		dst = binary.AppendUvarint(dst, uint64(len(d.Path)))
		for _, s := range d.Path {
			dst = appendBlob(dst, s)
		}
		dst = binary.AppendVarint(dst, int64(d.PID))
	case CallRetry:
		dst = binary.AppendUvarint(dst, uint64(c.Source))
		dst = binary.AppendUvarint(dst, c.Position)
	case CallDelivery:
		d := c.Delivery
		dst = appendBlob(dst, d.Schema)
		dst = appendBlob(dst, d.Name)
		dst = appendBlob(dst, d.Body)
		dst = appendFlag(dst, d.Sent != nil)
		if d.Sent != nil {
			dst = d.Sent.append(dst)
		}
	}
	return dst
}

// DecodeCall reads a call; it shares nothing with src.
func DecodeCall(src []byte) (*Call, error) {
	r := &reader{b: src}
	if v := r.byte("version"); r.err == nil && v != CallVersion {
		return nil, fmt.Errorf("%w: call of version %d, this program knows %d", ErrVersion, v, CallVersion)
	}
	c := &Call{Kind: CallKind(r.byte("kind"))}
	switch c.Kind {
	case CallTxs:
		c.Epoch = r.uvarint("epoch")
		named := r.flag("names of transactions")
		if named {
			c.Origin = r.uint64("origin")
		}
		for n := r.count("transactions", maxCallTxs); n > 0 && r.err == nil; n-- {
			if named {
				c.Numbers = append(c.Numbers, r.uvarint("number"))
			}
			c.Txs = append(c.Txs, r.changes())
		}
	case CallDDL:
		d := &DDLCall{SQL: r.text("statement"), User: r.text("user"), Database: r.text("database"), Zone: r.text("time zone")}
		for n := r.count("search path", maxCallPath); n > 0 && r.err == nil; n-- {
			d.Path = append(d.Path, r.text("schema"))
		}
		d.PID, c.DDL = int32(r.varint("session")), d
	case CallFlush, CallCheckpoint, CallBarrier:
	case CallRetry:
		c.Source, c.Position = r.id("source"), r.uvarint("position")
	case CallDelivery:
		d := &DeliveryCall{Schema: r.text("schema"), Name: r.text("source"), Body: append([]byte(nil), r.blob("body")...)}
		if r.flag("name of the request") {
			s := r.sent()
			d.Sent = &s
		}
		c.Delivery = d
	default:
		r.fail("call of kind %d", c.Kind)
	}
	return c, r.end("call")
}

func appendFlag(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func (r *reader) flag(what string) bool {
	v := r.byte(what)
	if v > 1 {
		r.fail("%s is %d", what, v)
	}
	return v == 1
}

func (r *reader) uint64(what string) uint64 {
	raw := r.bytes(what, 8)
	if raw == nil {
		return 0
	}
	return binary.LittleEndian.Uint64(raw)
}

// text reads a string of at most maxCallText bytes.
func (r *reader) text(what string) string {
	return string(r.bytes(what, r.count(what, min(len(r.b), maxCallText))))
}

// The flags of an answer.
const (
	answerVoid = 1 << iota
	answerErr
	answerReceipt
	answerDuplicate
	answerForgotten
	answerFlags
)

// EncodeReply returns the bytes of the answers to a call: one, or one for each transaction.
func EncodeReply(answers []CallAnswer) []byte {
	dst := binary.AppendUvarint([]byte{CallVersion}, uint64(len(answers)))
	for i := range answers {
		dst = answers[i].append(dst)
	}
	return dst
}

func (a *CallAnswer) append(dst []byte) []byte {
	flags := byte(0)
	set := func(f byte, on bool) {
		if on {
			flags |= f
		}
	}
	set(answerVoid, a.Void)
	set(answerErr, a.Err != nil)
	set(answerReceipt, a.Receipt != nil)
	set(answerDuplicate, a.Receipt != nil && a.Receipt.Duplicate)
	set(answerForgotten, a.Receipt != nil && a.Receipt.Forgotten)
	dst = append(dst, flags)
	dst = binary.AppendUvarint(dst, a.Step)
	dst = binary.AppendUvarint(dst, a.Seq)
	if e := a.Err; e != nil {
		for _, s := range []string{e.Code, e.Message, e.Detail, e.Hint} {
			dst = appendBlob(dst, s)
		}
		dst = binary.AppendUvarint(dst, uint64(e.Pos))
	}
	if c := a.Receipt; c != nil {
		dst = binary.AppendUvarint(dst, c.Rows)
		dst = binary.AppendUvarint(dst, c.Bad)
		dst = binary.AppendUvarint(dst, c.Position)
	}
	dst = binary.AppendUvarint(dst, uint64(len(a.Notices)))
	for _, n := range a.Notices {
		for _, s := range []string{n.Code, n.Message, n.Detail} {
			dst = appendBlob(dst, s)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(a.Created)))
	for _, id := range a.Created {
		dst = binary.AppendUvarint(dst, uint64(id))
	}
	return dst
}

// DecodeReply reads what EncodeReply wrote.
func DecodeReply(src []byte) ([]CallAnswer, error) {
	r := &reader{b: src}
	if v := r.byte("version"); r.err == nil && v != CallVersion {
		return nil, fmt.Errorf("%w: reply of version %d, this program knows %d", ErrVersion, v, CallVersion)
	}
	var out []CallAnswer
	for n := r.count("answers", maxCallTxs); n > 0 && r.err == nil; n-- {
		out = append(out, r.answer())
	}
	return out, r.end("reply")
}

func (r *reader) answer() CallAnswer {
	flags := r.byte("flags")
	if flags >= answerFlags {
		r.fail("flags %x of an answer", flags)
	}
	a := CallAnswer{Void: flags&answerVoid != 0, Step: r.uvarint("step"), Seq: r.uvarint("position in the log")}
	if flags&answerErr != 0 {
		a.Err = &types.Error{Code: r.text("code"), Message: r.text("message"), Detail: r.text("detail"), Hint: r.text("hint"), Pos: r.count("position of an error", maxCallText)}
	}
	if flags&answerReceipt != 0 {
		a.Receipt = &CallReceipt{Rows: r.uvarint("rows"), Bad: r.uvarint("bad records"), Position: r.uvarint("position"),
			Duplicate: flags&answerDuplicate != 0, Forgotten: flags&answerForgotten != 0}
	}
	for n := r.count("notices", maxCallNotices); n > 0 && r.err == nil; n-- {
		a.Notices = append(a.Notices, catalog.Notice{Code: r.text("code"), Message: r.text("message"), Detail: r.text("detail")})
	}
	for n := r.count("relations", maxOutputs); n > 0 && r.err == nil; n-- {
		a.Created = append(a.Created, r.id("relation"))
	}
	return a
}
