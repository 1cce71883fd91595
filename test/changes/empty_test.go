package changes_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/source"
)

func TestDatabaseMissingAtTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	r := mustReplicate(t, path)
	r.fails(t, source.ErrMissing)
	r.fails(t, source.ErrMissing)
	app := startOlder(t, path)
	run(t, app, "CREATE TABLE t(v)")
	r.mark(t)
	run(t, app, "INSERT INTO t VALUES (1)")
	r.check(t)
}

func TestDatabaseEmptyAtTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	shell(t, ": > %s", path)
	r := mustReplicate(t, path)
	r.fails(t, source.ErrNotDatabase)
	app := startOlder(t, path)
	run(t, app, "CREATE TABLE t(v)")
	r.mark(t)
	run(t, app, "INSERT INTO t VALUES (1)")
	r.check(t)
}

// TestDatabaseWithoutATable has one page, which says that it is in WAL mode.
func TestDatabaseWithoutATable(t *testing.T) {
	for _, v := range versions {
		t.Run("made by "+v.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.db")
			app := v.start(t, path)
			if got := ask(t, app, "PRAGMA page_count"); got != "1" {
				t.Fatalf("it has %s pages, want 1", got)
			}
			r := mustReplicate(t, path)
			r.mark(t)
			w := r.startWindow(t, time.Millisecond)
			run(t, app, "CREATE TABLE t(v)")
			w.stop(t)
			r.mark(t)
			run(t, app, "DROP TABLE t", "VACUUM")
			r.check(t)
		})
	}
}

// TestDatabaseOfNoBytesBesideALog empties the file of an application that was
// killed. SQLite throws such a log away, so that nothing is left to replicate
// until somebody writes.
func TestDatabaseOfNoBytesBesideALog(t *testing.T) {
	path, app := mustDatabase(t, startOlder)
	r := mustReplicate(t, path)
	r.mark(t)
	r.stop(t)
	app.Kill()
	shell(t, ": > %s", path)
	r.start(t)
	r.fails(t, source.ErrNotDatabase)
	if info, err := os.Stat(path + "-wal"); err != nil || info.Size() == 0 {
		t.Errorf("the log that was left: got %v, %v; want that it is untouched", info, err)
	}
	app = startOlder(t, path)
	run(t, app, "CREATE TABLE again(v)")
	r.check(t, source.RuleRestarted)
}
