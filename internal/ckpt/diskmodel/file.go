package diskmodel

import (
	"io"
	"io/fs"
	"syscall"
)

// file is an open file.
type file struct {
	d        *Disk
	name     string
	node     *node
	pos      int64
	writable bool
	closed   bool // guarded by d.mu
}

// begin asks the hook and locks the disk; if it returns no error, the caller unlocks.
func (f *file) begin(op Op) error {
	op.Name = f.name
	if err := f.d.begin(op); err != nil {
		return err
	}
	if f.closed {
		f.d.mu.Unlock()
		return &fs.PathError{Op: string(op.Kind), Path: f.name, Err: fs.ErrClosed}
	}
	return nil
}

func (f *file) Write(p []byte) (int, error) {
	if err := f.begin(Op{Kind: OpWrite, Off: f.pos, Bytes: len(p)}); err != nil {
		return 0, err
	}
	defer f.d.mu.Unlock()
	n, err := f.writeAt(p, f.pos)
	f.pos += int64(n)
	return n, err
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if err := f.begin(Op{Kind: OpWrite, Off: off, Bytes: len(p)}); err != nil {
		return 0, err
	}
	defer f.d.mu.Unlock()
	return f.writeAt(p, off)
}

// writeAt writes as much as there is room for.
func (f *file) writeAt(p []byte, off int64) (int, error) {
	if !f.writable || off < 0 {
		return 0, &fs.PathError{Op: string(OpWrite), Path: f.name, Err: syscall.EBADF}
	}
	n := f.node
	var err error
	if grow := off + int64(len(p)) - int64(len(n.data)); grow > 0 {
		if free := f.d.free(); grow > free {
			p = p[:max(0, int64(len(p))-(grow-free))]
			err = &fs.PathError{Op: string(OpWrite), Path: f.name, Err: syscall.ENOSPC}
		}
	}
	if len(p) > 0 {
		w := write{off, append([]byte(nil), p...)}
		f.d.used -= int64(len(n.data))
		n.data = w.apply(n.data)
		f.d.used += int64(len(n.data))
		n.writes = append(n.writes, w)
	}
	return len(p), err
}

// apply returns data with the write in it; a gap before it is zero.
func (w write) apply(data []byte) []byte {
	data = grow(data, w.off+int64(len(w.data)))
	copy(data[w.off:], w.data)
	return data
}

// grow makes data at least n bytes long.
func grow(data []byte, n int64) []byte {
	if missing := n - int64(len(data)); missing > 0 {
		data = append(data, make([]byte, missing)...)
	}
	return data
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.begin(Op{Kind: OpRead, Off: off, Bytes: len(p)}); err != nil {
		return 0, err
	}
	defer f.d.mu.Unlock()
	if off < 0 {
		return 0, &fs.PathError{Op: string(OpRead), Path: f.name, Err: fs.ErrInvalid}
	}
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Sync makes the content durable, not the name.
func (f *file) Sync() error {
	if err := f.begin(Op{Kind: OpSync}); err != nil {
		return err
	}
	defer f.d.mu.Unlock()
	n := f.node
	for _, w := range n.writes {
		n.synced = w.apply(n.synced)
	}
	n.writes = nil
	return nil
}

func (f *file) Size() (int64, error) {
	if err := f.begin(Op{Kind: OpSize}); err != nil {
		return 0, err
	}
	defer f.d.mu.Unlock()
	return int64(len(f.node.data)), nil
}

// Close closes the file even if it returns an error.
func (f *file) Close() error {
	err := f.begin(Op{Kind: OpClose})
	if err != nil {
		f.d.mu.Lock()
	}
	defer f.d.mu.Unlock()
	if !f.closed {
		f.closed = true
		f.node.handles--
		f.d.release(f.node)
	}
	return err
}
