package source_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/source"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// TestALinkIsLookedThrough looks through a link at one database and then at another, each
// with a log beside it, and at one that was moved and has a link in its place.
func TestALinkIsLookedThrough(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "app.db")
	if _, err := source.LookOutside(link); !errors.Is(err, source.ErrMissing) {
		t.Errorf("before there is anything: %v, want %v", err, source.ErrMissing)
	}
	write(t, link, "the database")
	write(t, link+"-wal", "its log")
	before, err := source.LookOutside(link)
	if err != nil || before.Log.IsZero() {
		t.Errorf("without a link: %+v, %v", before, err)
	}
	moved := filepath.Join(dir, "moved", "data.db")
	if err := errors.Join(os.Mkdir(filepath.Dir(moved), 0o755), os.Rename(link, moved)); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{moved, filepath.Join(dir, "one", "data.db"), filepath.Join(dir, "two", "data.db")} {
		if target != moved {
			write(t, target, "the database "+target)
		}
		write(t, target+"-wal", "log of "+target)
		_ = os.Remove(link)
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		want, err := source.LookOutside(target)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := source.LookOutside(link); err != nil || !got.Equal(want) || got.Log.IsZero() || got.Equal(before) {
			t.Errorf("%s looks like %+v, %v; want %+v", target, got, err, want)
		}
		write(t, target+"-wal", "more in the log of "+target)
		if got, err := source.LookOutside(link); err != nil || got.Equal(want) {
			t.Errorf("a write to the log of %s is not seen: %+v, %v", target, got, err)
		}
	}
}
