package source_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// TestLogRestartedBeforeItsPagesWereRead captures a part of a log that is in the
// database file already, and lets an application restart the log before the
// pages are read: the file is further on than the changeset says.
func TestLogRestartedBeforeItsPagesWereRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	app := sqlitetest.StartShell(t, path)
	app.Run(t, "CREATE TABLE a(v);", "CREATE TABLE b(v);", "INSERT INTO a VALUES (0);", "INSERT INTO b VALUES (0);")
	db, m := mustOpen(t, path), &mirror{}
	pass(t, db, m, 0)
	if _, err := db.Close(); err != nil {
		t.Fatal(err)
	}
	app.Run(t, "UPDATE a SET v = 1;", "BEGIN; UPDATE a SET v = 2; UPDATE b SET v = 2; COMMIT;", "PRAGMA wal_checkpoint(PASSIVE);")
	db = mustOpen(t, path)
	db.Resume(source.Place{Position: m.at})
	c, err := db.Capture(1, "")
	if err != nil || c.Complete {
		t.Fatalf("got %+v, %v; want a part", c, err)
	}
	app.Run(t, "CREATE TABLE c(v);") // restarts the log
	err = c.Pages(func(uint32, []byte) error { return nil })
	if !errors.Is(err, source.ErrMoved) {
		t.Fatalf("got %v, want that the log moved", err)
	}
	if err := db.Dropped(); err != nil {
		t.Fatal(err)
	}
	pass(t, db, m, 1)
	mustEqual(t, m, path)
}

// TestAbandonLeavesWhatWasPutThere copies a backup over the file of an
// application that has stopped, and removes its log, as people do. Our closing
// must not copy the old log into it.
func TestAbandonLeavesWhatWasPutThere(t *testing.T) {
	dir := t.TempDir()
	path, backup := filepath.Join(dir, "app.db"), filepath.Join(dir, "backup.db")
	app := sqlitetest.StartShell(t, path)
	app.Run(t, "CREATE TABLE t(v);", "INSERT INTO t VALUES (randomblob(100000));", "VACUUM INTO '"+backup+"';", "PRAGMA wal_checkpoint(TRUNCATE);")
	db, m := mustOpen(t, path), &mirror{}
	pass(t, db, m, 0)
	app.Run(t, "INSERT INTO t VALUES (randomblob(100000));", "UPDATE t SET v = randomblob(50000);")
	pass(t, db, m, 0)
	app.Quit()
	if out, err := exec.Command("sh", "-c", "cp "+backup+" "+path+"; rm -f "+path+"-wal "+path+"-shm").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := db.Capture(0, ""); !errors.Is(err, source.ErrReplaced) {
		t.Fatalf("got %v, want that the files were replaced", err)
	}
	if err := db.Abandon(); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file is no longer what was put there (%v)", err)
	}
}
