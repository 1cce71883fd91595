package changes_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// mustOther makes another database, closed and without a log.
func mustOther(t *testing.T, pageSize, rows int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "other.db")
	mustSetUp(t, path, fmt.Sprintf("PRAGMA page_size=%d", pageSize))
	app := startOlder(t, path)
	run(t, app, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)", "CREATE TABLE other(v)")
	for range rows {
		run(t, app, fill)
	}
	app.Quit()
	if _, err := os.Stat(path + "-wal"); err == nil {
		t.Fatal("the other database has a log")
	}
	return path
}

// otherDatabases are what takes the place of a database of 4096 bytes a page and
// some 70 pages.
var otherDatabases = []struct {
	name           string
	pageSize, rows int
	idle           source.Rule // for the first pass when nobody has written since
	written        source.Rule // when somebody has
}{
	{"a smaller one", 4096, 0, source.RuleNoLog, source.RuleRestarted},
	{"a larger one", 4096, 3, source.RuleNoLog, source.RuleRestarted},
	{"one with smaller pages", 512, 1, source.RulePageSize, source.RulePageSize},
	{"one with larger pages", 65536, 1, source.RulePageSize, source.RulePageSize},
}

// replace lets each other database take the place of the one that is
// replicated, its application stopped, by the shell's command, in which %[1]s is
// the path and %[2]s the other's; sameFile tells whether the inode stays.
func replace(t *testing.T, command string, sameFile bool) {
	for _, o := range otherDatabases {
		for _, written := range []bool{false, true} {
			name := o.name + ", met before its first write"
			want := o.idle
			if written {
				name, want = o.name+", met after its first write", o.written
			}
			if !sameFile && o.pageSize == 4096 {
				want = source.RuleReplaced
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				path, app := mustDatabase(t, startOlder)
				r := mustReplicate(t, path)
				run(t, app, fill)
				r.mark(t)
				app.Quit()
				shell(t, command, path, mustOther(t, o.pageSize, o.rows))
				app = startOlder(t, path)
				if !written {
					r.mark(t)
				}
				run(t, app, "INSERT INTO other VALUES (1)")
				r.mark(t)
				run(t, app, thin)
				r.check(t, want)
			})
		}
	}
}

func TestFileRenamedOver(t *testing.T) {
	replace(t, "mv %[2]s %[1]s; rm -f %[1]s-wal %[1]s-shm", false)
}

// TestFileCopiedOverInPlace keeps the inode, and removes the log that SQLite
// would else apply to the new content.
func TestFileCopiedOverInPlace(t *testing.T) {
	replace(t, "cat %[2]s > %[1]s; rm -f %[1]s-wal %[1]s-shm", true)
}

// TestFileCopiedOverInPlaceWithItsOwnLog brings a copy with a log that holds all
// of its content.
func TestFileCopiedOverInPlaceWithItsOwnLog(t *testing.T) {
	path, app := mustDatabase(t, startOlder)
	other := mustOther(t, 4096, 0)
	writer := startOlder(t, other)
	run(t, writer, fill)
	r := mustReplicate(t, path)
	r.mark(t)
	app.Quit()
	shell(t, "cat %[2]s > %[1]s; rm -f %[1]s-wal %[1]s-shm; cp %[2]s-wal %[1]s-wal", path, other)
	r.mark(t)
	app = startOlder(t, path)
	run(t, app, thin)
	r.check(t, source.RuleRestarted)
}

// TestFileRenamedOverDuringAWindow swaps the file while passes are made all the
// time, again and again. A pass that meets it half done may end the window with
// an error; the next one must do.
func TestFileRenamedOverDuringAWindow(t *testing.T) {
	path, app := mustDatabase(t, startOlder)
	r := mustReplicate(t, path)
	r.mark(t)
	for i := range 6 {
		other := mustOther(t, 4096, i%4)
		w := r.startWindow(t, time.Millisecond)
		run(t, app, "INSERT INTO t(v) VALUES (1)")
		app.Quit()
		// At once: who opens the file while the old log still lies beside it sees neither.
		renamed := os.Rename(other, path)
		for _, file := range []string{path + "-wal", path + "-shm"} {
			if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
		if renamed != nil {
			t.Fatal(renamed)
		}
		app = startOlder(t, path)
		run(t, app, "INSERT INTO other VALUES (1)")
		w.end(t)
		r.mark(t)
		if len(r.rules) <= i {
			t.Fatalf("only %q after %d swaps", r.rules, i+1)
		}
	}
	r.check(t, ruleList(r.rules)...) // which rules depends on when the passes came
}

func ruleList(names []string) (rules []source.Rule) {
	for _, n := range names {
		rules = append(rules, source.Rule(n))
	}
	return rules
}

func TestFileDeleted(t *testing.T) {
	for _, row := range []struct {
		name   string
		remove string
		open   bool // in the application meanwhile
	}{
		{name: "with its log", remove: "rm -f %[1]s %[1]s-wal %[1]s-shm"},
		{name: "alone", remove: "rm -f %[1]s"},
		{name: "alone, and its application still has it open", remove: "rm -f %[1]s", open: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			path, app := mustDatabase(t, startOlder)
			r := mustReplicate(t, path)
			r.mark(t)
			w := r.startWindow(t, time.Millisecond)
			if !row.open {
				app.Quit()
			}
			shell(t, row.remove, path)
			w.fails(t, source.ErrMissing)
			r.fails(t, source.ErrMissing)
			app.Quit()
			app = startOlder(t, path)
			run(t, app, "CREATE TABLE again(v)")
			w = r.startWindow(t, time.Millisecond)
			run(t, app, "INSERT INTO again VALUES (1)")
			w.stop(t)
			r.check(t, source.RuleReplaced)
		})
	}
}

