package fabric

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Codes of the server's errors that mean something to us.
const (
	codeAccountResources   = 10002
	codeInsufficient       = 10023
	codeStorageResources   = 10047
	codeMessageTooLarge    = 10054
	codeWrongLastID        = 10070
	codeWrongLastSequence  = 10071
	codeStoreFailed        = 10077
	codeWrongLastConstant  = 10164
	codeBatchIncomplete    = 10176 // a part of it was lost on the way
	codeBatchTooLarge      = 10199
	codeBatchesInFlight    = 10210
	statusTooManyRequests  = 429
	storeFailedMaxBytes    = "maximum bytes exceeded"
	storeFailedMaxMessages = "maximum messages exceeded"
	storeFailedTooLarge    = "message too large"
	wrongLastPrefix        = "wrong last sequence: "
)

// pubAck is the server's answer to a publish.
type pubAck struct {
	Stream string    `json:"stream"`
	Seq    uint64    `json:"seq"`
	Error  *ackError `json:"error"`
}

type ackError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *ackError) Error() string { return fmt.Sprintf("%s (code %d)", e.Description, e.ErrCode) }

func parseAck(data []byte) (pubAck, error) {
	var ack pubAck
	if err := json.Unmarshal(data, &ack); err != nil {
		return ack, fmt.Errorf("decode acknowledgement %q: %w", data[:min(len(data), 100)], err)
	}
	if ack.Error == nil && (ack.Stream == "" || ack.Seq == 0) {
		return ack, fmt.Errorf("decode acknowledgement %q: no stream or sequence", data[:min(len(data), 100)])
	}
	return ack, nil
}

// refusal translates the server's refusal of an append that expected expectLast.
func (l *Log) refusal(ctx context.Context, e *ackError, expectLast uint64) error {
	switch e.ErrCode {
	case codeWrongLastSequence, codeWrongLastConstant:
		last := wrongLast(e)
		if last == UnknownSequence {
			var err error
			if _, last, err = l.Bounds(ctx); err != nil {
				return fmt.Errorf("%w: %w: %w", ErrWrongSequence, e, err)
			}
		}
		return &WrongSequenceError{Expected: expectLast, Last: last}
	}
	return writeRefusal(e)
}

// writeRefusal translates a refusal that has nothing to do with sequences.
func writeRefusal(e *ackError) error {
	switch e.ErrCode {
	case codeMessageTooLarge, codeBatchTooLarge:
		return fmt.Errorf("%w: %w", ErrTooLarge, e)
	case codeAccountResources, codeInsufficient, codeStorageResources:
		return fmt.Errorf("%w: %w", ErrNoSpace, e)
	case codeBatchesInFlight, codeBatchIncomplete:
		return fmt.Errorf("%w: %w", ErrUnavailable, e)
	case codeStoreFailed:
		switch e.Description {
		case storeFailedMaxBytes, storeFailedMaxMessages:
			return fmt.Errorf("%w: %w", ErrNoSpace, e)
		case storeFailedTooLarge:
			return fmt.Errorf("%w: %w", ErrTooLarge, e)
		}
		return unknown(e) // the storage gave an error; some of it may have been written
	}
	if e.Code == statusTooManyRequests {
		return fmt.Errorf("%w: %w", ErrUnavailable, e)
	}
	return e
}

// isWrongSequence reports whether the server refused because of the sequence.
func isWrongSequence(e *ackError) bool {
	return e.ErrCode == codeWrongLastSequence || e.ErrCode == codeWrongLastConstant
}

// UnknownSequence stands in WrongSequenceError for a last sequence that the server did not tell.
const UnknownSequence = math.MaxUint64

// wrongLast reads the last sequence out of a refusal, or UnknownSequence.
func wrongLast(e *ackError) uint64 {
	last, err := strconv.ParseUint(strings.TrimPrefix(e.Description, wrongLastPrefix), 10, 64)
	if err != nil {
		return UnknownSequence
	}
	return last
}

func formatUint(v uint64) string { return strconv.FormatUint(v, 10) }
