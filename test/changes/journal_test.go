package changes_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/source"
)

// TestJournalModeCannotChangeUnderAWorker: SQLite itself refuses to leave WAL
// mode while somebody else, the worker, has the database open.
func TestJournalModeCannotChangeUnderAWorker(t *testing.T) {
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			path, app := mustDatabase(t, v.start)
			r := mustReplicate(t, path)
			w := r.startWindow(t, time.Millisecond)
			app.Run(t, "PRAGMA busy_timeout=50")
			if got := app.Run(t, "PRAGMA journal_mode=DELETE"); !strings.Contains(strings.Join(got, " "), "locked") {
				t.Errorf("got %q, want that the database is locked", got)
			}
			run(t, app, "INSERT INTO t(v) VALUES (1)")
			w.stop(t)
			r.check(t)
		})
	}
}

// TestJournalModeChangesWithoutAWorker leaves WAL mode and commits while the
// worker has let go. It says so for as long as that lasts.
func TestJournalModeChangesWithoutAWorker(t *testing.T) {
	for _, row := range []struct {
		name    string
		commits []string
		after   []string
		want    source.Rule
	}{
		{name: "with commits before and after it is back", commits: []string{fill}, after: []string{"INSERT INTO t(v) VALUES (1)"}, want: source.RuleRestarted},
		{name: "with commits before it is back", commits: []string{fill}, want: source.RuleNoLog},
		{name: "without a commit", want: source.RuleNoLog},
	} {
		t.Run(row.name, func(t *testing.T) {
			path, app := mustDatabase(t, startOlder)
			r := mustReplicate(t, path)
			r.mark(t)
			if err := r.host.Release(t.Context(), r.Database); err != nil {
				t.Fatal(err)
			}
			if got := ask(t, app, "PRAGMA journal_mode=DELETE"); got != "delete" {
				t.Fatalf("the journal mode is %s", got)
			}
			r.fails(t, source.ErrNotWAL)
			run(t, app, row.commits...)
			r.fails(t, source.ErrNotWAL)
			ask(t, app, "PRAGMA journal_mode=WAL")
			run(t, app, row.after...)
			r.check(t, row.want)
		})
	}
}

// TestJournalModeOfTheFileThatTookOver renames a database in another journal
// mode over the one that is replicated, which a window meets while it runs.
func TestJournalModeOfTheFileThatTookOver(t *testing.T) {
	path, app := mustDatabase(t, startOlder)
	r := mustReplicate(t, path)
	r.mark(t)
	w := r.startWindow(t, time.Millisecond)
	other := filepath.Join(t.TempDir(), "other.db")
	shell(t, "sqlite3 %s 'CREATE TABLE other(v)' 'INSERT INTO other VALUES (1)'", other)
	app.Quit()
	shell(t, "mv %[2]s %[1]s; rm -f %[1]s-wal %[1]s-shm", path, other)
	w.fails(t, source.ErrNotWAL)
	r.fails(t, source.ErrNotWAL)
	shell(t, "sqlite3 %s 'INSERT INTO other VALUES (2)'", path)
	r.fails(t, source.ErrNotWAL)

	app = startOlder(t, path) // switches it to WAL mode
	w = r.startWindow(t, time.Millisecond)
	run(t, app, "INSERT INTO other VALUES (3)")
	w.stop(t)
	r.check(t, source.RuleReplaced)
}
