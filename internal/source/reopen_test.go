package source_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

func TestReopenedDatabaseGoesOn(t *testing.T) {
	rows := []struct {
		name    string
		between []string // statements while nobody watches
		stays   bool     // the application stays connected meanwhile
		want    []source.Rule
	}{
		{name: "an application came, wrote nothing and went", want: []source.Rule{"first"}},
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
			app := sqlitetest.StartShell(t, path)
			app.Run(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, v);", "INSERT INTO t(v) VALUES (randomblob(20000));")
			db, m := mustOpen(t, path), &mirror{}
			pass(t, db, m, 0)
			if !row.stays {
				app.Quit()
			}
			clean, err := db.Close()
			if err != nil {
				t.Fatal(err)
			}
			if !row.stays {
				app = sqlitetest.StartShell(t, path)
			}
			app.Run(t, row.between...)
			if !row.stays {
				app.Quit()
				app = sqlitetest.StartShell(t, path)
			}
			db = mustOpen(t, path)
			db.Resume(source.Place{Position: m.at, Clean: clean})
			pass(t, db, m, 0)
			app.Run(t, "INSERT INTO t(v) VALUES (3);")
			pass(t, db, m, 0)
			mustEqual(t, m, path)
			if fmt.Sprint(m.resyncs) != fmt.Sprint(row.want) {
				t.Errorf("took all pages for %v, want %v", m.resyncs, row.want)
			}
		})
	}
}

// TestRestartedLogWithAnOlderTail shows the one restart that can be followed
// without a lock: the shipped generation provably ended where it was shipped.
func TestRestartedLogWithAnOlderTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	app := sqlitetest.StartShell(t, path)
	app.Run(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, v);",
		"INSERT INTO t(v) VALUES (randomblob(200000));", // a long generation
		"PRAGMA wal_checkpoint(RESTART);",
		"INSERT INTO t(v) VALUES (randomblob(20000));") // a shorter one
	db, m := mustOpen(t, path), &mirror{}
	pass(t, db, m, 0)
	if _, err := db.Close(); err != nil {
		t.Fatal(err)
	}
	app.Run(t, "PRAGMA wal_checkpoint(RESTART);", "INSERT INTO t(v) VALUES (1);")
	db = mustOpen(t, path)
	db.Resume(source.Place{Position: m.at})
	pass(t, db, m, 0)
	mustEqual(t, m, path)
	if len(m.resyncs) != 1 {
		t.Errorf("took all pages for %v, want only the first time", m.resyncs)
	}
}
