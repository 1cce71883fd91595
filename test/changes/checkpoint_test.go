package changes_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/source"
)

var modes = []string{"PASSIVE", "FULL", "RESTART", "TRUNCATE"}

// mustDatabase makes a database that app, of the given version, has open.
func mustDatabase(t *testing.T, start func(testing.TB, string) application) (string, application) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	app := start(t, path)
	run(t, app, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)", "INSERT INTO t(v) VALUES (randomblob(50000))")
	return path, app
}

// anotherRuns is what SQLite answers at once while another connection checkpoints:
// there is never more than one, and nobody waits for it.
const anotherRuns = "1|-1|-1"

// checkpoint runs a checkpoint that nobody may keep from coming to its end.
func checkpoint(t *testing.T, app application, mode string) {
	t.Helper()
	got := ask(t, app, "PRAGMA wal_checkpoint("+mode+")")
	for end := time.Now().Add(5 * time.Second); got == anotherRuns && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
		got = ask(t, app, "PRAGMA wal_checkpoint("+mode+")")
	}
	if !strings.HasPrefix(got, "0|") {
		t.Errorf("wal_checkpoint(%s): got %s, want that it was not busy", mode, got)
	}
}

func TestCheckpointsBetweenPasses(t *testing.T) {
	for _, v := range versions {
		for _, mode := range modes {
			t.Run(mode+" by "+v.name, func(t *testing.T) {
				t.Parallel() // an application waits here for a worker that sleeps
				path, app := mustDatabase(t, v.start)
				r := mustReplicate(t, path)
				r.mark(t)
				for range 3 {
					run(t, app, "INSERT INTO t(v) VALUES (randomblob(9000))")
					r.mark(t)
					checkpoint(t, app, mode)
					run(t, app, "UPDATE t SET v = randomblob(8000) WHERE id % 2 = 0", "DELETE FROM t WHERE id = 1")
					r.mark(t)
					checkpoint(t, app, mode)
					r.mark(t)
				}
				r.check(t)
			})
		}
	}
}

// TestCheckpointsOfWhatIsNotShipped asks for them when the read lock is in the
// way of those that restart the log: they wait in vain, and nothing is lost.
func TestCheckpointsOfWhatIsNotShipped(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			path, app := mustDatabase(t, startOlder)
			r := mustReplicate(t, path)
			r.mark(t)
			app.Run(t, "PRAGMA wal_autocheckpoint=1", "PRAGMA busy_timeout=20")
			for range 4 {
				run(t, app, "INSERT INTO t(v) VALUES (randomblob(9000))", "UPDATE t SET v = randomblob(700) WHERE id % 2 = 0")
				ask(t, app, "PRAGMA wal_checkpoint("+mode+")")
				run(t, app, "INSERT INTO t(v) VALUES (randomblob(100))")
			}
			r.check(t)
		})
	}
}

func TestCheckpointsDuringAWindow(t *testing.T) {
	for _, v := range versions {
		t.Run("by "+v.name, func(t *testing.T) {
			path, app := mustDatabase(t, v.start)
			r := mustReplicate(t, path)
			r.mark(t)
			app.Run(t, "PRAGMA busy_timeout=200")
			w := r.startWindow(t, time.Millisecond)
			for i := range 60 {
				run(t, app, "INSERT INTO t(v) VALUES (randomblob(9000))", "DELETE FROM t WHERE id % 5 = 0")
				ask(t, app, "PRAGMA wal_checkpoint("+modes[i%len(modes)]+")")
			}
			w.stop(t)
			r.check(t)
		})
	}
}

// TestCheckpointsBesideAReader lets a third process keep an old state in view.
func TestCheckpointsBesideAReader(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			path, app := mustDatabase(t, startOlder)
			r := mustReplicate(t, path)
			r.mark(t)
			reader := startNewer(t, path)
			app.Run(t, "PRAGMA busy_timeout=20")
			for range 3 {
				run(t, reader, "BEGIN")
				count := ask(t, reader, "SELECT count(*), sum(length(v)) FROM t")
				for range 3 {
					run(t, app, "INSERT INTO t(v) VALUES (randomblob(9000))")
					ask(t, app, "PRAGMA wal_checkpoint("+mode+")")
					r.mark(t)
				}
				if got := ask(t, reader, "SELECT count(*), sum(length(v)) FROM t"); got != count {
					t.Errorf("the reader sees %s, want %s as at its beginning", got, count)
				}
				run(t, reader, "ROLLBACK")
				ask(t, app, "PRAGMA wal_checkpoint("+mode+")")
				r.mark(t)
			}
			r.check(t)
		})
	}
}

// TestCheckpointsWithoutAWorker runs them while no worker keeps the log as it
// was: what cannot be proved to continue is taken anew.
func TestCheckpointsWithoutAWorker(t *testing.T) {
	rows := []struct {
		name    string
		between []string
		want    []source.Rule
	}{
		{name: "nothing", want: nil},
		{name: "writes", between: []string{"INSERT INTO t(v) VALUES (1)"}},
		{name: "PASSIVE", between: []string{"PRAGMA wal_checkpoint(PASSIVE)"}},
		{name: "PASSIVE, then writes that restart the log", between: []string{"PRAGMA wal_checkpoint(PASSIVE)", "INSERT INTO t(v) VALUES (1)"}, want: []source.Rule{source.RuleRestarted}},
		{name: "RESTART, which waits for a writer to restart the log", between: []string{"PRAGMA wal_checkpoint(RESTART)"}},
		{name: "RESTART, then writes", between: []string{"PRAGMA wal_checkpoint(RESTART)", "INSERT INTO t(v) VALUES (1)"}, want: []source.Rule{source.RuleRestarted}},
		{name: "TRUNCATE, then nothing", between: []string{"PRAGMA wal_checkpoint(TRUNCATE)"}, want: []source.Rule{source.RuleNoLog}},
		{name: "TRUNCATE, then writes", between: []string{"PRAGMA wal_checkpoint(TRUNCATE)", "INSERT INTO t(v) VALUES (1)"}, want: []source.Rule{source.RuleRestarted}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			path, app := mustDatabase(t, startOlder)
			r := mustReplicate(t, path)
			r.mark(t)
			r.stop(t)
			app.Run(t, row.between...)
			r.start(t)
			r.check(t, row.want...)
		})
	}
}
