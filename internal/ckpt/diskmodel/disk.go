// Package diskmodel is a disk in memory that does the worst a disk may do: what was not
// synced is lost at a crash, or some of it, torn between sectors; names of files come and
// go only with their directory's sync; it fills up, returns errors and flips bits. It is
// for tests alone.
//
// All chance comes from one function, so that a seed gives the same disk again.
package diskmodel

import (
	"errors"
	"io/fs"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/tidemill/tidemill/internal/ckpt"
)

// SectorBytes is what is written whole or not at all.
const SectorBytes = 512

// ErrCrashed is what every operation returns once the machine has stopped.
var ErrCrashed = errors.New("the machine has stopped")

// OpKind says what an operation does.
type OpKind string

// The kinds of operations.
const (
	OpCreate  OpKind = "create"
	OpOpen    OpKind = "open"
	OpRename  OpKind = "rename"
	OpRemove  OpKind = "remove"
	OpList    OpKind = "list"
	OpMkdir   OpKind = "mkdir"
	OpSyncDir OpKind = "syncdir"
	OpFree    OpKind = "free"
	OpWrite   OpKind = "write"
	OpRead    OpKind = "read"
	OpSync    OpKind = "sync"
	OpSize    OpKind = "size"
	OpClose   OpKind = "close"
)

// Op is an operation that is about to be done.
type Op struct {
	N     int // how many were before it on this disk
	Kind  OpKind
	Name  string
	To    string // of a rename
	Off   int64  // of a read or a write
	Bytes int    // likewise
}

// Changes reports whether the operation may change what is there after a crash.
func (o Op) Changes() bool {
	switch o.Kind {
	case OpCreate, OpRename, OpRemove, OpMkdir, OpSyncDir, OpWrite, OpSync:
		return true
	}
	return false
}

// Disk is a ckpt.FS. Its methods may be called by several goroutines, but then what
// chance decides depends on their order.
type Disk struct {
	choose func(n int) int

	mu       sync.Mutex
	hook     func(Op) error
	ops      int
	dead     bool
	capacity int64 // 0: no bound
	used     int64 // what files hold together
	root     *node
}

var _ ckpt.FS = (*Disk)(nil)

// node is a file or a directory.
type node struct {
	// Of a directory: what is in it, what of that would be there after a crash, and
	// the changes of the one towards the other, in order.
	isDir    bool
	children map[string]*node
	durable  map[string]*node
	pending  []nameChange

	// Of a file: its content, what of it would surely be there after a crash, and what
	// was written on top of that, in order.
	data    []byte
	synced  []byte
	writes  []write
	links   int // in how many directories it is
	handles int // how often it is open
}

// nameChange is done whole or not at all. A nil node means that there is none of that
// name any more.
type nameChange []named

type named struct {
	name string
	node *node
}

type write struct {
	off  int64
	data []byte
}

// New returns an empty disk without a bound. choose returns a number in [0, n), n > 0;
// it decides what a crash leaves.
func New(choose func(n int) int) *Disk {
	return &Disk{choose: choose, root: newDir()}
}

func newDir() *node {
	return &node{isDir: true, children: map[string]*node{}, durable: map[string]*node{}}
}

// SetHook has hook called before each operation; if it returns an error the operation
// returns that and does nothing. nil: no hook. The hook may call the disk.
func (d *Disk) SetHook(hook func(Op) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hook = hook
}

// SetCapacity bounds what files hold together; 0: no bound. What is there stays.
func (d *Disk) SetCapacity(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = bytes
}

// Ops returns how many operations were done or refused.
func (d *Disk) Ops() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ops
}

// Used returns how much files hold together, those among them that are removed but
// open.
func (d *Disk) Used() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used
}

// begin counts an operation, asks the hook and locks the disk; if it returns no error,
// the caller unlocks.
func (d *Disk) begin(op Op) error {
	d.mu.Lock()
	op.N = d.ops
	d.ops++
	hook := d.hook
	d.mu.Unlock()
	var err error
	if hook != nil {
		err = hook(op)
	}
	d.mu.Lock()
	if d.dead { // maybe by the hook
		err = ErrCrashed
	}
	if err == nil {
		return nil
	}
	d.mu.Unlock()
	return &fs.PathError{Op: string(op.Kind), Path: op.Name, Err: err}
}

// find returns the directory that name is in and the last part of name.
func (d *Disk) find(op OpKind, name string) (*node, string, error) {
	fail := func(err error) (*node, string, error) {
		return nil, "", &fs.PathError{Op: string(op), Path: name, Err: err}
	}
	if !fs.ValidPath(name) || name == "." {
		return fail(fs.ErrInvalid)
	}
	dir, base := path.Split(name)
	n := d.dir(strings.TrimSuffix(dir, "/"))
	if n == nil {
		return fail(fs.ErrNotExist)
	}
	return n, base, nil
}

// dir returns a directory, nil if it is not there.
func (d *Disk) dir(name string) *node {
	n := d.root
	if name == "" || name == "." {
		return n
	}
	for part := range strings.SplitSeq(name, "/") {
		n = n.children[part]
		if n == nil || !n.isDir {
			return nil
		}
	}
	return n
}

// change does a change of names in a directory now, and durably when it is synced.
func (d *Disk) change(dir *node, c nameChange) {
	for _, x := range c {
		old := dir.children[x.name]
		if x.node == nil {
			delete(dir.children, x.name)
		} else {
			dir.children[x.name] = x.node
			x.node.links++
		}
		if old != nil {
			old.links--
			d.release(old)
		}
	}
	dir.pending = append(dir.pending, c)
}

