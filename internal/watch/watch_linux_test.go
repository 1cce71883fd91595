package watch_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/watch"
)

// heard keeps the names that were told, with how often.
type heard struct {
	mu    sync.Mutex
	names map[string]int
}

func (h *heard) tell(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.names == nil {
		h.names = map[string]int{}
	}
	h.names[name]++
}

func (h *heard) of(name string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.names[name]
}

func (h *heard) mustHear(t *testing.T, name string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); h.of(name) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("nothing was told of %q", name)
		}
	}
}

func mustWatch(t *testing.T) *watch.Watcher {
	t.Helper()
	w, err := watch.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func mustListen(t *testing.T, w *watch.Watcher, dir string) (*heard, func()) {
	t.Helper()
	h := &heard{}
	stop, err := w.Dir(dir, h.tell)
	if err != nil {
		t.Fatal(err)
	}
	return h, stop
}

func mustWrite(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestEachChangeIsTold(t *testing.T) {
	w, dir := mustWatch(t), t.TempDir()
	h, _ := mustListen(t, w, dir)
	mustWrite(t, filepath.Join(dir, "made"))
	h.mustHear(t, "made")
	if err := os.Rename(filepath.Join(dir, "made"), filepath.Join(dir, "renamed")); err != nil {
		t.Fatal(err)
	}
	h.mustHear(t, "renamed")
	if err := os.Truncate(filepath.Join(dir, "renamed"), 100); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "renamed")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	h.mustHear(t, "sub")
}

func TestAllListenersOfADirectoryAreToldUntilTheyStop(t *testing.T) {
	w, dir := mustWatch(t), t.TempDir()
	first, stopFirst := mustListen(t, w, dir)
	second, stopSecond := mustListen(t, w, dir+"/")
	mustWrite(t, filepath.Join(dir, "a"))
	first.mustHear(t, "a")
	second.mustHear(t, "a")
	stopFirst()
	stopFirst() // twice is harmless
	mustWrite(t, filepath.Join(dir, "b"))
	second.mustHear(t, "b")
	if n := first.of("b"); n != 0 {
		t.Errorf("one that has stopped was told of b, %d times", n)
	}
	stopSecond()
	third, _ := mustListen(t, w, dir)
	mustWrite(t, filepath.Join(dir, "c"))
	third.mustHear(t, "c")
	if n := second.of("c"); n != 0 {
		t.Errorf("one that has stopped was told of c, %d times", n)
	}
}

func TestADirectoryThatGoesIsToldAndCanBeWatchedAgain(t *testing.T) {
	for what, away := range map[string]func(dir string) error{
		"removed": os.RemoveAll,
		"renamed": func(dir string) error { return os.Rename(dir, dir+".old") },
	} {
		t.Run(what, func(t *testing.T) {
			w, dir := mustWatch(t), filepath.Join(t.TempDir(), "dir")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			h, stop := mustListen(t, w, dir)
			if err := away(dir); err != nil {
				t.Fatal(err)
			}
			h.mustHear(t, "")
			stop()
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			again, _ := mustListen(t, w, dir)
			mustWrite(t, filepath.Join(dir, "new"))
			again.mustHear(t, "new")
		})
	}
}

func TestWhatIsNotThereIsNotWatched(t *testing.T) {
	w := mustWatch(t)
	if _, err := w.Dir(filepath.Join(t.TempDir(), "nowhere"), func(string) {}); err == nil {
		t.Error("got no error")
	}
}

// TestABusyFileCostsFewCalls writes to one file as fast as it can.
func TestABusyFileCostsFewCalls(t *testing.T) {
	w, dir := mustWatch(t), t.TempDir()
	h, _ := mustListen(t, w, dir)
	f, err := os.Create(filepath.Join(dir, "busy"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only a test's
	const writes = 100_000
	for range writes {
		if _, err := f.WriteAt([]byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	mustWrite(t, filepath.Join(dir, "last"))
	h.mustHear(t, "last")
	if n := h.of("busy"); n == 0 || n > writes/10 {
		t.Errorf("%d writes were told in %d calls, want few", writes, n)
	}
}
