package source

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"
)

// Places in the index. Source: the layout of the WAL-index in SQLite's wal.c.
const (
	readMarksAt    = 100 // five words in the machine's byte order
	readMarks      = 5
	markNotUsed    = 0xffffffff
	readLockByte   = 123 // of read mark 0
	asideAtMost    = 250 * time.Millisecond
	asideEvery     = 250 * time.Millisecond // a checkpoint that does not wait looks the same
	asideLookEvery = time.Millisecond
)

// stepAside lets another process's checkpoint through that waits for a read mark
// which our locks never leave: SQLite looks at the mark once and then waits for
// its lock, while each new lock of ours takes the same mark, as the best there is,
// before the old one ends. So all our locks go, for a moment.
//
// Meanwhile a read mark that nobody uses is held, by the open file of the index,
// which keeps the log from being restarted just as a lock does: nothing that is
// not shipped can disappear. It does not keep a checkpoint from copying, so no
// page may be read from the database file before the next lock.
//
// Nor does it keep writers from committing, and the checkpoint from copying that
// too: the next lock may be one that lets them restart the log. The mark stays
// held then, until what was committed is shipped.
func (db *DB) stepAside() error {
	if time.Since(db.aside) < asideEvery {
		return nil
	}
	db.aside = time.Now()
	mark, ok, err := db.unusedMark()
	if err != nil || !ok {
		return err
	}
	if err := lockMark(db.shm, mark, unix.F_RDLCK); err != nil {
		return nil //nolint:nilerr // somebody else took it just now
	}
	db.mark = mark
	if b, err := db.measure(); err != nil || !b.at(db.shipped) || b.Frame == 0 {
		db.dropMark()
		return err
	}
	if err := db.held.conn.end(); err != nil {
		db.dropMark()
		return err
	}
	for end := time.Now().Add(asideAtMost); time.Now().Before(end) && db.checkpointing(); time.Sleep(asideLookEvery) {
		if b, err := db.measure(); err != nil || b.Backfilled == b.Frame {
			break
		}
	}
	return db.stepBack()
}

// stepBack takes a lock again after stepAside. Where that fails nothing is
// established any more, which the next capture finds.
func (db *DB) stepBack() error {
	established := db.held.established
	db.held = nil
	l, err := db.take()
	if err != nil {
		db.dropMark()
		return err
	}
	l.established = established
	db.held = l
	if l.bound.at(db.shipped) {
		db.dropMark()
		return nil
	}
	return db.goAhead(l)
}

// dropMark lets go of the read mark that stepAside took, if it is held still.
func (db *DB) dropMark() {
	if db.mark != 0 {
		_ = lockMark(db.shm, db.mark, unix.F_UNLCK)
		db.mark = 0
	}
}

// unusedMark returns a read mark above 0 that is not in use; ok is false when all
// are.
func (db *DB) unusedMark() (mark int, ok bool, err error) {
	var b [4 * readMarks]byte
	if _, err := db.shm.ReadAt(b[:], readMarksAt); err != nil {
		return 0, false, err
	}
	for mark = readMarks - 1; mark > 0; mark-- {
		if binary.NativeEndian.Uint32(b[4*mark:]) == markNotUsed {
			return mark, true, nil
		}
	}
	return 0, false, nil
}