// release gives the room of a file back that has no name and is not open.
func (d *Disk) release(n *node) {
	if !n.isDir && n.links == 0 && n.handles == 0 {
		d.used -= int64(len(n.data))
	}
}

// Create makes a new file, open for writing and reading.
func (d *Disk) Create(name string) (ckpt.File, error) {
	if err := d.begin(Op{Kind: OpCreate, Name: name}); err != nil {
		return nil, err
	}
	defer d.mu.Unlock()
	dir, base, err := d.find(OpCreate, name)
	if err != nil {
		return nil, err
	}
	if dir.children[base] != nil {
		return nil, &fs.PathError{Op: string(OpCreate), Path: name, Err: fs.ErrExist}
	}
	n := &node{handles: 1}
	d.change(dir, nameChange{{base, n}})
	return &file{d: d, name: name, node: n, writable: true}, nil
}

// Open opens a file for reading.
func (d *Disk) Open(name string) (ckpt.File, error) {
	if err := d.begin(Op{Kind: OpOpen, Name: name}); err != nil {
		return nil, err
	}
	defer d.mu.Unlock()
	n, err := d.file(OpOpen, name)
	if err != nil {
		return nil, err
	}
	n.handles++
	return &file{d: d, name: name, node: n}, nil
}

// file returns a file that is there.
func (d *Disk) file(op OpKind, name string) (*node, error) {
	dir, base, err := d.find(op, name)
	if err != nil {
		return nil, err
	}
	n := dir.children[base]
	if n == nil {
		return nil, &fs.PathError{Op: string(op), Path: name, Err: fs.ErrNotExist}
	}
	if n.isDir {
		return nil, &fs.PathError{Op: string(op), Path: name, Err: syscall.EISDIR}
	}
	return n, nil
}

// Rename moves a file, in place of one that is there.
func (d *Disk) Rename(from, to string) error {
	if err := d.begin(Op{Kind: OpRename, Name: from, To: to}); err != nil {
		return err
	}
	defer d.mu.Unlock()
	n, err := d.file(OpRename, from)
	if err != nil {
		return err
	}
	fromDir, fromBase, _ := d.find(OpRename, from)
	toDir, toBase, err := d.find(OpRename, to)
	if err != nil {
		return err
	}
	if old := toDir.children[toBase]; old == n {
		return nil
	} else if old != nil && old.isDir {
		return &fs.PathError{Op: string(OpRename), Path: to, Err: syscall.EISDIR}
	}
	if fromDir == toDir {
		d.change(fromDir, nameChange{{toBase, n}, {fromBase, nil}})
		return nil
	}
	// Between two directories, one sync does not make both durable.
	d.change(toDir, nameChange{{toBase, n}})
	d.change(fromDir, nameChange{{fromBase, nil}})
	return nil
}

// Remove deletes a file, if it is there.
func (d *Disk) Remove(name string) error {
	if err := d.begin(Op{Kind: OpRemove, Name: name}); err != nil {
		return err
	}
	defer d.mu.Unlock()
	dir, base, err := d.find(OpRemove, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	n := dir.children[base]
	if n == nil {
		return nil
	}
	if n.isDir && len(n.children) > 0 {
		return &fs.PathError{Op: string(OpRemove), Path: name, Err: syscall.ENOTEMPTY}
	}
	d.change(dir, nameChange{{base, nil}})
	return nil
}

// List returns the files in a directory by name.
func (d *Disk) List(name string) ([]ckpt.Info, error) {
	if err := d.begin(Op{Kind: OpList, Name: name}); err != nil {
		return nil, err
	}
	defer d.mu.Unlock()
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: string(OpList), Path: name, Err: fs.ErrInvalid}
	}
	dir := d.dir(name)
	if dir == nil {
		return nil, nil
	}
	var files []ckpt.Info
	for _, base := range slices.Sorted(maps.Keys(dir.children)) {
		if n := dir.children[base]; !n.isDir {
			files = append(files, ckpt.Info{Name: base, SizeBytes: int64(len(n.data))})
		}
	}
	return files, nil
}

// MkdirAll makes a directory and those above it.
func (d *Disk) MkdirAll(name string) error {
	if err := d.begin(Op{Kind: OpMkdir, Name: name}); err != nil {
		return err
	}
	defer d.mu.Unlock()
	if !fs.ValidPath(name) {
		return &fs.PathError{Op: string(OpMkdir), Path: name, Err: fs.ErrInvalid}
	}
	n := d.root
	if name == "." {
		return nil
	}
	for part := range strings.SplitSeq(name, "/") {
		next := n.children[part]
		if next == nil {
			next = newDir()
			d.change(n, nameChange{{part, next}})
		}
		if !next.isDir {
			return &fs.PathError{Op: string(OpMkdir), Path: name, Err: syscall.ENOTDIR}
		}
		n = next
	}
	return nil
}

// SyncDir makes the names in a directory durable.
func (d *Disk) SyncDir(name string) error {
	if err := d.begin(Op{Kind: OpSyncDir, Name: name}); err != nil {
		return err
	}
	defer d.mu.Unlock()
	dir := d.dir(name)
	if !fs.ValidPath(name) || dir == nil {
		return &fs.PathError{Op: string(OpSyncDir), Path: name, Err: fs.ErrNotExist}
	}
	dir.durable = maps.Clone(dir.children)
	dir.pending = nil
	return nil
}

// Free returns how many bytes may still be written.
func (d *Disk) Free() (int64, error) {
	if err := d.begin(Op{Kind: OpFree}); err != nil {
		return 0, err
	}
	defer d.mu.Unlock()
	return d.free(), nil
}

func (d *Disk) free() int64 {
	if d.capacity == 0 {
		return math.MaxInt64
	}
	return max(0, d.capacity-d.used)
}
