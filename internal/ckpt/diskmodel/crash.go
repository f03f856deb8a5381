package diskmodel

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/tidemill/tidemill/internal/ckpt"
)

// Stop makes every operation from now on return ErrCrashed.
func (d *Disk) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
}

// Crash stops the machine and returns a disk with what is there when it is started
// again: synced content under synced names, and of the rest what chance leaves. Of the
// changes of names in a directory that is the first so many; of the writes to a file any,
// and of each of these any of its sectors. The new disk has the capacity and the choose
// function of d, all in it is durable, and it has no hook. Crash may be called again, for
// another outcome of the same crash.
func (d *Disk) Crash() *Disk {
	d.Stop()
	return d.AfterCrash()
}

// AfterCrash returns what Crash would if the machine stopped now; d goes on.
func (d *Disk) AfterCrash() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := crash{choose: d.choose, done: make(map[*node]*node)}
	root := c.dir(d.root)
	return &Disk{choose: d.choose, capacity: d.capacity, used: c.used, root: root}
}

type crash struct {
	choose func(n int) int
	used   int64
	done   map[*node]*node // by what it was, so that a file of two names stays one
}

func (c *crash) dir(old *node) *node {
	names := maps.Clone(old.durable)
	if len(old.pending) > 0 {
		for _, change := range old.pending[:c.choose(len(old.pending)+1)] {
			for _, x := range change {
				if x.node == nil {
					delete(names, x.name)
				} else {
					names[x.name] = x.node
				}
			}
		}
	}
	dir := newDir()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n := c.node(names[name])
		n.links++
		dir.children[name] = n
	}
	dir.durable = maps.Clone(dir.children)
	return dir
}

func (c *crash) node(old *node) *node {
	if n := c.done[old]; n != nil {
		return n
	}
	var n *node
	if old.isDir {
		n = c.dir(old)
	} else {
		data := c.content(old)
		c.used += int64(len(data))
		n = &node{data: data, synced: slices.Clone(data)}
	}
	c.done[old] = n
	return n
}

// content returns what is left of a file.
func (c *crash) content(old *node) []byte {
	data := slices.Clone(old.synced)
	if len(old.writes) == 0 {
		return data
	}
	switch c.choose(4) {
	case 0: // nothing
	case 1: // all of it
		for _, w := range old.writes {
			data = w.apply(data)
		}
	case 2: // up to some point
		k := c.choose(len(old.writes))
		for _, w := range old.writes[:k] {
			data = w.apply(data)
		}
		sectors := old.writes[k].sectors()
		for _, w := range sectors[:c.choose(len(sectors)+1)] {
			data = w.apply(data)
		}
	case 3: // any of it
		for _, w := range old.writes {
			switch c.choose(3) {
			case 0:
			case 1:
				data = w.apply(data)
			case 2:
				for _, s := range w.sectors() {
					if c.choose(2) == 0 {
						data = s.apply(data)
					}
				}
			}
		}
	}
	if c.choose(4) == 0 { // the length without what is in it
		data = grow(data, int64(len(old.data)))
	}
	return data
}

// sectors cuts a write at the borders of sectors.
func (w write) sectors() []write {
	var parts []write
	for len(w.data) > 0 {
		n := min(SectorBytes-w.off%SectorBytes, int64(len(w.data)))
		parts = append(parts, write{w.off, w.data[:n]})
		w = write{w.off + n, w.data[n:]}
	}
	return parts
}

// Files returns the files that are there, by their full names in order.
func (d *Disk) Files() []ckpt.Info {
	d.mu.Lock()
	defer d.mu.Unlock()
	var files []ckpt.Info
	var walk func(dir *node, prefix string)
	walk = func(dir *node, prefix string) {
		for _, base := range slices.Sorted(maps.Keys(dir.children)) {
			n := dir.children[base]
			if n.isDir {
				walk(n, prefix+base+"/")
			} else {
				files = append(files, ckpt.Info{Name: prefix + base, SizeBytes: int64(len(n.data))})
			}
		}
	}
	walk(d.root, "")
	return files
}

// Flip turns one bit of a file over, in what is there and in what is there after a
// crash; bit counts from the lowest of the first byte.
func (d *Disk) Flip(name string, bit int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.file("flip", name)
	if err != nil {
		return err
	}
	at, mask := bit/8, byte(1)<<(bit%8)
	if bit < 0 || at >= int64(len(n.data)) {
		return &fs.PathError{Op: "flip", Path: name, Err: fmt.Errorf("%w: bit %d of %d bytes", fs.ErrInvalid, bit, len(n.data))}
	}
	n.data[at] ^= mask
	if at < int64(len(n.synced)) {
		n.synced[at] ^= mask
	}
	for _, w := range n.writes {
		if at >= w.off && at < w.off+int64(len(w.data)) {
			w.data[at-w.off] ^= mask
		}
	}
	return nil
}

// Truncate cuts a file to size bytes, durably.
func (d *Disk) Truncate(name string, size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.file("truncate", name)
	if err != nil {
		return err
	}
	if size < 0 || size > int64(len(n.data)) {
		return &fs.PathError{Op: "truncate", Path: name, Err: fmt.Errorf("%w: %d of %d bytes", fs.ErrInvalid, size, len(n.data))}
	}
	d.used -= int64(len(n.data)) - size
	n.data = n.data[:size:size]
	n.synced, n.writes = slices.Clone(n.data), nil
	return nil
}
