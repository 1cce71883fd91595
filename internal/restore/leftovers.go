package restore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// lock marks f as in use until it is closed, for removeLeftovers of other
// restores to the same output. It does not hold from creation to publication
// without a gap: who meets a gap finds no file to publish, which is an error.
func lock(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

// removeLeftovers removes the files in dir whose names begin with prefix and
// that no process is writing. It does what it can: a file that stays costs space
// and nothing else.
func removeLeftovers(dir, prefix string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasPrefix(e.Name(), prefix) {
			removeUnused(filepath.Join(dir, e.Name()))
		}
	}
}

func removeUnused(path string) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer f.Close() //nolint:errcheck // only locked
	if lock(f) == nil {
		_ = os.Remove(path)
	}
}
