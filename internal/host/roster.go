package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"

	"github.com/holdfast-db/holdfast/internal/ship"
)

// roster is the list of a host's databases, with their state directories, in a file, so
// that the next process finds what this one leaves. Changes that are made side by side
// share one write: a thousand databases that begin at once do not wait for a thousand.
type roster struct {
	fs   ship.FS
	file string

	saving sync.Mutex // held while the file is written

	mu      sync.Mutex
	dirs    map[string]string // by name of database
	changes int               // that were made
	saved   int               // of them
	changed map[string]int    // the change that a name is from; none if it was read
}

func loadRoster(fs ship.FS, file string) (*roster, error) {
	r := &roster{fs: fs, file: file, dirs: make(map[string]string), changed: make(map[string]int)}
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the list of databases: %w", err)
	}
	if json.Unmarshal(b, &r.dirs) != nil || r.dirs == nil {
		r.dirs = make(map[string]string) // torn by a crash: lost windows then end by their heartbeat
	}
	return r, nil
}

// all returns a copy of the list.
func (r *roster) all() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.dirs)
}

// dir returns a database's state directory; empty if it is not listed.
func (r *roster) dir(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dirs[name]
}

// add lists a database, and returns when the file does, too. One that could not be
// saved is saved by the next call.
func (r *roster) add(name, dir string) error {
	return r.change(name, func() bool {
		same := r.dirs[name] == dir
		r.dirs[name] = dir
		return !same
	})
}

// drop is add's reverse.
func (r *roster) drop(name string) error {
	return r.change(name, func() bool {
		_, listed := r.dirs[name]
		delete(r.dirs, name)
		return listed
	})
}

func (r *roster) change(name string, apply func() (changed bool)) error {
	r.mu.Lock()
	if apply() {
		r.changes++
		r.changed[name] = r.changes
	}
	at, saved := r.changed[name], r.saved
	r.mu.Unlock()
	if at <= saved {
		return nil
	}
	return r.save(at)
}

// save returns when the file has a change, which it may by another's write.
func (r *roster) save(change int) error {
	r.saving.Lock()
	defer r.saving.Unlock()
	r.mu.Lock()
	if change <= r.saved {
		r.mu.Unlock()
		return nil
	}
	b, err := json.MarshalIndent(r.dirs, "", "  ")
	upTo := r.changes
	r.mu.Unlock()
	if err == nil {
		err = ship.WriteFile(r.fs, r.file, b)
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.saved = upTo
	r.mu.Unlock()
	return nil
}
