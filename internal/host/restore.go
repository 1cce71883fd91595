package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/holdfast-db/holdfast/internal/inuse"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
)

// ErrRegistered says that a database of this host is registered for the place
// where another state is to go.
var ErrRegistered = errors.New("a database is registered there")

// Restoring is one restore to a path of this host, over all of its attempts.
type Restoring struct {
	ID      string // by which an attempt knows what one before it has done
	Replica string // URL
	Replace string // name of the registered database that may be replaced, and is held meanwhile
	restore.Options
}

// restoring is an attempt under way.
type restoring struct {
	replaces string // name of the database that is kept closed, if any
	done     chan struct{}
}

// CheckRestore tells whether r could be done, and which registered database is at
// its path, if any: without Force, that alone. It changes nothing.
func (h *Host) CheckRestore(ctx context.Context, r Restoring) (occupant string, err error) {
	place := placeOf(r.Output)
	occupant = h.occupant(place)
	if _, ok := h.published(r, place); ok || occupant != "" && !r.Force {
		return occupant, nil
	}
	if err := restore.Look(r.Options); err != nil {
		return "", err
	}
	if err := inuse.Look(place); err != nil {
		return "", fmt.Errorf("restore to %s: %w", r.Output, err)
	}
	from, err := h.opts.OpenReplica(ctx, r.Replica)
	if err != nil {
		return "", err
	}
	_, err = restore.Choose(ctx, from, r.Target)
	return occupant, err
}

// Restore restores r. While it does, the registered database that it replaces is
// closed, and cannot be opened; it must be open nowhere else. An attempt that finds
// that one before it had come to its end answers as that one would have.
func (h *Host) Restore(ctx context.Context, r Restoring) (restore.Result, error) {
	place := placeOf(r.Output)
	leave, err := h.enter(ctx, place, r.Replace)
	if err != nil {
		return restore.Result{}, err
	}
	defer leave()
	if done, ok := h.published(r, place); ok {
		return done, nil
	}
	if err := h.vacate(ctx, r, place); err != nil {
		return restore.Result{}, err
	}
	from, err := h.opts.OpenReplica(ctx, r.Replica)
	if err != nil {
		return restore.Result{}, err
	}
	end := func() {}
	defer func() { end() }()
	r.Publishing = func(file string, res restore.Result) (err error) {
		if end, err = h.hold(place); err != nil {
			end = func() {}
			return err
		}
		return h.note(r, file, res)
	}
	return restore.Run(ctx, from, r.Options)
}

// DiscardRestore removes what attempts at r have left behind, if none is at work.
func (h *Host) DiscardRestore(ctx context.Context, r Restoring) error {
	leave, err := h.enter(ctx, placeOf(r.Output), "")
	if err != nil {
		return err
	}
	defer leave()
	return restore.Discard(r.Options)
}

// enter waits until no other attempt is at work on place. Until leave is called no
// slot is opened there, nor for the database that is replaced.
func (h *Host) enter(ctx context.Context, place, replaces string) (leave func(), err error) {
	for {
		h.mu.Lock()
		other := h.restoring[place]
		if other == nil {
			defer h.mu.Unlock()
			mine := &restoring{replaces, make(chan struct{})}
			h.restoring[place] = mine
			return func() { h.leave(place, mine) }, nil
		}
		h.mu.Unlock()
		select {
		case <-other.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (h *Host) leave(place string, mine *restoring) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.restoring, place)
	close(mine.done)
}

// beingRestored refuses a database whose file is about to be replaced. The caller
// holds h.mu.
func (h *Host) beingRestored(d Database) error {
	for place, r := range h.restoring {
		if r.replaces != "" && (r.replaces == d.Name || placeOf(d.Path) == place) {
			return fmt.Errorf("%w: %s is being replaced by a restore; it goes on afterwards", source.ErrBusy, d.Path)
		}
	}
	return nil
}

// vacate closes the database at place that is to be replaced, and makes sure that
// nobody else is there.
func (h *Host) vacate(ctx context.Context, r Restoring, place string) error {
	if occupant := h.occupant(place); occupant != "" && occupant != r.Replace {
		return fmt.Errorf("%w: %s is that of %s on this host; stop that one first, or replace its file with --force",
			ErrRegistered, r.Output, occupant)
	}
	if !r.Force {
		return nil // there must be nothing, which Run sees to
	}
	s := h.slotOf(r.Replace)
	if s != nil {
		err := s.retire(ctx, func() error {
			defer h.remove(r.Replace)
			if err := s.close(); err != nil { // what is there is given up anyway
				h.opts.Log.Warn("closed badly", "db", r.Replace, "err", err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	end, err := h.hold(place)
	if err != nil {
		return fmt.Errorf("restore to %s: %w", r.Output, err)
	}
	end()
	return nil
}

// hold keeps other processes from the file at place, if nobody uses it.
func (h *Host) hold(place string) (end func(), err error) {
	h.opening.Lock()
	defer h.opening.Unlock()
	if id, err := source.Identify(place); err == nil && h.hasOpen(id) {
		return nil, fmt.Errorf("%w: this worker replicates %s; stop that first", inuse.ErrInUse, place)
	}
	return inuse.Hold(place)
}

// hasOpen tells whether a slot has the file open.
func (h *Host) hasOpen(id source.FileID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.slots {
		if s.fileID() == id {
			return true
		}
	}
	return false
}

// occupant returns the name of the database of this host whose file is, or would be,
// at place; empty if there is none.
func (h *Host) occupant(place string) string {
	paths, open := map[string]string{}, map[string]source.FileID{}
	for name, dir := range h.known.all() {
		paths[name] = ship.Beside(dir)
	}
	h.mu.Lock()
	for name, s := range h.slots {
		paths[name], open[name] = s.wanted().Path, s.fileID()
	}
	h.mu.Unlock()
	there, err := source.Identify(place)
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		path := paths[name]
		if path == "" {
			continue
		}
		id, missing := source.Identify(path)
		if placeOf(path) == place || err == nil && (open[name] == there || missing == nil && id == there) {
			return name
		}
	}
	return ""
}

// placeOf returns path without symbolic links, as far as it is there: one file has
// one place.
func placeOf(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	dir, base := filepath.Split(filepath.Clean(path))
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return filepath.Join(real, base)
	}
	return filepath.Clean(path)
}
