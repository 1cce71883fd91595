package source_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// mustRun runs a shell command in another process.
func mustRun(t *testing.T, command string) {
	t.Helper()
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
}

// TestSwappedFileBesideItsOldLog puts a backup in the place of the file of an
// application that has stopped. The log stays, since we are connected: SQLite
// reads the backup through it, whatever comes of that. The log alone says that
// nothing happened.
func TestSwappedFileBesideItsOldLog(t *testing.T) {
	rows := []struct {
		name, swap string
		down       bool // we are not there meanwhile, having been killed
	}{
		{name: "renamed over while we watch", swap: "mv $B $P"},
		{name: "renamed over while nobody watches", swap: "mv $B $P", down: true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			path, backup := filepath.Join(dir, "app.db"), filepath.Join(dir, "backup.db")
			t.Setenv("P", path)
			t.Setenv("B", backup)
			app := sqlitetest.StartShell(t, path)
			app.Run(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, v);", "CREATE TABLE u(v);",
				"INSERT INTO t(v) VALUES (randomblob(100000));", "PRAGMA wal_checkpoint(TRUNCATE);")
			mustRun(t, "cp $P $B")
			app.Run(t, "UPDATE t SET v = randomblob(100000);", "PRAGMA wal_checkpoint(TRUNCATE);")
			db, m := mustOpen(t, path), &mirror{}
			pass(t, db, m, 0)
			app.Run(t, "INSERT INTO u VALUES (1);")
			pass(t, db, m, 0)
			app.Quit()
			file := db.ID()
			if row.down {
				mustRun(t, "cp $P $P.kept; cp $P-wal $P-wal.kept")
				if _, err := db.Close(); err != nil {
					t.Fatal(err)
				}
				mustRun(t, "cat $P.kept >$P; mv $P-wal.kept $P-wal") // as a kill leaves them
			}
			mustRun(t, row.swap)
			if !row.down {
				if err := db.Abandon(); err != nil { // as it is done for ErrReplaced
					t.Fatal(err)
				}
			}
			db = mustOpen(t, path)
			db.Resume(source.Place{Position: m.at, File: file})
			pass(t, db, m, 0)
			mustEqual(t, m, path)
		})
	}
}

// TestCloseLeavesWhatWasPutThere copies a backup over the file of an application
// that has stopped, removes its log, and closes what we have open before
// anything has noticed.
func TestCloseLeavesWhatWasPutThere(t *testing.T) {
	for _, shipped := range []bool{true, false} {
		t.Run(fmt.Sprintf("all was shipped: %v", shipped), func(t *testing.T) {
			dir := t.TempDir()
			path, backup := filepath.Join(dir, "app.db"), filepath.Join(dir, "backup.db")
			t.Setenv("P", path)
			t.Setenv("B", backup)
			app := sqlitetest.StartShell(t, path)
			app.Run(t, "CREATE TABLE t(v);", "INSERT INTO t VALUES (randomblob(100000));", "PRAGMA wal_checkpoint(TRUNCATE);")
			mustRun(t, "cp $P $B")
			db, m := mustOpen(t, path), &mirror{}
			if shipped {
				pass(t, db, m, 0)
			}
			app.Run(t, "UPDATE t SET v = randomblob(150000);", "PRAGMA user_version=7;")
			if shipped {
				pass(t, db, m, 0)
			}
			app.Quit()
			mustRun(t, "cp $B $P; rm -f $P-wal $P-shm")
			if _, err := db.Close(); err != nil {
				t.Logf("close: %v", err)
			}
			want, err := os.ReadFile(backup)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the file is no longer what was put there (%v)", err)
			}
		})
	}
}
