package ship

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/wal"
)

// settle reads the replica's head, if that is not known, and makes the database
// go on from there.
func (s *Shipper) settle(ctx context.Context) error {
	if s.settled {
		return nil
	}
	s.opts.Head = max(s.opts.Head, s.head.Max)
	opts := s.opts
	if s.anew {
		opts.Head = 0 // what stands where it was, and after it, is in doubt
	}
	head, err := readHead(ctx, opts, s.state.Writer)
	if err != nil {
		return err
	}
	if head.Max != 0 && head.Instance != s.instance && (s.owned || s.inherited != 0 && head.Max > s.inherited) && !s.lost(head) {
		return s.twin(head)
	}
	if head.Max == 0 && len(s.spool.entries) > 0 {
		s.sayGivenUp(errors.New("the replica was emptied"))
	}
	if head.Max == 0 || head.Writer != s.state.Writer || s.spoolIsOlder(head) {
		if err := s.discardSpool(); err != nil {
			return err
		}
	}
	position, err := s.positionOf(ctx, head)
	if err != nil {
		return err
	}
	if err := s.checkSpool(position); err != nil {
		return err
	}
	if err := s.trust(ctx, head, position); err != nil {
		return err
	}
	if head.Max != s.state.TXID {
		s.state.Equal = wal.Position{}
	}
	if at := s.state.Equal; at.PageSize == position.PageSize && at.Commit == position.Commit && head.Writer == s.state.Writer {
		position = at
	}
	var clean source.Stamp
	if head.Max == s.state.TXID && position == s.state.Position {
		clean = s.state.Clean
	}
	s.head, s.contact = head, wallClock()
	s.created = later(s.created, head.Created)
	if last, ok := s.spool.last(); ok {
		position, clean = last.Position, source.Stamp{}
		s.created = later(s.created, last.Created)
	}
	s.state.TXID, s.state.Position = head.Max, position
	s.db.Resume(source.Place{Position: position, Clean: clean, File: s.state.File})
	s.settled, s.doubt = true, false
	return nil
}

// checkSpool gives up a spool whose beginning is missing, unless the head ends
// where that did: then it was shipped, and removed for that.
func (s *Shipper) checkSpool(head wal.Position) error {
	lost := s.spool.missing
	if len(s.spool.entries) > 0 && lost.Max != 0 && lost.Position != head {
		s.sayGivenUp(fmt.Errorf("%s is gone", s.spool.name(lost.Max)))
		s.demand = source.RuleSpool
		if err := s.discardSpool(); err != nil {
			return err
		}
	}
	s.spool.missing = replica.Draft{}
	return nil
}

// wallClock is now without its monotonic part, which stands still while the
// machine sleeps.
func wallClock() time.Time { return time.Now().Round(0) }

// spoolIsOlder tells whether head was made after all that is spooled, which has
// been shipped then: the machine was set back to a moment when it had not been.
// What goes on after the spool's end does not go on after head. Of one writer,
// what is made later is labelled so, whatever the clock does.
func (s *Shipper) spoolIsOlder(head replica.Object) bool {
	last, ok := s.spool.last()
	return ok && head.Created.After(last.Created)
}

// discardSpool removes what was spooled, when it cannot be shipped any more: all
// pages will be compared instead. The newest goes first, so that what a crash
// leaves still follows the head.
func (s *Shipper) discardSpool() error {
	for _, e := range slices.Backward(slices.Clone(s.spool.entries)) {
		if err := s.spool.drop(e.Max); err != nil {
			return source.Classify(err)
		}
	}
	return nil
}

