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

// takeLeftover returns one of the files in dir whose names begin with prefix that use
// says to be of use, locked, and removes the others that no process is writing; nil when
// there is none. It does what it can: a file that stays costs space and nothing else.
//
// A restore cuts its note off before it gives up the lock to publish the file, so one
// that has a note and no lock is nobody's.
func takeLeftover(dir, prefix string, use func(note) bool) (taken *os.File, n note) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, n
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		f, err := os.OpenFile(filepath.Join(dir, e.Name()), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if lock(f) == nil {
			if found, ok := readNote(f); ok && taken == nil && use(found) {
				taken, n = f, found
				continue
			}
			_ = os.Remove(f.Name())
		}
		_ = f.Close()
	}
	return taken, n
}
