// Package powercut is a file system for tests that forgets, when the power is cut, what
// was written and not synced. It is a module of its own, since nothing else needs FUSE.
package powercut

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Disk is a mounted directory. It keeps its books as a journaling file system does:
// names (files made, renamed, removed, cut) become durable in the order they were
// changed, at the latest with the next sync of any file or directory; content becomes
// durable when its own file is synced.
type Disk struct {
	live    string // what programs see
	durable string // what the power does not take
	mount   string
	server  *fuse.Server

	mu    sync.Mutex
	names []func() error    // changes of names that are not durable, in order
	dirty map[uint64][]span // by inode: what was written and not synced
	nodes map[uint64]*node  // of such inodes
	syncs int               // calls of sync, of any kind
}

// span is bytes from..to of a file.
type span struct{ from, to int64 }

// Mount makes a disk in dir, which is empty, and mounts it.
func Mount(dir string) (*Disk, error) {
	d := &Disk{live: filepath.Join(dir, "live"), durable: filepath.Join(dir, "durable"), mount: filepath.Join(dir, "mount")}
	for _, p := range []string{d.live, d.durable, d.mount} {
		if err := os.Mkdir(p, 0o700); err != nil {
			return nil, err
		}
	}
	return d, d.start()
}

// Dir is where programs find the disk.
func (d *Disk) Dir() string { return d.mount }

// Syncs returns how often something was synced.
func (d *Disk) Syncs() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.syncs
}

func (d *Disk) start() error {
	d.names, d.dirty, d.nodes = nil, map[uint64][]span{}, map[uint64]*node{}
	var st syscall.Stat_t
	if err := syscall.Stat(d.live, &st); err != nil {
		return err
	}
	root := &fusefs.LoopbackRoot{Path: d.live, Dev: uint64(st.Dev)}
	root.NewNode = func(r *fusefs.LoopbackRoot, _ *fusefs.Inode, _ string, _ *syscall.Stat_t) fusefs.InodeEmbedder {
		return &node{LoopbackNode: fusefs.LoopbackNode{RootData: r}, d: d}
	}
	root.RootNode = root.NewNode(root, nil, "", &st)
	server, err := fusefs.Mount(d.mount, root.RootNode, &fusefs.Options{MountOptions: fuse.MountOptions{DirectMount: true, DirectMountStrict: true}})
	d.server = server
	return err
}

// Unmount ends the disk. Nothing has it open.
func (d *Disk) Unmount() error { return d.server.Unmount() }

// Cut takes the power away and brings it back: what was not synced is gone, but for the
// first changes of names, and the first writes of some files, as choose (0 to n-1)
// says. Nothing has the disk open.
func (d *Disk) Cut(choose func(n int) int) (lost int64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	paths := map[uint64]string{}
	for ino, n := range d.nodes {
		paths[ino] = n.path()
	}
	if err := d.Unmount(); err != nil {
		return 0, err
	}
	for _, change := range d.names[:choose(len(d.names)+1)] {
		if err := change(); err != nil {
			return 0, err
		}
	}
	for ino, spans := range d.dirty {
		keep := 0
		if choose(2) == 0 {
			keep = choose(len(spans) + 1)
		}
		if err := d.copy(paths[ino], spans[:keep], choose(2) == 0); err != nil {
			return 0, err
		}
		for _, s := range spans[keep:] {
			lost += s.to - s.from
		}
	}
	if err := os.RemoveAll(d.live); err != nil {
		return 0, err
	}
	if err := os.CopyFS(d.live, os.DirFS(d.durable)); err != nil {
		return 0, err
	}
	return lost, d.start()
}

// sector is what a disk writes at once.
const sector = 512