// readHead returns the newest object, which must be ours to follow; a zero one
// for an empty replica.
func readHead(ctx context.Context, opts Options, writer string) (replica.Object, error) {
	head, err := opts.Replica.Head(ctx, opts.Head)
	if age := wallClock().Sub(head.Created); opts.Head != 0 && err == nil && (age > opts.silence() || age < 0) {
		// What follows it may be expired in part, and look like nothing at all; or the
		// clock is wrong, and says nothing of its age.
		head, err = opts.Replica.Head(ctx, 0)
	}
	switch {
	case errors.Is(err, replica.ErrEmpty):
		return replica.Object{}, nil
	case err != nil:
		return replica.Object{}, fmt.Errorf("read the head of %s: %w", opts.URL, err)
	case head.Writer == writer, head.Writer == "" && opts.Adopt, opts.TakeOver:
		return head, nil
	case head.Writer == "":
		return head, fmt.Errorf("%w: %w: %s holds objects up to %s that name no writer, as Litestream's do; register with --adopt to go on after them, or choose another replica path", ErrFenced, ErrForeign, opts.URL, head.Max)
	}
	return head, fmt.Errorf("%w: %w: %s was written by %s up to %s; choose another replica path, or register with --take-over if that writer is gone for good", ErrFenced, ErrForeign, opts.URL, name(head.Writer), head.Max)
}

// checkHead makes sure, after a silence, that the head is still the one that is known:
// errAgain says that it is not. It makes no request otherwise. Looking at all pages of a
// large database takes longer than a silence, and is not done again for that.
func (s *Shipper) checkHead(ctx context.Context) error {
	if !s.silentSince(s.contact) {
		return nil
	}
	opts := s.opts
	opts.Head = max(opts.Head, s.head.Max)
	head, err := readHead(ctx, opts, s.state.Writer)
	if err != nil {
		return err
	}
	if head.Max != s.head.Max || head.Writer != s.head.Writer || head.Instance != s.head.Instance {
		s.settled = false
		return errAgain
	}
	s.contact = wallClock()
	return nil
}

// positionOf returns where head left off. Another writer's head, or one that
// says nothing of a log, gives a position that nothing continues.
func (s *Shipper) positionOf(ctx context.Context, head replica.Object) (wal.Position, error) {
	if head.Max == 0 {
		return wal.Position{}, nil
	}
	p, err := s.opts.Replica.Position(ctx, head)
	if s.anew && errors.Is(err, replica.ErrDamaged) {
		return wal.Position{}, nil
	}
	if err != nil {
		return wal.Position{}, fmt.Errorf("read the head of %s: %w", s.opts.URL, err)
	}
	if head.Writer != s.state.Writer {
		return wal.Position{PageSize: p.PageSize, Commit: p.Commit}, nil
	}
	return p, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// CheckHead tells whether a Shipper with these options could follow the
// replica's head: blob errors and ErrFenced say why not. dir is where the state
// of an earlier process would be. Nothing is written.
func CheckHead(ctx context.Context, opts Options, dir string) error {
	state, err := LoadState(dir)
	if err != nil {
		return err
	}
	writer := opts.Writer
	if state.Replica == opts.URL && state.Writer != "" {
		writer, opts.Head = state.Writer, max(opts.Head, state.TXID)
	}
	_, err = readHead(ctx, opts, writer)
	return err
}

// Save writes the local state: when a window begins and ends, at checkpoints,
// and whenever the spool changes.
func (s *Shipper) Save() error {
	s.state.Spool = s.spool.entries
	return s.dir.Save(s.state)
}

// SaveClosed writes the local state after the database was closed with stamp
// (zero: not cleanly).
func (s *Shipper) SaveClosed(stamp source.Stamp) error {
	s.mark()
	s.state.Clean = source.Stamp{}
	if s.settled && len(s.spool.entries) == 0 && !s.scrub.doubt {
		s.state.Clean = stamp
	}
	s.settled = false
	return s.Save()
}

// Rest is Save for when a window ends: the page digests are brought to disk too.
func (s *Shipper) Rest() error {
	s.mark()
	return s.Save()
}

// Forget makes the next pass read the head again, after a put whose fate is not
// known.
func (s *Shipper) Forget() { s.settled = false }
