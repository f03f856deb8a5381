package ckpt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/tidemill/tidemill/internal/state"
)

// A record is a frame and a payload:
//
//	0   u16  recordMagic
//	2   u8   kind (state.RecordKind; kindSpill in the scratch file)
//	3   u8   recordVersion
//	4   u32  length of the payload in bytes
//	8   u64  owner
//	16  u32  CRC-32C of all else: bytes 0 to 15 and the payload
//	20       payload
//
// All numbers are little-endian.
const (
	recordMagic   = 0x4D54 // "TM"
	recordVersion = 1

	// FrameBytes is how many bytes a record has before its payload.
	FrameBytes = 20

	// MaxPayloadBytes is how long the payload of a record may be.
	MaxPayloadBytes = 1 << 30

	// kindSpill is the kind of the records of the scratch file, so that one is never
	// taken for the other.
	kindSpill state.RecordKind = 0x7F
)

// A pack begins with a header, which says that it is one and which:
//
//	0   4 bytes  "TMPK"
//	4   u16      packVersion
//	6   u16      0
//	8   u32      the pack's number
//	12  u32      CRC-32C of bytes 0 to 11
//
// Records follow without gaps up to the end of the file.
const (
	packMagic       = "TMPK"
	packVersion     = 1
	packHeaderBytes = 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Errors that callers branch on with errors.Is.
var (
	// ErrDamaged: what is on disk is not what was written, or is not there. What was
	// found where is in the DamageError.
	ErrDamaged = errors.New("damaged checkpoint")
	// ErrVersion: a newer program wrote it, in a format that this one does not know.
	ErrVersion = errors.New("unknown checkpoint format")
	// ErrNoSpace: the disk is full, or has less left than the reserve.
	ErrNoSpace = errors.New("no space left for checkpoints")
	// ErrScratchFull: the scratch file is as large as it may be.
	ErrScratchFull = errors.New("scratch file is full")
	// ErrBusy: a checkpoint is being written already.
	ErrBusy = errors.New("another checkpoint is being written")
	// ErrAborted: the checkpoint was given up.
	ErrAborted = errors.New("checkpoint was given up")
)

// DamageError says where something is not as it was written.
type DamageError struct {
	File   string           // below the store's directory
	Offset int64            // of the record in the file; -1 if it is about the file as a whole
	Kind   state.RecordKind // as the record says, 0 if it says none
	Owner  uint64           // likewise
	What   string           // what is wrong
	Err    error            // what the file system said, if anything
}

func (e *DamageError) Error() string {
	at := e.File
	if e.Offset >= 0 {
		at = fmt.Sprintf("%s at offset %d", e.File, e.Offset)
		if e.Kind != 0 {
			at += fmt.Sprintf(" (%s of %#x)", kindName(e.Kind), e.Owner)
		}
	}
	if e.Err != nil {
		return fmt.Sprintf("%v: %s: %s: %v", ErrDamaged, at, e.What, e.Err)
	}
	return fmt.Sprintf("%v: %s: %s", ErrDamaged, at, e.What)
}

// Unwrap makes errors.Is(e, ErrDamaged) true.
func (e *DamageError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrDamaged}
	}
	return []error{ErrDamaged, e.Err}
}

func kindName(k state.RecordKind) string {
	switch k {
	case state.RecordPage:
		return "page"
	case state.RecordTable:
		return "page table"
	case state.RecordBlock:
		return "block"
	case state.RecordImage:
		return "image"
	case kindSpill:
		return "spilled page"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// isPackKind reports whether records of this kind are kept in packs.
func isPackKind(k state.RecordKind) bool {
	return k >= state.RecordPage && k <= state.RecordImage
}

// putFrame fills in the frame of a record, FrameBytes long.
func putFrame(frame []byte, kind state.RecordKind, owner uint64, payload []byte) {
	binary.LittleEndian.PutUint16(frame[0:], recordMagic)
	frame[2] = byte(kind)
	frame[3] = recordVersion
	binary.LittleEndian.PutUint32(frame[4:], uint32(len(payload)))
	binary.LittleEndian.PutUint64(frame[8:], owner)
	binary.LittleEndian.PutUint32(frame[16:], recordSum(frame[:16], payload))
}

func recordSum(head, payload []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, head), castagnoli, payload)
}

// checkRecord says what is wrong with the bytes of one whole record, "" if nothing is.
func checkRecord(rec []byte) string {
	if len(rec) < FrameBytes {
		return fmt.Sprintf("%d bytes are too few for a record", len(rec))
	}
	if m := binary.LittleEndian.Uint16(rec); m != recordMagic {
		return fmt.Sprintf("no record begins here: %#04x in place of %#04x", m, recordMagic)
	}
	if n := binary.LittleEndian.Uint32(rec[4:]); uint64(n) != uint64(len(rec)-FrameBytes) {
		return fmt.Sprintf("record says it has %d bytes, should be %d", n, len(rec)-FrameBytes)
	}
	got, want := recordSum(rec[:16], rec[FrameBytes:]), binary.LittleEndian.Uint32(rec[16:])
	if got != want && !trustsRecords {
		return fmt.Sprintf("checksum %08x, should be %08x", got, want)
	}
	if v := rec[3]; v != recordVersion {
		return fmt.Sprintf("record version %d, this program knows %d", v, recordVersion)
	}
	return ""
}

// recordKind and recordOwner are what a frame says; of a damaged one they may be wrong.
func recordKind(rec []byte) state.RecordKind {
	if len(rec) < FrameBytes {
		return 0
	}
	return state.RecordKind(rec[2])
}

func recordOwner(rec []byte) uint64 {
	if len(rec) < FrameBytes {
		return 0
	}
	return binary.LittleEndian.Uint64(rec[8:])
}

// packHeader returns the first bytes of pack number.
func packHeader(number uint32) [packHeaderBytes]byte {
	var h [packHeaderBytes]byte
	copy(h[:], packMagic)
	binary.LittleEndian.PutUint16(h[4:], packVersion)
	binary.LittleEndian.PutUint32(h[8:], number)
	binary.LittleEndian.PutUint32(h[12:], crc32.Checksum(h[:12], castagnoli))
	return h
}

// checkPackHeader says what is wrong with the first bytes of pack number, "" if
// nothing is.
func checkPackHeader(h []byte, number uint32) string {
	if len(h) < packHeaderBytes || string(h[:4]) != packMagic {
		return "not a pack"
	}
	if got, want := crc32.Checksum(h[:12], castagnoli), binary.LittleEndian.Uint32(h[12:]); got != want {
		return fmt.Sprintf("checksum of its header %08x, should be %08x", got, want)
	}
	if v := binary.LittleEndian.Uint16(h[4:]); v != packVersion {
		return fmt.Sprintf("pack version %d, this program knows %d", v, packVersion)
	}
	if n := binary.LittleEndian.Uint32(h[8:]); n != number {
		return fmt.Sprintf("it is pack %d, should be %d", n, number)
	}
	return ""
}
