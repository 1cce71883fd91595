package host_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

func TestRecognisesDatabases(t *testing.T) {
	h := newRig(t).start(t)
	d, _ := mustDatabase(t, "app")
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "file.db")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, row := range []struct {
		name, path string
		want       error
	}{
		{"a database", d.Path, nil},
		{"an empty file", file(""), source.ErrNotDatabase},
		{"a text", file(strings.Repeat("SQLite format 3\n", 100)), source.ErrNotDatabase},
		{"only the first bytes", file("SQLite format 3\x00"), source.ErrNotDatabase},
		{"a database without a log", file("SQLite format 3\x00\x10\x00\x01\x01" + strings.Repeat("\x00", 4076)), source.ErrNotWAL},
		{"nothing", filepath.Join(t.TempDir(), "no.db"), source.ErrMissing},
		{"a directory", t.TempDir(), source.ErrNotDatabase},
	} {
		if err := h.Recognise(row.path); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
}

// TestRecognisingDropsNoLock looks at a database that is open, under its name and
// under another one. SQLite's locks on it must outlive that: else the application,
// closing last as it thinks, removes the log.
func TestRecognisingDropsNoLock(t *testing.T) {
	for _, suffix := range []string{"", ".link"} {
		h := newRig(t).start(t)
		path := filepath.Join(t.TempDir(), "app.db")
		app := sqlitetest.StartShell(t, path)
		app.Run(t, "CREATE TABLE t(v);")
		if err := os.Link(path, path+".link"); err != nil {
			t.Fatal(err)
		}
		d := host.Database{Name: "app", Path: path, Replica: "mem:app", Writer: "0123456789abcdef0123456789abcdef"}
		if _, err := h.SyncOnce(t.Context(), d, 0); err != nil {
			t.Fatal(err)
		}
		if err := h.Recognise(path + suffix); err != nil {
			t.Error(err)
		}
		app.Run(t, "INSERT INTO t VALUES (1);")
		app.Quit()
		if _, err := os.Stat(path + "-wal"); err != nil {
			t.Errorf("%q: the log is gone: %v", suffix, err)
		}
	}
}
