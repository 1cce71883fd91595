package ship_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/internal/wal"
)

// TestALogRecoveredUnderOurLock lets a log be broken, as SQLite up to 3.40 may
// leave it, and an application die in the moment in which it counts a commit: the
// next one recovers the log although our lock is held, which takes frames out of
// it that were shipped, or that are in the file, and others come in their place.
func TestALogRecoveredUnderOurLock(t *testing.T) {
	const broken = 4 // number of the frame
	for _, row := range []struct {
		name  string
		ahead bool // what is broken was not shipped, but copied into the file
		later int  // commits after the recovery
	}{
		{name: "its frames were shipped", later: 30},
		{name: "its frames are in the file, and it is shorter now", ahead: true, later: 1},
		{name: "its frames are in the file, and it is longer now", ahead: true, later: 30},
	} {
		t.Run(row.name, func(t *testing.T) {
			b, app := newLog(t)
			app.Run(t, "UPDATE t SET v = 1 WHERE id = 1;")
			update := func(from, count int) {
				for id := from; id < from+count; id++ {
					app.Run(t, fmt.Sprintf("UPDATE t SET v = randomblob(3000) WHERE id = %d;", id))
				}
			}
			update(10, 10)
			if !row.ahead {
				b.mustPass()
			} else if _, err := b.db.Tend(); err != nil {
				t.Fatal(err)
			} else if got := app.Run(t, "PRAGMA wal_checkpoint(PASSIVE);"); strings.HasSuffix(got[0], "|0") {
				t.Fatalf("the checkpoint said %s, want that it copied frames", got[0])
			}
			b.breakLog(broken)
			b.breakIndex()
			update(100, row.later)
			if out := b.mustPass(); !slices.Equal(out.Resyncs, []source.Rule{source.RuleChain}) {
				t.Errorf("resyncs %v, want one for the chain", out.Resyncs)
			}
			b.mustEqual()
		})
	}
}

// TestALogRecoveredToWhereItWasShipped does the same to a log of which more is in the
// file than was shipped, and which has nothing beyond that when it is looked at next, or
// others' frames by the time that the lock moves on.
func TestALogRecoveredToWhereItWasShipped(t *testing.T) {
	for _, row := range []struct {
		name string
		then func(b *bench, app *sqlitetest.Shell)
	}{
		{"nothing follows", func(b *bench, app *sqlitetest.Shell) {
			app.Run(b.t, "SELECT count(*) FROM t;", "PRAGMA wal_checkpoint(PASSIVE);")
		}},
		{"the lock moves on", func(b *bench, app *sqlitetest.Shell) {
			for id := 100; id < 130; id++ {
				app.Run(b.t, fmt.Sprintf("UPDATE t SET v = randomblob(3000) WHERE id = %d;", id))
			}
			if _, err := b.db.CheckpointAhead(); err != nil {
				b.t.Fatal(err)
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b, app := newLog(t)
			app.Run(t, "UPDATE t SET v = 1 WHERE id = 1;")
			b.mustPass()
			shipped := uint32(b.db.LogSize()-wal.HeaderSize) / (wal.FrameHeaderSize + b.db.PageSize())
			for id := 10; id < 20; id++ {
				app.Run(t, fmt.Sprintf("UPDATE t SET v = randomblob(3000) WHERE id = %d;", id))
			}
			if room, err := b.db.CheckpointAhead(); err != nil || room != source.Copied {
				t.Fatalf("got %v, %v; want all copied", room, err)
			}
			b.breakLog(shipped + 1)
			b.breakIndex()
			row.then(b, app)
			if out := b.mustPass(); !slices.Equal(out.Resyncs, []source.Rule{source.RuleChain}) {
				t.Errorf("resyncs %v, want one for the chain", out.Resyncs)
			}
			app.Run(t, "UPDATE t SET v = 2 WHERE id = 1;")
			b.mustPass()
			b.mustEqual()
		})
	}
}

// TestALogRecoveredToNothing does it to a log of which nothing was shipped yet.
func TestALogRecoveredToNothing(t *testing.T) {
	b, app := newLog(t)
	for id := 10; id < 20; id++ {
		app.Run(t, fmt.Sprintf("UPDATE t SET v = randomblob(3000) WHERE id = %d;", id))
	}
	if _, err := b.db.Tend(); err != nil { // which pins it
		t.Fatal(err)
	}
	if got := app.Run(t, "PRAGMA wal_checkpoint(PASSIVE);"); strings.HasSuffix(got[0], "|0") {
		t.Fatalf("the checkpoint said %s, want that it copied frames", got[0])
	}
	b.breakLog(1)
	b.breakIndex()
	app.Run(t, "SELECT count(*) FROM t;")
	if _, err := b.db.Tend(); err != nil {
		t.Fatal(err)
	}
	app.Run(t, "UPDATE t SET v = 2 WHERE id = 1;")
	if out := b.mustPass(); !slices.Equal(out.Resyncs, []source.Rule{source.RuleChain}) {
		t.Errorf("resyncs %v, want one for the chain", out.Resyncs)
	}
	b.mustEqual()
}

// newLog returns a bench whose database was shipped, and all of its log copied, and an
// application that makes no checkpoints of its own.
func newLog(t *testing.T) (*bench, *sqlitetest.Shell) {
	t.Helper()
	b := newBench(t)
	b.exec("WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO t SELECT i, randomblob(3000) FROM n")
	b.mustPass()
	if _, err := b.db.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if err := b.app.Close(); err != nil {
		t.Fatal(err)
	}
	app := sqlitetest.StartShell(t, b.path)
	app.Run(t, "PRAGMA wal_autocheckpoint=0;")
	return b, app
}

// breakLog makes the chain of a frame another one.
func (b *bench) breakLog(frame uint32) {
	b.t.Helper()
	h, err := wal.ReadHeader(b.mustFile("-wal"))
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.mustFile("-wal").WriteAt([]byte{1, 2, 3, 4}, wal.FrameOffset(frame, h.PageSize)+16); err != nil {
		b.t.Fatal(err)
	}
}

// breakIndex makes the first copy of the index's header differ from the second.
func (b *bench) breakIndex() {
	b.t.Helper()
	if _, err := b.mustFile("-shm").WriteAt([]byte("x"), 8); err != nil {
		b.t.Fatal(err)
	}
}

// mustFile opens a file beside the database, for this process not to lose its
// locks: on neither the log nor the index has SQLite any that closing would drop
// before the test ends.
func (b *bench) mustFile(suffix string) *os.File {
	b.t.Helper()
	f, err := os.OpenFile(b.path+suffix, os.O_RDWR, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = f.Close() })
	return f
}
