package verify

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	scratchPrefix = "holdfast-verify-"
	scratchLock   = "lock"
)

// scratch is a directory of one verification. It is locked for as long as the process
// lives, so that the next one can tell what was left behind.
type scratch struct {
	path string
	lock *os.File
}

// scratchTries is how often a directory is made: another verification that begins takes
// one that has no lock yet for one that was left behind.
const scratchTries = 10

// openScratch makes a directory in dir, which is made too where it is not there, and
// removes those of verifications that were killed.
func openScratch(dir string) (s *scratch, err error) {
	if dir == "" {
		dir = os.TempDir()
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("scratch space: %w; name another directory", err)
	}
	removeKilled(dir)
	for range scratchTries {
		if s, err = makeScratch(dir); err == nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("scratch space: %w; name another directory", err)
}

func makeScratch(dir string) (*scratch, error) {
	path, err := os.MkdirTemp(dir, scratchPrefix)
	if err != nil {
		return nil, err
	}
	s := &scratch{path: path}
	s.lock, err = os.OpenFile(filepath.Join(path, scratchLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

// remove removes the directory. What cannot be removed now, the next one removes.
func (s *scratch) remove() {
	_ = os.RemoveAll(s.path)
	if s.lock != nil {
		_ = s.lock.Close()
	}
}

// removeKilled removes directories in dir that nobody has locked. One without a lock's
// file is being made, or has been removed half-way: then the next one finds it empty.
func removeKilled(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), scratchPrefix) {
			removeUnused(filepath.Join(dir, e.Name()))
		}
	}
}

func removeUnused(path string) {
	lock, err := os.OpenFile(filepath.Join(path, scratchLock), os.O_RDWR, 0)
	if os.IsNotExist(err) {
		_ = os.Remove(path) // only if it is empty
		return
	}
	if err != nil {
		return
	}
	defer lock.Close() //nolint:errcheck // only locked
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		_ = os.RemoveAll(path)
	}
}
