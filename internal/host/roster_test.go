package host

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/holdfast-db/holdfast/internal/ship"
)

// gate is a file system in which files are made one by one, when the test lets them.
type gate struct {
	ship.FS
	asked chan struct{} // holds one element for each that wants to be made
	open  chan struct{} // one for each that may be
	fail  func() error
}

func (g *gate) Create(name string) (ship.File, error) {
	g.asked <- struct{}{}
	<-g.open
	if err := g.fail(); err != nil {
		return nil, err
	}
	return g.FS.Create(name)
}

func newGate() *gate {
	return &gate{FS: ship.OS, asked: make(chan struct{}, 100), open: make(chan struct{}, 100), fail: func() error { return nil }}
}

func mustLoad(t *testing.T, fs ship.FS, file string) *roster {
	t.Helper()
	r, err := loadRoster(fs, file)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRosterSharesWrites has fifty databases listed while one write is under way: all of
// them are in the second one.
func TestRosterSharesWrites(t *testing.T) {
	g, file := newGate(), filepath.Join(t.TempDir(), "databases.json")
	r := mustLoad(t, g, file)
	var ended sync.WaitGroup
	add := func(n int) {
		ended.Go(func() {
			if err := r.add(fmt.Sprint(n), "dir"); err != nil {
				t.Error(err)
			}
		})
	}
	add(0)
	<-g.asked
	for n := 1; n <= 50; n++ {
		add(n)
	}
	for len(r.all()) < 51 {
		runtime.Gosched()
	}
	close(g.open)
	ended.Wait()
	if more := len(g.asked); more != 1 {
		t.Errorf("%d writes after the first, want 1", more)
	}
	if read := mustLoad(t, ship.OS, file).all(); !maps.Equal(read, r.all()) {
		t.Errorf("the file has %d databases, want 51", len(read))
	}
}

// TestRosterThatCannotBeSaved is told of by whom it concerns, each time until it is
// saved, and by nobody else.
func TestRosterThatCannotBeSaved(t *testing.T) {
	g, file := newGate(), filepath.Join(t.TempDir(), "databases.json")
	close(g.open)
	r := mustLoad(t, g, file)
	if err := r.add("old", "dir"); err != nil {
		t.Fatal(err)
	}
	full := errors.New("full")
	g.fail = func() error { return full }
	for range 2 {
		if err := r.add("new", "dir"); !errors.Is(err, full) {
			t.Errorf("got %v, want %v", err, full)
		}
	}
	if err := r.add("old", "dir"); err != nil {
		t.Errorf("one that is in the file: %v", err)
	}
	g.fail = func() error { return nil }
	if err := r.add("new", "dir"); err != nil {
		t.Fatal(err)
	}
	if err := r.drop("old"); err != nil {
		t.Fatal(err)
	}
	if err := r.drop("never listed"); err != nil {
		t.Fatal(err)
	}
	if read := mustLoad(t, ship.OS, file).all(); !maps.Equal(read, map[string]string{"new": "dir"}) {
		t.Errorf("the file has %v", read)
	}
}
