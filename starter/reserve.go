package main

import (
	"fmt"
	"path/filepath"

	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/inuse"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/ship"
)

// reserve makes sure that nobody on this machine uses the output: no worker that
// replicates it, and no program that has the file open which is to be replaced. None
// may begin to from the moment at which it is replaced until leave is called.
func reserve(opts *restore.Options) (leave func(), err error) {
	place := opts.Output
	if real, err := filepath.EvalSymlinks(place); err == nil {
		place = real
	}
	for _, path := range []string{opts.Output, place} {
		if err := replicated(path); err != nil {
			return nil, err
		}
	}
	if !opts.Force {
		return func() {}, nil
	}
	end, err := inuse.Hold(place)
	if err != nil {
		return nil, fmt.Errorf("restore to %s: %w", opts.Output, err)
	}
	end()
	end = func() {}
	opts.Publishing = func(string, restore.Result) error {
		held, err := inuse.Hold(place)
		if err == nil {
			end = held
		}
		return err
	}
	return func() { end() }, nil
}

// replicated refuses a path whose database a worker on this machine has.
func replicated(path string) error {
	name, yes, err := ship.Locked(ship.StateDir(path))
	if err != nil || !yes {
		return err
	}
	if name == "" {
		name = "a database"
	}
	return fmt.Errorf("%w: a worker on this machine replicates %s as %s; stop that one, choose another path, or have the worker replace it with --on HOST --force",
		host.ErrRegistered, path, name)
}
