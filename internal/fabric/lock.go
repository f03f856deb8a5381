package fabric

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// lockFileName is held locked for as long as a Fabric has the directory open. The file itself stays.
const lockFileName = "LOCK"

// lockDir takes dir for this Fabric alone. The operating system releases the lock when the process dies.
// Returns ErrInUse if somebody has it.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockFileName)
	file, err := openLocked(path)
	if err != nil {
		holder := ""
		if text, rerr := os.ReadFile(path); rerr == nil && len(text) > 0 {
			holder = " (process " + strings.TrimSpace(string(text)) + ")"
		}
		return nil, fmt.Errorf("open %s: %w%s: %w", dir, ErrInUse, holder, err)
	}
	if err := file.Truncate(0); err == nil {
		_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil {
			file.Close()
			return nil, fmt.Errorf("write %s: %w", path, err)
		}
	}
	return file, nil
}
