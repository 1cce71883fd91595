package inuse_test

import (
	"fmt"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// mustLockUnseen locks some bytes of a file as a process that does not show: with
// a lock that belongs to an open file of this very process, which is no other one
// to whom looks at open files, and has no process id.
func mustLockUnseen(t *testing.T, name, bytes string) (unlock func()) {
	t.Helper()
	l := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart}
	if _, err := fmt.Sscan(bytes, &l.Start, &l.Len); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l); err != nil {
		t.Fatal(err)
	}
	return func() { _ = f.Close() }
}
