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

// TestALookoutFollowsALinkThatChanges looks through a link at one database and then at
// another, each with a log beside it.
func TestALookoutFollowsALinkThatChanges(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "app.db")
	l := source.NewLookout(link)
	if _, err := l.Look(); !errors.Is(err, source.ErrMissing) {
		t.Errorf("before there is anything: %v, want %v", err, source.ErrMissing)
	}
	for i, name := range []string{"one", "two", "one"} {
		target := filepath.Join(dir, name, "data.db")
		write(t, target, "the database "+name)
		write(t, target+"-wal", "log of "+name)
		_ = os.Remove(link)
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		want, err := source.LookOutside(target)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got, err := l.Look(); err != nil || !got.Equal(want) || got.Log.IsZero() {
				t.Errorf("%d: %s looks like %+v, %v; want %+v", i, name, got, err, want)
			}
		}
		write(t, target+"-wal", "more in the log of "+name)
		if got, err := l.Look(); err != nil || got.Equal(want) {
			t.Errorf("%d: a write to the log of %s is not seen: %+v, %v", i, name, got, err)
		}
	}
}