// TestFileDeletedAndMadeAgainBetweenPasses is never met missing.
func TestFileDeletedAndMadeAgainBetweenPasses(t *testing.T) {
	path, app := mustDatabase(t, startOlder)
	r := mustReplicate(t, path)
	r.mark(t)
	app.Quit()
	shell(t, "rm -f %[1]s %[1]s-wal %[1]s-shm", path)
	app = startOlder(t, path)
	run(t, app, "CREATE TABLE again(v)")
	r.check(t, source.RuleReplaced)
}

// TestRestoredByTheShellProgram uses SQLite's backup interface, which writes
// through the log like any transaction.
func TestRestoredByTheShellProgram(t *testing.T) {
	for rows, name := range []string{"a smaller one", "a database of the same size", "a larger one"} {
		t.Run(name, func(t *testing.T) {
			path, app := mustDatabase(t, startOlder)
			r := mustReplicate(t, path)
			run(t, app, fill)
			r.mark(t)
			run(t, app, ".restore "+mustOther(t, 4096, rows))
			r.mark(t)
			run(t, app, "INSERT INTO other VALUES (1)")
			r.check(t)
		})
	}
}

// TestRestoredByTheShellProgramWithOtherPages is refused by SQLite: a log cannot
// hold pages of another size.
func TestRestoredByTheShellProgramWithOtherPages(t *testing.T) {
	path, app := mustDatabase(t, startOlder)
	r := mustReplicate(t, path)
	r.mark(t)
	if got := app.Run(t, ".restore "+mustOther(t, 8192, 1)); len(got) == 0 {
		t.Fatal("sqlite3 restored it")
	}
	run(t, app, "INSERT INTO t(v) VALUES (1)")
	r.check(t)
}

// TestRestoredByCopyingWithAllStopped is how the manual says to do it.
func TestRestoredByCopyingWithAllStopped(t *testing.T) {
	for _, preserve := range []string{"", "-p"} {
		t.Run("cp "+preserve, func(t *testing.T) {
			path, app := mustDatabase(t, startOlder)
			r := mustReplicate(t, path)
			r.mark(t)
			backup := filepath.Join(t.TempDir(), "backup.db")
			run(t, app, "VACUUM INTO '"+backup+"'", "UPDATE t SET v = randomblob(50000)")
			shell(t, "sqlite3 %s 'PRAGMA journal_mode=WAL'", backup)
			r.mark(t)
			app.Quit()
			r.stop(t)
			want, err := os.ReadFile(backup)
			if err != nil {
				t.Fatal(err)
			}
			shell(t, "cp %s %s %s", preserve, backup, path)
			r.start(t)
			r.mark(t)
			same(t, "what was copied there", sqlitetest.Truth(t, path), want)
			app = startOlder(t, path)
			run(t, app, "INSERT INTO t(v) VALUES (1)")
			r.check(t, source.RuleNoLog)
		})
	}
}

// TestLogRemoved takes the log's name away from an application that goes on
// writing into it. Nothing can follow that; it is said until the application
// starts again, and then all pages are taken.
func TestLogRemoved(t *testing.T) {
	path, app := mustDatabase(t, startOlder)
	r := mustReplicate(t, path)
	r.mark(t)
	shell(t, "rm %s-wal", path)
	for range 3 {
		run(t, app, "INSERT INTO t(v) VALUES (randomblob(5000))")
		if res, err := r.try(t); err == nil || !res.SyncedAt.IsZero() {
			t.Fatalf("got %+v, %v; want an error", res, err)
		}
	}
	app.Quit() // copies its log into the file
	app = startOlder(t, path)
	if got := ask(t, app, "SELECT count(*) FROM t"); got != "4" {
		t.Fatalf("the application has %s rows, want 4", got)
	}
	run(t, app, "INSERT INTO t(v) VALUES (1)")
	r.check(t, source.RuleRestarted)
}

// TestLogRemovedWithItsApplicationKilled loses what was in it, for the source
// too.
func TestLogRemovedWithItsApplicationKilled(t *testing.T) {
	path, app := mustDatabase(t, startOlder)
	app.Run(t, "PRAGMA wal_checkpoint(TRUNCATE)")
	run(t, app, fill)
	r := mustReplicate(t, path)
	r.mark(t)
	app.Kill()
	shell(t, "rm %s-wal", path)
	r.mark(t)
	app = startOlder(t, path)
	if got := ask(t, app, "SELECT count(*) FROM t"); got != "1" {
		t.Fatalf("the application has %s rows, want 1: the rest was in the log", got)
	}
	run(t, app, "INSERT INTO t(v) VALUES (1)")
	r.check(t, source.RuleNoLog)
}
