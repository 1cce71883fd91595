package discover

import (
	"path/filepath"
	"sync"

	"github.com/holdfast-db/holdfast/internal/watch"
)

// Watch says where something may have changed in directories. What it cannot watch, and
// what it misses, a Scan finds. It is safe for concurrent use.
type Watch struct {
	notify  *watch.Watcher
	changed chan struct{} // holds one element while there is something to Take

	mu    sync.Mutex
	dirs  map[string]*watched
	quiet map[string]struct{}
	paths map[string]struct{}
	all   bool
	round int
	err   error
}

type watched struct {
	stop  func()
	lost  bool // it may have ended
	round int  // in which it was last entered
}

// NewWatch returns a Watch that uses notify, or with nil watches nothing.
func NewWatch(notify *watch.Watcher) *Watch {
	return &Watch{
		notify: notify, changed: make(chan struct{}, 1),
		dirs: map[string]*watched{}, paths: map[string]struct{}{},
	}
}

// Changed receives when something may have changed since the last Take.
func (w *Watch) Changed() <-chan struct{} { return w.changed }

// Take returns the paths where something may have changed; with all, anything may have.
func (w *Watch) Take() (paths []string, all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for path := range w.paths {
		paths = append(paths, path)
	}
	all = w.all
	clear(w.paths)
	w.all = false
	return paths, all
}

// Enter watches dir from now on. It is a Scanner's Enter.
func (w *Watch) Enter(dir string) {
	if w.notify == nil {
		return
	}
	w.mu.Lock()
	d := w.dirs[dir]
	if d != nil && !d.lost {
		d.round = w.round
		w.mu.Unlock()
		return
	}
	delete(w.dirs, dir)
	w.mu.Unlock()
	if d != nil {
		d.stop()
	}
	d = &watched{}
	stop, err := w.notify.Dir(dir, func(name string) { w.note(d, dir, name) })
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.err = err
		return
	}
	d.stop, d.round = stop, w.round
	w.dirs[dir] = d
}

// note is told of a change. It is called on the goroutine of all watching: what happens
// in a database, and beside it, must cost next to nothing.
func (w *Watch) note(d *watched, dir, name string) {
	if ignored(name) {
		return
	}
	path := filepath.Join(dir, name)
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, quiet := w.quiet[path]; quiet {
		return
	}
	if name == "" {
		d.lost, w.all = true, true
	} else {
		w.paths[path] = struct{}{}
	}
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// Begin is called before a Scan, End after one that came to its end: what it has not
// entered is not watched any more.
func (w *Watch) Begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.round++
	w.err = nil
}

// End returns why not all is watched.
func (w *Watch) End() error {
	w.mu.Lock()
	var left []func()
	for dir, d := range w.dirs {
		if d.round != w.round {
			left = append(left, d.stop)
			delete(w.dirs, dir)
		}
	}
	err := w.err
	w.mu.Unlock()
	for _, stop := range left {
		stop()
	}
	return err
}

// Close ends all watching. Enter must not be called any more.
func (w *Watch) Close() {
	w.Begin()
	_ = w.End() // which leaves everything
}

// Quiet says which files are known databases, of whose changes nothing is to be told.
func (w *Watch) Quiet(files []File) {
	quiet := make(map[string]struct{}, len(files))
	for _, f := range files {
		quiet[f.Path] = struct{}{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.quiet = quiet
}
