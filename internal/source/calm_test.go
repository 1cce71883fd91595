package source_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// TestACommitAfterACalmIsSeenAtOnce tends a database while nothing happens, and after each
// commit, of which some leave the log as long as it was.
func TestACommitAfterACalmIsSeenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	app := sqlitetest.StartShell(t, path)
	app.Run(t, "CREATE TABLE t(v);", "INSERT INTO t VALUES (0);")
	db, m := mustOpen(t, path), &mirror{}
	for n := range 40 {
		pass(t, db, m, 0)
		if n%2 == 0 {
			if _, err := db.Checkpoint(); err != nil { // and the log begins anew
				t.Fatal(err)
			}
		}
		for range 3 {
			if w, err := db.Tend(); err != nil || w != (source.Waiting{}) {
				t.Fatalf("nothing was committed: %+v, %v", w, err)
			}
		}
		app.Run(t, "UPDATE t SET v = v + 1;")
		if w, err := db.Tend(); err != nil || w.Bytes == 0 {
			t.Fatalf("after commit %d: %+v, %v; want that it waits", n, w, err)
		}
	}
	pass(t, db, m, 0)
	mustEqual(t, m, path)
}

// TestAFileThatIsReplacedInACalmIsNoticed though nothing happens to the one that is open.
func TestAFileThatIsReplacedInACalmIsNoticed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	app := sqlitetest.StartShell(t, path)
	app.Run(t, "CREATE TABLE t(v);")
	db, m := mustOpen(t, path), &mirror{}
	pass(t, db, m, 0)
	for range 3 {
		if _, err := db.Tend(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	var err error
	for end := time.Now().Add(5 * time.Second); err == nil && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		_, err = db.Tend()
	}
	if !errors.Is(err, source.ErrMissing) {
		t.Errorf("got %v, want that the file is missing", err)
	}
}
