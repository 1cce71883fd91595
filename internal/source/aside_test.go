package source_test

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// TestACommitWhileWeStepAsideIsNotMissed lets a checkpoint wait for a writer when
// we step aside for it: what that writer commits is copied and the log started
// over before any capture has seen it, unless something keeps it.
func TestACommitWhileWeStepAsideIsNotMissed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	writer, other := sqlitetest.StartShell(t, path), sqlitetest.StartShell(t, path)
	writer.Run(t, "CREATE TABLE t(v);", "PRAGMA busy_timeout = 10000;")
	other.Run(t, "PRAGMA busy_timeout = 500;", "SELECT * FROM t;")
	db, m := mustOpen(t, path), &mirror{}
	pass(t, db, m, 0)
	writer.Run(t, "INSERT INTO t VALUES (1);", "INSERT INTO t VALUES (2);")
	pass(t, db, m, 0)
	writer.Run(t, "BEGIN IMMEDIATE;", "INSERT INTO t VALUES (randomblob(9000));")

	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		other.Try("PRAGMA wal_checkpoint(TRUNCATE);") // or what can be done of it in its time
	})
	wg.Go(func() {
		defer close(done)
		time.Sleep(50 * time.Millisecond) // so that the checkpoint waits, and we are aside
		writer.Try("COMMIT;", "INSERT INTO t VALUES (3);")
	})
	tendUntil(t, db, done)
	wg.Wait()
	pass(t, db, m, 0)
	mustEqual(t, m, path)
	if len(m.resyncs) != 1 {
		t.Errorf("took all pages for %v, want only the first time", m.resyncs)
	}
}

// tendUntil looks after the lock, as a window does between two passes, until done
// is closed.
func tendUntil(t *testing.T, db *source.DB, done <-chan struct{}) {
	t.Helper()
	for {
		if _, err := db.Tend(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-done:
			return
		case <-time.After(time.Millisecond):
		}
	}
}
