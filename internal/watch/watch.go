// Package watch tells of changes in directories, with one instance of the system's
// notification for the whole process: there are few of them, 128 by default.
//
// It tells that something may have changed, never what: whoever is told looks. Events
// are gathered for a moment, so that a busy file beside a quiet one costs little, and
// one that is lost for want of room in the system's queue comes as a change of
// everything. A change through a memory map is not seen, nor one that another machine
// makes in a file system that is shared.
//
// It never opens a watched file: closing one would drop SQLite's locks on it.
package watch

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// ErrUnsupported says that directories cannot be watched on this system; look at them
// from time to time.
var ErrUnsupported = errors.New("directories cannot be watched here")

// After reading events for a turn they are left to gather for a pause: the system joins
// equal ones that nobody has read.
const (
	turn  = 250 * time.Microsecond
	pause = 5 * time.Millisecond
)

// Watcher watches directories. It is safe for concurrent use.
type Watcher struct {
	notify *fsnotify.Watcher
	ended  sync.WaitGroup

	mu   sync.Mutex
	dirs map[string]map[*listener]struct{}
}

// listener is one who is told.
type listener struct{ changed func(name string) }

// New starts a Watcher. ErrUnsupported says that this system has none.
func New() (*Watcher, error) {
	if !supported {
		return nil, ErrUnsupported
	}
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch directories: %w; raise fs.inotify.max_user_instances", err)
	}
	w := &Watcher{notify: n, dirs: make(map[string]map[*listener]struct{})}
	w.ended.Go(w.run)
	return w, nil
}

// Close ends all watching. Nobody is told of anything after it has returned.
func (w *Watcher) Close() error {
	err := w.notify.Close()
	w.ended.Wait()
	return err
}

// Dir has changed called with the name, inside the directory dir, of what may have
// changed there; with an empty name when anything may have, or dir itself is gone, after
// which nothing more is told of it. It is called on the goroutine of all watching and
// must not wait for anything. stop ends it; a call that is under way may still be.
func (w *Watcher) Dir(dir string, changed func(name string)) (stop func(), err error) {
	dir = filepath.Clean(dir)
	l := &listener{changed: changed}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.dirs[dir]) == 0 {
		if err := w.notify.Add(dir); err != nil {
			return nil, fmt.Errorf("watch %s: %w", dir, err)
		}
		w.dirs[dir] = make(map[*listener]struct{})
	}
	w.dirs[dir][l] = struct{}{}
	return func() { w.leave(dir, l) }, nil
}

// leave forgets l, and dir with its last listener.
func (w *Watcher) leave(dir string, l *listener) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, here := w.dirs[dir][l]; !here {
		return
	}
	delete(w.dirs[dir], l)
	if len(w.dirs[dir]) == 0 {
		delete(w.dirs, dir)
		_ = w.notify.Remove(dir) // gone already, or not to be told of any more
	}
}

func (w *Watcher) run() {
	var begun time.Time // the turn
	for {
		select {
		case e, open := <-w.notify.Events:
			if !open {
				return
			}
			w.event(e)
		case _, open := <-w.notify.Errors:
			if !open {
				return
			}
			w.everything() // events may be lost
		}
		switch now := time.Now(); {
		case now.Sub(begun) > pause: // nothing came for a while
			begun = now
		case now.Sub(begun) > turn:
			time.Sleep(pause)
			begun = time.Now()
		}
	}
}

func (w *Watcher) event(e fsnotify.Event) {
	if gone := e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename); gone && w.lost(e.Name) {
		return
	}
	dir, name := filepath.Split(e.Name)
	for _, l := range w.listeners(filepath.Clean(dir)) {
		l.changed(name)
	}
}

// lost tells the listeners of dir, if it has any, that it is gone.
func (w *Watcher) lost(dir string) bool {
	dir = filepath.Clean(dir)
	listeners := w.listeners(dir)
	w.mu.Lock()
	if len(listeners) > 0 {
		delete(w.dirs, dir)
		_ = w.notify.Remove(dir) // one that was renamed is watched under its old name still
	}
	w.mu.Unlock()
	for _, l := range listeners {
		l.changed("")
	}
	return len(listeners) > 0
}

func (w *Watcher) everything() {
	w.mu.Lock()
	var all []*listener
	for _, listeners := range w.dirs {
		for l := range listeners {
			all = append(all, l)
		}
	}
	w.mu.Unlock()
	for _, l := range all {
		l.changed("")
	}
}

// listeners returns those of dir, so that they are told without the lock.
func (w *Watcher) listeners(dir string) []*listener {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]*listener, 0, len(w.dirs[dir]))
	for l := range w.dirs[dir] {
		all = append(all, l)
	}
	return all
}