// copy makes parts of a file durable; with torn, the last one ends in the middle. A
// file whose name is not durable is left out.
func (d *Disk) copy(name string, spans []span, torn bool) error {
	if len(spans) == 0 {
		return nil
	}
	from, err := os.Open(filepath.Join(d.live, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed since
	}
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(filepath.Join(d.durable, name), os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer to.Close()
	for i, s := range spans {
		n := s.to - s.from
		if torn && i == len(spans)-1 {
			n = n / 2 / sector * sector
		}
		buf := make([]byte, n)
		got, err := from.ReadAt(buf, s.from)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if _, err := to.WriteAt(buf[:got], s.from); err != nil {
			return err
		}
	}
	return nil
}

// commit makes all names durable.
func (d *Disk) commit() error {
	d.syncs++
	for _, change := range d.names {
		if err := change(); err != nil {
			return err
		}
	}
	d.names = nil
	return nil
}

// later notes a change of names.
func (d *Disk) later(change func() error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names = append(d.names, change)
}

// node is a file or directory of the disk.
type node struct {
	fusefs.LoopbackNode
	d *Disk
}

var (
	_ fusefs.NodeCreater   = (*node)(nil)
	_ fusefs.NodeOpener    = (*node)(nil)
	_ fusefs.NodeMkdirer   = (*node)(nil)
	_ fusefs.NodeUnlinker  = (*node)(nil)
	_ fusefs.NodeRmdirer   = (*node)(nil)
	_ fusefs.NodeRenamer   = (*node)(nil)
	_ fusefs.NodeSetattrer = (*node)(nil)
	_ fusefs.NodeFsyncer   = (*node)(nil)
)

func (n *node) path() string { return n.Path(n.Root()) }

func (n *node) durable(name ...string) string {
	return filepath.Join(append([]string{n.d.durable, n.path()}, name...)...)
}

// Create makes a file.
func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fusefs.Inode, fusefs.FileHandle, uint32, syscall.Errno) {
	ino, f, fl, errno := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	if errno != 0 {
		return ino, f, fl, errno
	}
	at := n.durable(name)
	n.d.later(func() error {
		c, err := os.OpenFile(at, os.O_CREATE|os.O_WRONLY, fs.FileMode(mode).Perm())
		if err != nil {
			return err
		}
		return c.Close()
	})
	return ino, ino.Operations().(*node).file(f), fl, 0
}

// Open opens a file.
func (n *node) Open(ctx context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	f, fl, errno := n.LoopbackNode.Open(ctx, flags)
	if errno != 0 {
		return f, fl, errno
	}
	return n.file(f), fl, 0
}

// Mkdir makes a directory.
func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	ino, errno := n.LoopbackNode.Mkdir(ctx, name, mode, out)
	if errno == 0 {
		at := n.durable(name)
		n.d.later(func() error { return os.MkdirAll(at, fs.FileMode(mode).Perm()) })
	}
	return ino, errno
}

// Unlink removes a file.
func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	errno := n.LoopbackNode.Unlink(ctx, name)
	if errno == 0 {
		n.remove(name)
	}
	return errno
}

// Rmdir removes a directory.
func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	errno := n.LoopbackNode.Rmdir(ctx, name)
	if errno == 0 {
		n.remove(name)
	}
	return errno
}

func (n *node) remove(name string) {
	at := n.durable(name)
	n.d.later(func() error { return os.Remove(at) })
}

// Rename moves a file or directory.
func (n *node) Rename(ctx context.Context, name string, to fusefs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	errno := n.LoopbackNode.Rename(ctx, name, to, newName, flags)
	if errno == 0 {
		from, at := n.durable(name), filepath.Join(n.d.durable, to.EmbeddedInode().Path(n.Root()), newName)
		n.d.later(func() error { return os.Rename(from, at) })
	}
	return errno
}

// Setattr changes a file's attributes, of which its size matters.
func (n *node) Setattr(ctx context.Context, f fusefs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if h, ok := f.(*file); ok {
		f = h.LoopbackFile
	}
	errno := n.LoopbackNode.Setattr(ctx, f, in, out)
	if size, ok := in.GetSize(); ok && errno == 0 {
		at := n.durable()
		n.d.later(func() error {
			err := os.Truncate(at, int64(size))
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		})
		n.d.mu.Lock()
		defer n.d.mu.Unlock()
		ino := n.StableAttr().Ino
		for i, s := range n.d.dirty[ino] {
			n.d.dirty[ino][i] = span{min(s.from, int64(size)), min(s.to, int64(size))}
		}
	}
	return errno
}

// Fsync makes a file, or the names in a directory, durable.
func (n *node) Fsync(ctx context.Context, f fusefs.FileHandle, flags uint32) syscall.Errno {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	err := n.d.commit()
	ino := n.StableAttr().Ino
	if err == nil {
		err = n.d.copy(n.path(), n.d.dirty[ino], false)
	}
	if err != nil {
		return fusefs.ToErrno(err)
	}
	delete(n.d.dirty, ino)
	return 0
}

func (n *node) file(f fusefs.FileHandle) fusefs.FileHandle {
	return &file{f.(*fusefs.LoopbackFile), n}
}

// file is an open file.
type file struct {
	*fusefs.LoopbackFile
	n *node
}

// PassthroughFd keeps the kernel from writing without us.
func (f *file) PassthroughFd() (int, bool) { return 0, false }

// Write notes what is written.
func (f *file) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	n, errno := f.LoopbackFile.Write(ctx, data, off)
	if n > 0 {
		d, ino := f.n.d, f.n.StableAttr().Ino
		d.mu.Lock()
		defer d.mu.Unlock()
		d.dirty[ino] = append(d.dirty[ino], span{off, off + int64(n)})
		d.nodes[ino] = f.n
	}
	return n, errno
}

// Fsync makes the file durable.
func (f *file) Fsync(ctx context.Context, flags uint32) syscall.Errno {
	return f.n.Fsync(ctx, f, flags)
}
