package source_test

import (
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// TestALogThatWasStartedOverIsPinned lets an application start the log over, while
// the lock that is held keeps anybody from copying it: its checkpoints, one after
// each commit of a log that is long, would sort all frames and come to nothing.
// After the next look they copy what was there then, and the log is not started
// over before all of it is shipped.
func TestALogThatWasStartedOverIsPinned(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	app := sqlitetest.StartShell(t, path)
	app.Run(t, "PRAGMA wal_autocheckpoint=0;")
	app.Run(t, "CREATE TABLE t(v);", "INSERT INTO t VALUES (randomblob(9000));")
	db, m := mustOpen(t, path), &mirror{}
	pass(t, db, m, 0)
	if _, err := db.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	before := m.at.Salts
	checkpoint := func() string { return app.Run(t, "PRAGMA wal_checkpoint(PASSIVE);")[0] }

	app.Run(t, "INSERT INTO t VALUES (randomblob(30000));", "DELETE FROM t WHERE length(v) = 9000;")
	if got := checkpoint(); got[len(got)-2:] != "|0" {
		t.Fatalf("the checkpoint said %s, want that it copied nothing: the lock has a mark already", got)
	}
	if _, err := db.Tend(); err != nil {
		t.Fatal(err)
	}
	if got := checkpoint(); got[len(got)-2:] == "|0" {
		t.Errorf("the checkpoint said %s, want that it copied frames", got)
	}
	for range 3 {
		app.Run(t, "INSERT INTO t VALUES (randomblob(5000));", "VACUUM;")
		checkpoint()
	}
	pass(t, db, m, 1)
	mustEqual(t, m, path)
	if m.at.Salts == before || m.at.Salts[0] != before[0]+1 {
		t.Errorf("the log's salts are %08x after %08x, want the next ones", m.at.Salts, before)
	}
	if len(m.resyncs) != 1 {
		t.Errorf("took all pages for %v, want only the first time", m.resyncs)
	}
}
