//go:build !linux

package chaos

import "errors"

// cages are for Linux.
type cages struct{ plain }

func newCages([]string, bool) (*cages, error) {
	return nil, errors.New("network namespaces need Linux")
}

func (c *cages) save(func(int) string) error { return nil }
