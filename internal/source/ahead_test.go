package source_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// Bytes of the index by which SQLite locks.
const (
	checkpointByte = 121
	mark0Byte      = 123
)

// quietApp makes a database, and no checkpoints of its own.
func quietApp(t *testing.T) (app *sqlitetest.Shell, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "app.db")
	app = sqlitetest.StartShell(t, path)
	app.Run(t, "PRAGMA wal_autocheckpoint=0;", "CREATE TABLE t(v);", "INSERT INTO t VALUES (randomblob(9000));")
	return app, path
}

// lockOf returns what takes, and gives back, a lock of SQLite's as another process does.
// The index is closed only when the test has closed the database.
func lockOf(t *testing.T, path string, at int64) (lock, unlock func()) {
	t.Helper()
	f, err := os.OpenFile(path+"-shm", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	set := func(kind int16) func() {
		return func() {
			t.Helper()
			l := unix.Flock_t{Type: kind, Start: at, Len: 1}
			if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l); err != nil {
				t.Fatal(err)
			}
		}
	}
	return set(unix.F_WRLCK), set(unix.F_UNLCK)
}

// TestACheckpointThatIsBusyCopiesNothing, and says so: SQLite answers with a row of
// which nothing is true.
func TestACheckpointThatIsBusyCopiesNothing(t *testing.T) {
	app, path := quietApp(t)
	lock, _ := lockOf(t, path, checkpointByte)
	db, m := mustOpen(t, path), &mirror{}
	pass(t, db, m, 0)
	app.Run(t, "INSERT INTO t VALUES (randomblob(9000));")
	lock()
	if room, err := db.CheckpointAhead(); err != nil || room != source.Blocked {
		t.Errorf("ahead: got %v, %v; want %v", room, err, source.Blocked)
	}
	pass(t, db, m, 0)
	if room, err := db.Checkpoint(); err != nil || room != source.Blocked {
		t.Errorf("got %v, %v; want %v", room, err, source.Blocked)
	}
}

// TestALightLockStepsAside takes a lock in the moment in which a checkpoint has counted
// all of its frames, and not yet let go of read mark 0: it is taken for one with that
// mark, and has another, which an application's RESTART waits for.
func TestALightLockStepsAside(t *testing.T) {
	app, path := quietApp(t)
	lock, unlock := lockOf(t, path, mark0Byte)
	db, m := mustOpen(t, path), &mirror{}
	pass(t, db, m, 0)
	app.Run(t, "PRAGMA wal_checkpoint(PASSIVE);")
	lock()
	if _, err := db.Tend(); err != nil {
		t.Fatal(err)
	}
	unlock()
	got := make(chan string)
	go func() { got <- app.Run(t, ".timeout 5000", "PRAGMA wal_checkpoint(RESTART);")[0] }()
	for {
		select {
		case said := <-got:
			if said[0] != '0' {
				t.Errorf("RESTART said %s after all of its time, though all is shipped", said)
			}
			return
		case <-time.After(10 * time.Millisecond):
			if _, err := db.Tend(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestACheckpointVouchesForNothing: what was to be shipped of a log that was started over
// failed, and until the next capture has judged it, no look at the lock may say that all
// is well.
func TestACheckpointVouchesForNothing(t *testing.T) {
	app, path := quietApp(t)
	db, m := mustOpen(t, path), &mirror{}
	pass(t, db, m, 0)
	before := m.at
	app.Run(t, "INSERT INTO t VALUES (randomblob(9000));")
	if room, err := db.CheckpointAhead(); err != nil || room != source.Copied {
		t.Fatalf("got %v, %v; want %v", room, err, source.Copied)
	}
	c, err := db.Capture(0, "")
	if err != nil || !c.Empties() {
		t.Fatalf("got %+v, %v; want what empties the log", c, err)
	}
	if err := db.Shipped(c); err != nil {
		t.Fatal(err)
	}
	db.Resume(source.Place{Position: before, File: db.ID()}) // its put has failed
	app.Run(t, "PRAGMA wal_checkpoint(TRUNCATE);")
	if _, err := db.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	app.Run(t, "CREATE TABLE u(v);")
	pass(t, db, m, 0)
	mustEqual(t, m, path)
}
