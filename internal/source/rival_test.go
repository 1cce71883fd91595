package source_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// TestLitestreamAtWorkIsRefused runs SQLite's own program under the other's name:
// what counts is that a process of that name has the database open.
func TestLitestreamAtWorkIsRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "app.db")
	sqlitetest.StartShell(t, path).Run(t, "CREATE TABLE t(v);")
	db := mustOpen(t, path)
	if err := db.Rival(); err != nil {
		t.Fatalf("an application alone: %v", err)
	}
	shell, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "litestream")
	if err := os.Symlink(shell, program); err != nil {
		t.Fatal(err)
	}
	other := exec.Command(program, path)
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("BEGIN;\nSELECT count(*) FROM t;\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	source.ForgetRivals()
	if err := db.Rival(); !errors.Is(err, source.ErrContract) {
		t.Errorf("beside it: got %v, want a refusal", err)
	}
	_ = in.Close()
	_ = other.Wait()
	if err := db.Rival(); err != nil {
		t.Errorf("after it ended: %v", err)
	}
}

// TestFilesOfLitestreamThatChangeAreNoticed is for one in another container, whose
// process cannot be seen.
func TestFilesOfLitestreamThatChangeAreNoticed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "app.db")
	sqlitetest.StartShell(t, path).Run(t, "CREATE TABLE t(v);")
	own := filepath.Join(dir, ".app.db-litestream", "ltx", "0")
	if err := os.MkdirAll(own, 0o700); err != nil {
		t.Fatal(err)
	}
	db := mustOpen(t, path)
	for range 2 {
		if err := db.Rival(); err != nil {
			t.Fatalf("files that it left: %v", err)
		}
	}
	later := time.Now().Add(time.Second)
	if err := os.Chtimes(own, later, later); err != nil {
		t.Fatal(err)
	}
	if err := db.Rival(); !errors.Is(err, source.ErrContract) {
		t.Errorf("files that change: got %v, want a refusal", err)
	}
	if err := db.Rival(); err != nil {
		t.Errorf("files that do not change any more: %v", err)
	}
}
