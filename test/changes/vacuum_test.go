package changes_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/source"
)

const (
	fill  = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 200) INSERT INTO t(v) SELECT randomblob(1000) FROM n"
	thin  = "DELETE FROM t WHERE id % 3 <> 0"
	count = "PRAGMA page_count"
)

// scratch adds pages and frees them in the same transaction, so that they are
// counted and need not be written.
var scratch = []string{"BEGIN", "CREATE TABLE scratch AS SELECT zeroblob(90000) AS z", "DROP TABLE scratch", "COMMIT"}

func pages(t *testing.T, app application) int {
	t.Helper()
	n, err := strconv.Atoi(ask(t, app, count))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestVacuum(t *testing.T) {
	for _, v := range versions {
		t.Run("by "+v.name, func(t *testing.T) {
			path, app := mustDatabase(t, v.start)
			r := mustReplicate(t, path)
			r.mark(t)
			for range 2 {
				run(t, app, slices.Concat([]string{fill, thin}, scratch)...)
				r.mark(t)
				before := pages(t, app)
				run(t, app, "VACUUM")
				if after := pages(t, app); after >= before {
					t.Fatalf("VACUUM left %d pages of %d", after, before)
				}
				r.mark(t)
			}
			w := r.startWindow(t, time.Millisecond)
			for range 5 {
				run(t, app, fill, thin, "VACUUM")
			}
			w.stop(t)
			run(t, app, fill, thin, "VACUUM", fill) // all in one pass
			r.check(t)
		})
	}
}

// TestVacuumToAnotherPageSize leaves WAL mode for it, as SQLite demands: nobody
// else may have the database open then, and the worker has let go of it.
func TestVacuumToAnotherPageSize(t *testing.T) {
	for _, size := range []int{512, 8192, 65536} {
		t.Run(fmt.Sprint("4096 to ", size), func(t *testing.T) {
			path, app := mustDatabase(t, startOlder)
			r := mustReplicate(t, path)
			run(t, app, fill)
			r.mark(t)
			ask(t, app, fmt.Sprintf("PRAGMA page_size=%d; VACUUM; PRAGMA page_size", size))
			r.mark(t) // in WAL mode the size stays
			r.wantResyncs(t)
			if err := r.host.Release(t.Context(), r.Database); err != nil {
				t.Fatal(err)
			}
			app.Run(t, "PRAGMA journal_mode=DELETE", fmt.Sprintf("PRAGMA page_size=%d", size), "VACUUM", "PRAGMA journal_mode=WAL")
			if got := ask(t, app, "PRAGMA page_size"); got != strconv.Itoa(size) {
				t.Fatalf("the page size is %s", got)
			}
			r.mark(t)
			run(t, app, fill)
			r.mark(t)
			run(t, app, thin)
			r.check(t, source.RulePageSize)
		})
	}
}

// TestAutoVacuumShrinks lets the database become smaller and larger again, with
// a pass after each step and with one for several.
func TestAutoVacuumShrinks(t *testing.T) {
	for _, row := range []struct {
		name   string
		mode   int
		shrink []string
	}{
		{"at each commit", 1, []string{thin}},
		{"in one step on demand", 2, []string{thin, "PRAGMA incremental_vacuum"}},
		{"in small steps on demand", 2, []string{thin, "PRAGMA incremental_vacuum(7)", "PRAGMA incremental_vacuum(5)"}},
	} {
		for _, v := range versions {
			t.Run(row.name+" by "+v.name, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "app.db")
				mustSetUp(t, path, fmt.Sprintf("PRAGMA auto_vacuum=%d", row.mode))
				app := v.start(t, path)
				run(t, app, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)", fill)
				r := mustReplicate(t, path)
				r.mark(t)
				steps := append([]string{fill}, row.shrink...)
				for range 2 {
					for _, s := range steps {
						app.Run(t, s)
						r.mark(t)
					}
				}
				run(t, app, fill)
				r.mark(t)
				before := pages(t, app)
				app.Run(t, row.shrink...)
				if after := pages(t, app); after >= before {
					t.Fatalf("there are %d pages of %d left", after, before)
				}
				app.Run(t, slices.Concat(row.shrink, []string{fill, thin})...)
				r.mark(t)
				app.Run(t, scratch...)
				r.mark(t)
				app.Run(t, slices.Concat([]string{fill, thin}, row.shrink)...)
				r.mark(t)
				app.Run(t, scratch...)
				r.mark(t)
				app.Run(t, slices.Concat([]string{thin}, row.shrink, scratch)...)
				r.mark(t)
				app.Run(t, slices.Concat(steps, []string{"PRAGMA wal_checkpoint(PASSIVE)"}, steps, scratch)...)
				r.check(t)
			})
		}
	}
}

// mustSetUp makes a database in WAL mode with what must be said before its
// first page is written.
func mustSetUp(t *testing.T, path string, pragmas ...string) {
	t.Helper()
	command := "sqlite3 " + path
	for _, p := range append(pragmas, "PRAGMA journal_mode=WAL") {
		command += " '" + p + "'"
	}
	shell(t, "%s", command)
}
