package inuse_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast/internal/inuse"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// mustFind checks that err names the program that has the database open.
func mustFind(t *testing.T, what string, err error, words ...string) {
	t.Helper()
	if !errors.Is(err, inuse.ErrInUse) {
		t.Fatalf("%s: got %v, want ErrInUse", what, err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: got %q, want %q in it", what, err, w)
		}
	}
}

func mustHold(t *testing.T, path string) (end func()) {
	t.Helper()
	end, err := inuse.Hold(path)
	if err != nil {
		t.Fatal(err)
	}
	return end
}

func TestAConnectionIsFoundAndNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	app := sqlitetest.StartShell(t, path)
	app.Run(t, "CREATE TABLE t(v);")
	mustFind(t, "look", inuse.Look(path), "(sqlite3)", path)
	_, err := inuse.Hold(path)
	mustFind(t, "hold", err, "(sqlite3)", "stop it")
	app.Quit()
	if err := inuse.Look(path); err != nil {
		t.Errorf("after it ended: %v", err)
	}
	mustHold(t, path)()
}

// A connection in a rollback mode that is in no transaction has no lock at all.
func TestAnIdleConnectionInRollbackModeIsFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	app := sqlitetest.StartShell(t, path)
	app.Run(t, "PRAGMA journal_mode=DELETE;", "CREATE TABLE t(v);", "SELECT * FROM t;")
	_, err := inuse.Hold(path)
	mustFind(t, "hold", err, "(sqlite3)")
}

// A process of another user, or container, shows no open files: its locks count.
func TestALockIsFoundWhereOpenFilesDoNotShow(t *testing.T) {
	for _, row := range []struct{ name, file, bytes string }{
		{"on the database", "app.db", "1073741826 510"},
		{"on the index", "app.db-shm", "128 1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.db")
			for _, name := range []string{path, path + "-shm"} {
				if err := os.WriteFile(name, make([]byte, 4096), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			unlock := mustLockUnseen(t, filepath.Join(filepath.Dir(path), row.file), row.bytes)
			_, err := inuse.Hold(path)
			mustFind(t, "hold", err, "has locked", row.file)
			unlock()
			mustHold(t, path)()
		})
	}
}

func TestNobodyBeginsATransactionWhileItIsHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	app := sqlitetest.StartShell(t, path)
	app.Run(t, "CREATE TABLE t(v);")
	app.Quit()
	end := mustHold(t, path)
	if out, err := exec.Command("sqlite3", path, "SELECT count(*) FROM t").CombinedOutput(); err == nil {
		t.Errorf("it was read: %s", out)
	}
	end()
	if out, err := exec.Command("sqlite3", path, "SELECT count(*) FROM t").CombinedOutput(); err != nil {
		t.Errorf("afterwards: %v: %s", err, out)
	}
}

func TestWhatIsNotThereIsNotInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	if err := inuse.Look(path); err != nil {
		t.Error(err)
	}
	mustHold(t, path)()
	if _, err := os.Stat(path); err == nil {
		t.Error("it was made")
	}
}
