package source

import (
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Bytes on which SQLite keeps POSIX locks. Each connection in WAL mode holds a
// shared lock on a range of the database file and on one byte of the index; a
// checkpoint holds another byte of the index. Source: os.h and os_unix.c of SQLite.
const (
	sharedFirst    = 0x40000002
	sharedSize     = 510
	checkpointByte = 121
	usersByte      = 128 // shared by all that have the index open
)

// alone tells whether no other process is connected. A checkpoint while one is
// would let it restart the log as soon as our lock is gone, where a later
// process of ours could have gone on in the log as it was.
func (db *DB) alone() bool {
	return !lockedByOthers(db.file, sharedFirst, sharedSize)
}

// orphanTries is how often, a millisecond apart, it is looked whether other
// processes use the index: one that opens or closes the database holds the one
// lock without the other for a moment.
const orphanTries = 20

// orphaned tells whether other processes have the database open and none of them
// uses the index that is there: its name was taken from theirs. A connection made
// now would not see what they commit, and whoever joined it would overwrite that.
// It must not be asked while this process has the database open.
func (db *DB) orphaned() bool {
	for range orphanTries {
		if db.alone() || indexInUse(db.path+"-shm") {
			return false
		}
		time.Sleep(time.Millisecond)
	}
	return true
}

func indexInUse(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return lockedByOthers(f, usersByte, 1)
}

// checkpointing tells whether another process is in the middle of a checkpoint:
// most likely one that waits for our read lock, and keeps writers waiting.
func (db *DB) checkpointing() bool {
	return lockedByOthers(db.shm, checkpointByte, 1)
}

// keepOthersOut takes a shared lock that belongs to the open file and not to the
// process, so that it stands against SQLite's own in this process too. It ends
// when f is closed.
func keepOthersOut(f *os.File) error { return lockShared(f, unix.F_RDLCK) }

// letOthersIn ends what keepOthersOut began.
func letOthersIn(f *os.File) error { return lockShared(f, unix.F_UNLCK) }

func lockShared(f *os.File, kind int16) error { return lockBytes(f, kind, sharedFirst, sharedSize) }

// lockMark locks, or unlocks, a read mark of the index f in the same manner.
func lockMark(f *os.File, mark int, kind int16) error {
	return lockBytes(f, kind, readLockByte+int64(mark), 1)
}

func lockBytes(f *os.File, kind int16, first, size int64) error {
	l := unix.Flock_t{Type: kind, Whence: io.SeekStart, Start: first, Len: size}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l)
}

// lockedByOthers tells whether another process holds a lock on some of the bytes
// of f. It takes none itself.
func lockedByOthers(f *os.File, first, size int64) bool {
	l := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: first, Len: size}
	err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &l)
	return err != nil || l.Type != syscall.F_UNLCK
}
