package wire

import (
	"encoding/binary"
	"fmt"
)

// reader walks over bytes that may be damaged. After the first error every read
// gives zero, so that callers check once.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
		r.b = nil
	}
}

// atEnd reports whether nothing is left.
func (r *reader) atEnd() bool { return len(r.b) == 0 }

func (r *reader) byte(what string) byte {
	if len(r.b) == 0 {
		r.fail("%s is cut off", what)
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) uvarint(what string) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail("%s is cut off", what)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint(what string) int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail("%s is cut off", what)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a number that may not exceed most.
func (r *reader) count(what string, most int) int {
	v := r.uvarint(what)
	if v > uint64(most) {
		r.fail("%s is %d, at most %d", what, v, most)
		return 0
	}
	return int(v)
}

// bytes returns the next n bytes, aliasing the input.
func (r *reader) bytes(what string, n int) []byte {
	if n < 0 || n > len(r.b) {
		r.fail("%s has %d bytes, want %d", what, len(r.b), n)
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// blob reads a length and that many bytes.
func (r *reader) blob(what string) []byte {
	return r.bytes(what, r.count(what, len(r.b)))
}

func (r *reader) hash(what string) (h Hash) {
	copy(h[:], r.bytes(what, len(h)))
	return h
}

// end makes sure that nothing is left.
func (r *reader) end(what string) error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes after the end of %s", len(r.b), what)
	}
	return r.err
}

func appendBlob[T ~string | ~[]byte](dst []byte, v T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(v)))
	return append(dst, v...)
}
