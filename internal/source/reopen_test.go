package source_test

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/source"
)

// shell is an application in another process: the sqlite3 program.
type shell struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func mustShell(t *testing.T, path string) *shell {
	t.Helper()
	cmd := exec.Command("sqlite3", "-batch", path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start sqlite3: %v", err)
	}
	s := &shell{cmd: cmd, in: in, out: bufio.NewScanner(out)}
	t.Cleanup(s.quit)
	s.run(t, ".timeout 5000", "PRAGMA journal_mode=WAL;", "PRAGMA wal_autocheckpoint=0;")
	return s
}

// run runs statements one after the other and waits for the last one's end.
func (s *shell) run(t *testing.T, statements ...string) {
	t.Helper()
	for _, q := range append(statements, ".print done") {
		if _, err := fmt.Fprintln(s.in, q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	for s.out.Scan() {
		if s.out.Text() == "done" {
			return
		}
	}
	t.Fatalf("sqlite3 ended during %v", statements)
}

func (s *shell) quit() {
	_ = s.in.Close()
	_ = s.cmd.Wait()
}

func TestReopenedDatabaseGoesOn(t *testing.T) {
	rows := []struct {
		name    string
		between []string // statements while nobody watches
		stays   bool     // the application stays connected meanwhile
		want    []source.Rule
	}{
		{name: "nothing happened", want: []source.Rule{"first"}},
		{name: "nothing happened and the application is still there", stays: true, want: []source.Rule{"first"}},
		{
			name: "transactions were added", stays: true, want: []source.Rule{"first"},
			between: []string{"INSERT INTO t(v) VALUES (1);", "INSERT INTO t(v) VALUES (2);"},
		},
		{
			name: "the log was copied but goes on", stays: true, want: []source.Rule{"first"},
			between: []string{"PRAGMA wal_checkpoint(PASSIVE);"},
		},
		{
			name: "the log was emptied", stays: true, want: []source.Rule{"first", "no_log"},
			between: []string{"INSERT INTO t(v) VALUES (1);", "PRAGMA wal_checkpoint(TRUNCATE);"},
		},
		{
			name: "the log was restarted and grew beyond", stays: true, want: []source.Rule{"first", "restarted"},
			between: []string{"PRAGMA wal_checkpoint(RESTART);", "INSERT INTO t(v) VALUES (randomblob(100000));"},
		},
		{
			name: "the log was restarted and where it ended is unknown", stays: true, want: []source.Rule{"first", "restarted"},
			between: []string{"PRAGMA wal_checkpoint(RESTART);", "INSERT INTO t(v) VALUES (2);"},
		},
		{
			name: "an application came, wrote and went", want: []source.Rule{"first", "no_log"},
			between: []string{"INSERT INTO t(v) VALUES (1);"},
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.db")
			app := mustShell(t, path)
			app.run(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, v);", "INSERT INTO t(v) VALUES (randomblob(20000));")
			db, m := mustOpen(t, path), &mirror{}
			pass(t, db, m, 0)
			if !row.stays {
				app.quit()
			}
			clean, err := db.Close()
			if err != nil {
				t.Fatal(err)
			}
			if !row.stays && len(row.between) > 0 {
				app = mustShell(t, path)
			}
			app.runIf(t, row.between)
			if !row.stays {
				app.quit()
				app = mustShell(t, path)
			}
			db = mustOpen(t, path)
			db.Resume(m.at, clean)
			pass(t, db, m, 0)
			app.run(t, "INSERT INTO t(v) VALUES (3);")
			pass(t, db, m, 0)
			mustEqual(t, m, path)
			if fmt.Sprint(m.resyncs) != fmt.Sprint(row.want) {
				t.Errorf("took all pages for %v, want %v", m.resyncs, row.want)
			}
		})
	}
}

// runIf runs statements if there are any.
func (s *shell) runIf(t *testing.T, statements []string) {
	t.Helper()
	if len(statements) > 0 {
		s.run(t, statements...)
	}
}

// TestRestartedLogWithAnOlderTail shows the one restart that can be followed
// without a lock: the shipped generation provably ended where it was shipped.
func TestRestartedLogWithAnOlderTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	app := mustShell(t, path)
	app.run(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, v);",
		"INSERT INTO t(v) VALUES (randomblob(200000));", // a long generation
		"PRAGMA wal_checkpoint(RESTART);",
		"INSERT INTO t(v) VALUES (randomblob(20000));") // a shorter one
	db, m := mustOpen(t, path), &mirror{}
	pass(t, db, m, 0)
	if _, err := db.Close(); err != nil {
		t.Fatal(err)
	}
	app.run(t, "PRAGMA wal_checkpoint(RESTART);", "INSERT INTO t(v) VALUES (1);")
	db = mustOpen(t, path)
	db.Resume(m.at, source.Stamp{})
	pass(t, db, m, 0)
	mustEqual(t, m, path)
	if len(m.resyncs) != 1 {
		t.Errorf("took all pages for %v, want only the first time", m.resyncs)
	}
}
