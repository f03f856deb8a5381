package node

import (
	"os"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/engine"
)

// memoryShare is the part of the machine's memory that state and cached rows may take
// if the configuration does not say: 1/memoryShare.
const memoryShare = 2

// Memory is how many bytes state and cached rows may take together: what the
// configuration says, or the default.
func (c *Config) Memory() int64 {
	switch {
	case c.MemoryBytes > 0:
		return c.MemoryBytes
	case c.ViewMemoryMB > 0:
		return c.ViewMemoryMB << 20
	}
	return defaultMemory()
}

// HeapLimit is the size of the heap from which on the collector should work harder: what
// state and cached rows may take, and room for the work with them.
func (c *Config) HeapLimit() int64 { return c.Memory()*3/2 + heapRoom }

// heapRoom is how much of the heap is not state, whatever the size of that.
const heapRoom = 256 << 20

// defaultMemory is how many bytes state and cached rows may take together: half of what
// the machine has or the control group allows, whichever is less; what the engine takes
// by itself where neither is known.
func defaultMemory() int64 {
	least := int64(0)
	for _, n := range []int64{machineMemory(), groupMemory()} {
		if n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	if least == 0 {
		return engine.DefaultStateBytes
	}
	return least / memoryShare
}

// machineMemory reads what the machine has, 0 if that is not known.
func machineMemory() int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) >= 2 && f[0] == "MemTotal:" {
			kb, _ := strconv.ParseInt(f[1], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// groupMemory reads the limit of the process's control group, of version 2 or 1; 0 if
// there is none.
func groupMemory() int64 {
	least := int64(0)
	note := func(file string) {
		text, err := os.ReadFile(file)
		if err != nil {
			return
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && n > 0 && n < 1<<60 && (least == 0 || n < least) { // version 1 has a huge number for none
			least = n
		}
	}
	note("/sys/fs/cgroup/memory.max")
	note("/sys/fs/cgroup/memory/memory.limit_in_bytes")
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return least
	}
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[0] == "0":
			note("/sys/fs/cgroup" + parts[2] + "/memory.max")
		case strings.Contains(parts[1], "memory"):
			note("/sys/fs/cgroup/memory" + parts[2] + "/memory.limit_in_bytes")
		}
	}
	return least
}
