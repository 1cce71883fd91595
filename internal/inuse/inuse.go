// Package inuse tells whether other processes have a database open, so that its
// file is not replaced underneath them.
//
// It finds connections in WAL mode by their locks, whoever runs them and in
// whatever container, and any other by its open files, where /proc shows them to
// this user. A connection in a rollback mode of a user who is not ours stays
// unseen while it is in no transaction: SQLite leaves no trace of it.
//
// What SQLite locks, and where: os.h and os_unix.c of SQLite, wal.c for the index.
package inuse

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrInUse says that another process has the database open. The message names it.
var ErrInUse = errors.New("database is in use")

// Bytes on which SQLite keeps POSIX locks.
const (
	databaseFirst, databaseSize = 0x40000000, 512 // of the database file: pending, reserved, shared
	indexFirst, indexSize       = 120, 9          // of the index; the last one is shared by all who have it open
)

// Look finds a process that has the database at path open. It opens none of its
// files, so that it may be asked about one that this process has open itself.
func Look(path string) error {
	for _, name := range []string{path, path + "-shm", path + "-wal"} {
		info, err := os.Stat(name)
		if err != nil {
			continue // nobody can have open by this name what is not there
		}
		if pid := opener(info); pid != 0 {
			return inUse(name, pid, "has %s open")
		}
	}
	return nil
}

// Hold finds a process that has the database at path open, and lets none begin a
// transaction until end is called. It must not be used on a file that this process
// has open with SQLite: closing any descriptor of a file drops the process's locks
// on it.
func Hold(path string) (end func(), err error) {
	if err := Look(path); err != nil {
		return nil, err
	}
	if err := heldIndex(path + "-shm"); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrPermission) {
		f, err = os.Open(path) // others' locks can be seen, none can be taken
	}
	if errors.Is(err, os.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := take(f, path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// heldIndex finds a lock on the index, which outlives the name of the database
// file that it was made for.
func heldIndex(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return nil //nolint:nilerr // there is none, or nobody who could be asked
	}
	defer f.Close() //nolint:errcheck // only asked
	return locked(f, name, indexFirst, indexSize)
}

// take locks the database for this open file alone, until that is closed.
func take(f *os.File, path string) error {
	if err := locked(f, path, databaseFirst, databaseSize); err != nil {
		return err
	}
	l := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: databaseFirst, Len: databaseSize}
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
		return inUse(path, 0, "has locked %s")
	case errors.Is(err, unix.EBADF): // not open for writing
		return nil
	case err != nil:
		return &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return nil
}

// locked finds a lock of another process on some bytes of f.
func locked(f *os.File, name string, first, size int64) error {
	l := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: first, Len: size}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &l); err != nil {
		return &os.PathError{Op: "look for locks", Path: name, Err: err}
	}
	if l.Type == unix.F_UNLCK {
		return nil
	}
	return inUse(name, max(0, int(l.Pid)), "has locked %s")
}

// opener returns the id of another process that has the file of info open, 0 if
// none shows.
func opener(info os.FileInfo) int {
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, p := range processes {
		if pid, err := strconv.Atoi(p.Name()); err == nil && pid != os.Getpid() && hasOpen(pid, info) {
			return pid
		}
	}
	return 0
}

func hasOpen(pid int, info os.FileInfo) bool {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false // it has ended, or is another user's
	}
	for _, e := range entries {
		have, err := os.Stat(filepath.Join(dir, e.Name()))
		if err == nil && os.SameFile(have, info) {
			return true
		}
	}
	return false
}

// inUse names a process; one of another container, or a lock that belongs to an
// open file, has no id here.
func inUse(name string, pid int, how string) error {
	who := "a process that cannot be seen from here"
	if pid != 0 {
		who = fmt.Sprintf("process %d", pid)
		if program, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil {
			who += fmt.Sprintf(" (%s)", strings.TrimSpace(string(program)))
		}
	}
	return fmt.Errorf("%w: %s %s; stop it, then restore again", ErrInUse, who, fmt.Sprintf(how, name))
}
