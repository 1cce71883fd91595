// Package stack starts what Holdfast needs around it for development: a
// Temporal server with its Web UI and an Azure Blob Storage emulator. It ends
// them together, and ends both when one of them ends by itself.
package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/holdfast-db/holdfast/dev/azurite"
	"github.com/holdfast-db/holdfast/dev/port"
	"github.com/holdfast-db/holdfast/dev/temporal"
)

// Container is the blob container that exists from the start.
const Container = "holdfast"

// Parts of the stack for Options.Only.
const (
	Temporal = "temporal"
	Azurite  = "azurite"
)

// Options say what to start and where.
type Options struct {
	Dir      string // state of both; empty: a temporary directory, removed at the end
	Install  string // where Azurite gets installed
	Only     string // Temporal or Azurite; empty: both
	Temporal Port
	UI       Port
	Blob     Port
	Notify   func(string) // told what takes long, in one line
}

// Port says how a port is chosen.
type Port struct {
	Number int  // 0: any free one
	Usual  bool // any free one also when Number is taken
}

func (p Port) choose() (int, error) {
	switch {
	case p.Number == 0:
		return port.Free()
	case p.Usual:
		return port.Usual(p.Number)
	}
	return port.Exactly(p.Number)
}

// Stack is a running stack.
type Stack struct {
	options  Options
	state    *state
	temporal *temporal.Server
	azurite  *azurite.Server
}

// Start returns when all parts are ready for clients.
func Start(ctx context.Context, o Options) (*Stack, error) {
	if o.Only != "" && o.Only != Temporal && o.Only != Azurite {
		return nil, fmt.Errorf("--only %q: want %s or %s", o.Only, Temporal, Azurite)
	}
	state, err := openState(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Stack{options: o, state: state}
	var wg sync.WaitGroup
	var errs [2]error
	if o.Only != Azurite {
		wg.Go(func() { errs[0] = s.startTemporal(ctx) })
	}
	if o.Only != Temporal {
		wg.Go(func() { errs[1] = s.startAzurite(ctx) })
	}
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Stack) startTemporal(ctx context.Context) error {
	n, err := s.options.Temporal.choose()
	if err != nil {
		return fmt.Errorf("temporal: %w", err)
	}
	ui, err := s.options.UI.choose()
	if err != nil {
		return fmt.Errorf("web ui: %w", err)
	}
	s.temporal, err = temporal.Start(ctx, temporal.Options{
		Port: n, UIPort: ui, Data: filepath.Join(s.state.dir, "temporal"),
	})
	return err
}

func (s *Stack) startAzurite(ctx context.Context) (err error) {
	s.azurite, err = azurite.Start(ctx, azurite.Options{
		Port:    s.options.Blob.choose,
		Data:    filepath.Join(s.state.dir, "azurite"),
		Install: s.options.Install,
		Notify:  s.options.Notify,
	})
	if err != nil {
		return err
	}
	return s.azurite.CreateContainer(ctx, Container)
}

// Wait returns nil when ctx is done, or an error when a part ended by itself.
func (s *Stack) Wait(ctx context.Context) error {
	var temporalDone, azuriteDone <-chan struct{}
	if s.temporal != nil {
		temporalDone = s.temporal.Done()
	}
	if s.azurite != nil {
		azuriteDone = s.azurite.Done()
	}
	select {
	case <-ctx.Done():
		return nil
	case <-temporalDone:
		return fmt.Errorf("temporal ended by itself: %w", s.temporal.Err())
	case <-azuriteDone:
		return fmt.Errorf("azurite ended by itself: %w", s.azurite.Err())
	}
}

// Stop ends all parts and returns when they are gone.
func (s *Stack) Stop() {
	var wg sync.WaitGroup
	if s.temporal != nil {
		wg.Go(s.temporal.Stop)
	}
	if s.azurite != nil {
		wg.Go(s.azurite.Stop)
	}
	wg.Wait()
	s.state.close()
}

// state is the directory that one stack at a time owns.
type state struct {
	dir       string
	temporary bool
	lock      *os.File
}

func openState(dir string) (*state, error) {
	if dir == "" {
		dir, err := os.MkdirTemp("", "holdfast-dev-")
		return &state{dir: dir, temporary: true}, err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("%s is in use by another stack: end that one, or name another --dir", dir)
	}
	return &state{dir: dir, lock: lock}, nil
}

func (s *state) close() {
	if s.temporary {
		_ = os.RemoveAll(s.dir)
		return
	}
	_ = s.lock.Close()
}
