// Package wire gives log records and batches their bytes: versioned, checksummed
// and chained by hash. Decoding validates everything it reads: damaged or hostile
// input is an error, and the memory it can make a decoder use is bounded.
package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Version is the version of the records that Seal writes. Open reads those from
// oldestVersion on.
//
// 2: SRC and STEP hold watermarks at their end, which those of version 1 lack.
// 3: SRC names the requests and messages it holds, at its end.
// 4: STEP names the rows it leaves out and those it takes again, at its end.
// 5: DDL has the digests of what it made and who computed them, STEP the views that it
// gives new circuits and the transactions that came from other nodes, CKPT how far sinks
// have come, at their ends.
const (
	Version       = 5
	oldestVersion = 1
)

// Kind says what a record holds. The numbers are stored.
type Kind uint8

// The kinds of records. Source streams hold KindSource alone; the log of a
// pipeline holds all the others.
const (
	KindEpoch  Kind = 1 // a leader took over
	KindTx     Kind = 2 // a block of changes of tables, for the step that follows
	KindStep   Kind = 3 // a committed step
	KindCkpt   Kind = 4 // a checkpoint; reserved
	KindDDL    Kind = 5 // a command to the catalog, between steps
	KindSource Kind = 6 // a block of rows of a source
)

var kindNames = [...]string{KindEpoch: "EPOCH", KindTx: "TX", KindStep: "STEP", KindCkpt: "CKPT", KindDDL: "DDL", KindSource: "SRC"}

func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Hash is the SHA-256 of a whole record; each record names the one before it.
type Hash [sha256.Size]byte

// Header is what every record begins with.
type Header struct {
	Kind  Kind
	Epoch uint64 // of the leader that wrote it
	Prev  Hash   // of the record before it in the same log; zero for the first
}

// Errors of Open and of the decoders. Callers branch on them with errors.Is.
var (
	// ErrDamaged: the bytes are not what was written.
	ErrDamaged = errors.New("damaged record")
	// ErrVersion: the record was written by a version that this one does not know.
	ErrVersion = errors.New("unknown record version")
)

// The frame: magic, version, kind, epoch, prev, body length, body, checksum.
const (
	magic0, magic1 = 'T', 'M'
	headerBytes    = 2 + 1 + 1 + 8 + sha256.Size + 4
	sumBytes       = 4
)

// Overhead is how many bytes a record has around its body.
const Overhead = headerBytes + sumBytes

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Seal returns the bytes of a record with the given body, and its hash.
func Seal(h Header, body []byte) ([]byte, Hash) {
	rec := make([]byte, 0, len(body)+Overhead)
	rec = append(rec, magic0, magic1, Version, byte(h.Kind))
	rec = binary.LittleEndian.AppendUint64(rec, h.Epoch)
	rec = append(rec, h.Prev[:]...)
	rec = binary.LittleEndian.AppendUint32(rec, uint32(len(body)))
	rec = append(rec, body...)
	rec = binary.LittleEndian.AppendUint32(rec, crc32.Checksum(rec, castagnoli))
	return rec, sha256.Sum256(rec)
}

// Open checks a record's frame and returns its header, its body, which aliases
// rec, and its hash.
func Open(rec []byte) (Header, []byte, Hash, error) {
	var h Header
	if len(rec) < Overhead || rec[0] != magic0 || rec[1] != magic1 {
		return h, nil, Hash{}, fmt.Errorf("%w: %d bytes without a frame", ErrDamaged, len(rec))
	}
	if v := rec[2]; v < oldestVersion || v > Version {
		return h, nil, Hash{}, fmt.Errorf("%w: %d, this program knows %d to %d", ErrVersion, v, oldestVersion, Version)
	}
	end := len(rec) - sumBytes
	if got, want := crc32.Checksum(rec[:end], castagnoli), binary.LittleEndian.Uint32(rec[end:]); got != want {
		return h, nil, Hash{}, fmt.Errorf("%w: checksum %08x, should be %08x", ErrDamaged, got, want)
	}
	h.Kind = Kind(rec[3])
	h.Epoch = binary.LittleEndian.Uint64(rec[4:])
	copy(h.Prev[:], rec[12:])
	if n := binary.LittleEndian.Uint32(rec[headerBytes-4:]); uint64(n) != uint64(end-headerBytes) {
		return h, nil, Hash{}, fmt.Errorf("%w: body of %d bytes, header says %d", ErrDamaged, end-headerBytes, n)
	}
	return h, rec[headerBytes:end:end], sha256.Sum256(rec), nil
}
