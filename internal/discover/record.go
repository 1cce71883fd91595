package discover

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
)

// Record is which databases were registered because their files were found. It is not
// safe for concurrent use.
type Record struct {
	file    string
	entries map[string]Entry  // by path
	names   map[string]string // to paths
	changed bool
}

// Entry is one of them, as it was last seen.
type Entry struct {
	Name    string
	Replica string
	Device  uint64        // that the file was on
	Root    source.FileID // the directory of the entry of the configuration
}

// LoadRecord reads the record in file, an empty one if there is none. With an error
// it returns an empty one, too: what it lacks is registered again where it is found,
// and not released where it is not.
func LoadRecord(file string) (*Record, error) {
	r := &Record{file: file, entries: map[string]Entry{}, names: map[string]string{}}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &r.entries)
	}
	if err != nil {
		r.entries = map[string]Entry{}
		return r, fmt.Errorf("record of discovered databases %s: %w", file, err)
	}
	for path, e := range r.entries {
		r.names[e.Name] = path
	}
	return r, nil
}

// Put notes that f is registered. Another one that had its name is not any more.
func (r *Record) Put(f Found) {
	path, e := f.Path, Entry{Name: f.Name, Replica: f.Replica, Device: f.File.ID.Device, Root: f.File.Root}
	if r.entries[path] == e {
		return
	}
	r.Forget(path)
	r.Forget(r.names[e.Name])
	r.entries[path], r.names[e.Name], r.changed = e, path, true
}

// Forget notes that the database of that path is not registered any more, or not for
// being found.
func (r *Record) Forget(path string) {
	if e, ok := r.entries[path]; ok {
		delete(r.entries, path)
		delete(r.names, e.Name)
		r.changed = true
	}
}

// Save writes the record if it has changed.
func (r *Record) Save() error {
	if !r.changed {
		return nil
	}
	b, err := json.Marshal(r.entries)
	if err == nil {
		err = ship.WriteFile(ship.OS, r.file, b)
	}
	if err != nil {
		return fmt.Errorf("record of discovered databases: %w", err)
	}
	r.changed = false
	return nil
}

// Held returns the paths of all by their names. It is not the caller's to change.
func (r *Record) Held() map[string]string { return r.names }

// Paths returns the paths of all, sorted.
func (r *Record) Paths() []string { return slices.Sorted(maps.Keys(r.entries)) }

// Entry returns the entry of that path, if there is one.
func (r *Record) Entry(path string) (e Entry, ok bool) {
	e, ok = r.entries[path]
	return e, ok
}

// Presence is what can be said of a file that was not found.
type Presence string

// Presences.
const (
	Here Presence = "here" // though not found, as it is no database now, say
	Gone Presence = "gone" // from the file system that it was on
	Away Presence = "away" // with its file system or the whole directory, or it cannot be told
)

// Presence tells where the file at path is, which d covers and e is about.
//
// An unmounted disk leaves a directory behind, mostly an empty one. So a file is gone
// only if the directory of its entry is still the same one, and the nearest directory
// above the file that exists is on the device that the file was on.
func (e Entry) Presence(d config.Directory, path string) Presence {
	switch there, err := exists(path); {
	case err != nil:
		return Away
	case there:
		return Here
	}
	root, err := source.Identify(d.Dir)
	if err != nil || !root.Succeeds(e.Root) {
		return Away
	}
	device := e.Device
	if device == e.Root.Device {
		device = root.Device // which may have another number since the machine started
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		id, err := source.Identify(dir)
		switch {
		case err == nil && id.Device == device:
			return Gone
		case err == nil || !errors.Is(err, source.ErrMissing) || dir == d.Dir:
			return Away
		}
	}
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return false, nil
	}
	return err == nil, err
}
