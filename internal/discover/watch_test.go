package discover_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/internal/discover"
	"github.com/holdfast-db/holdfast/internal/watch"
)

// watching is a Scanner whose directories are watched.
type watching struct {
	*scanning
	watch *discover.Watch
}

func newWatching(t *testing.T, dirs ...config.Directory) *watching {
	t.Helper()
	notify, err := watch.New()
	mustDo(t, err)
	t.Cleanup(func() { _ = notify.Close() })
	w := &watching{newScanning(t, dirs...), discover.NewWatch(notify)}
	w.Enter = w.watch.Enter
	return w
}

// scanAll is a scan with what belongs to it.
func (w *watching) scanAll() {
	w.t.Helper()
	w.watch.Begin()
	w.scan()
	mustDo(w.t, w.watch.End())
	w.watch.Quiet(w.Files())
}

// mustHear waits until a change at path is told, and returns all that was told.
func (w *watching) mustHear(path string) (told []string) {
	w.t.Helper()
	for end := time.After(10 * time.Second); ; {
		select {
		case <-w.watch.Changed():
		case <-end:
			w.t.Fatalf("nothing was told of %s, only of %q", path, told)
		}
		paths, _ := w.watch.Take()
		told = append(told, paths...)
		if slices.Contains(told, path) {
			return told
		}
	}
}

// mustHearAll waits until anything may have changed.
func (w *watching) mustHearAll() {
	w.t.Helper()
	for end := time.After(10 * time.Second); ; {
		select {
		case <-w.watch.Changed():
		case <-end:
			w.t.Fatal("it was not told that anything may have changed")
		}
		if _, all := w.watch.Take(); all {
			return
		}
	}
}

func TestChangesAreTold(t *testing.T) {
	dir := t.TempDir()
	mustWrite(t, dir, "known.db", header)
	mustWrite(t, dir, "eu/known.db", header)
	w := newWatching(t, entry(dir, "*"))
	w.scanAll()
	mustWrite(t, dir, "known.db", header+"more")
	mustWrite(t, dir, "known.db-wal", "")
	mustWrite(t, dir, ".known.db-holdfast/state.json", "{}")
	mustWrite(t, dir, "eu/known.db-journal", "")
	last := mustWrite(t, dir, "eu/new.db", header)
	if told := w.mustHear(last); len(told) != 1 {
		t.Errorf("told of %q, want %s alone", told, last)
	}
	mustWrite(t, dir, "us/a.db", header)
	w.mustHear(filepath.Join(dir, "us"))
	w.Look(t.Context(), []string{filepath.Join(dir, "us")})
	w.mustHear(mustWrite(t, dir, "us/b.db", header))
}

// TestADirectoryThatComesBackIsWatchedAgain tells of the end of one and looks at
// everything then.
func TestADirectoryThatComesBackIsWatchedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	mustWrite(t, dir, "a.db", header)
	w := newWatching(t, entry(dir, "*"))
	w.scanAll()
	mustDo(t, os.Rename(dir, dir+".away"))
	w.mustHearAll()
	mustWrite(t, dir, "b.db", header)
	w.scanAll()
	mustWrite(t, dir+".away", "not-told-of.db", header)
	last := mustWrite(t, dir, "c.db", header)
	if told := w.mustHear(last); len(told) != 1 {
		t.Errorf("told of %q, want %s alone", told, last)
	}
}

// TestWhatIsNotEnteredIsNotWatched leaves a directory that has become a hidden one.
func TestWhatIsNotEnteredIsNotWatched(t *testing.T) {
	dir := t.TempDir()
	mustWrite(t, dir, "eu/a.db", header)
	w := newWatching(t, entry(dir, "*"))
	w.scanAll()
	w.watch.Begin()
	w.Enter(dir) // and nothing else
	mustDo(t, w.watch.End())
	mustWrite(t, dir, "eu/not-told-of.db", header)
	last := mustWrite(t, dir, "b.db", header)
	if told := w.mustHear(last); len(told) != 1 {
		t.Errorf("told of %q, want %s alone", told, last)
	}
}

func TestNothingIsToldAfterClose(t *testing.T) {
	dir := t.TempDir()
	w := newWatching(t, entry(dir, "*"))
	w.scanAll()
	w.watch.Close()
	other := newWatching(t, entry(dir, "*"))
	other.scanAll()
	other.mustHear(mustWrite(t, dir, "a.db", header))
	if paths, all := w.watch.Take(); len(paths) > 0 || all {
		t.Errorf("told of %q, %v", paths, all)
	}
}

func TestWhatCannotBeWatchedIsSaid(t *testing.T) {
	w := newWatching(t)
	w.watch.Begin()
	w.Enter(filepath.Join(t.TempDir(), "nowhere"))
	if err := w.watch.End(); err == nil {
		t.Error("got no error")
	}
	w.watch.Begin()
	if err := w.watch.End(); err != nil {
		t.Errorf("got %v of the look before", err)
	}
	nothing := discover.NewWatch(nil)
	nothing.Begin()
	nothing.Enter(t.TempDir())
	if err := nothing.End(); err != nil {
		t.Errorf("got %v where nothing is watched", err)
	}
}
