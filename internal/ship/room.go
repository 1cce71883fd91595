package ship

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/wal"
)

const (
	// softTries is how often a log is copied and offered to the next writer before
	// the attempt is left to a later pass. A writer that pauses for a millisecond now
	// and then lets one of them succeed.
	softTries = 8

	// roomAgain is when that is tried again though less than checkpointPages were
	// shipped since the last time.
	roomAgain = 10 * time.Second

	// blockedAgain is when a log beyond its limit that somebody reads from is tried again.
	blockedAgain = 50 * time.Millisecond

	// hardTries is how often the same is tried while writers wait, with soft ones
	// in between when too much had been committed by the time that they did.
	hardTries = 3

	// insistTries bounds, in milliseconds, how long writers wait for a checkpoint
	// of theirs that is under way.
	insistTries = 30

	// pinFor is how long the first commit after that is waited for, before the tail is
	// shipped: the log is kept from being restarted from then on.
	pinFor = 5 * time.Millisecond

	// tailBytes is how many bytes of pages may have to be read, and kept in memory,
	// when a log is offered to the next writer before all of it is shipped.
	tailBytes = 8 << 20
)

// room is how the last attempt to make room went.
type room struct {
	emptied wal.Position // where the log ended when all of it was copied into the file
	tried   time.Time
	size    int64 // of the log after that, in bytes; 0 if it can be used again from its start
	seen    int64 // of the log when a pass last ended
	chased  bool  // whatever was tried softly, the writer was faster
	blocked bool  // somebody who reads from the log, or copies it, was in the way
}

// crowded tells whether the log will have grown long by the end of the next pass, and
// has grown enough since the last attempt that another one is worth its syncs. An
// application that finds its log long checkpoints after each commit, until it can be
// used again from its start.
func (s *Shipper) crowded() bool {
	size, step := s.db.LogSize(), checkpointPages*int64(s.db.PageSize())
	grown := size - s.room.seen
	if grown < 0 {
		grown = size
	}
	s.room.seen = size
	switch {
	case !s.settled, size+max(grown, step/4) < step, s.room.emptied == s.state.Position:
		return false
	case size > s.opts.WALLimit && (!s.room.blocked || time.Since(s.room.tried) >= blockedAgain), size < s.room.size, s.room.size == 0:
		return true
	}
	return size-s.room.size >= step/2 || time.Since(s.room.tried) >= roomAgain
}

// makeRoom lets a log that has grown long be used again from its start. It never
// makes a writer wait unless the log has passed its limit.
func (s *Shipper) makeRoom(ctx context.Context, out *Outcome) error {
	if !s.crowded() {
		return nil
	}
	room, err := s.soft(ctx, out)
	for try := 0; try < hardTries && err == nil && room == source.Overtaken && s.db.LogSize() > s.opts.WALLimit; try++ {
		if _, err = s.step(ctx, out); err != nil { // so that the tail is short
			break
		}
		if err = s.hard(ctx, out); !errors.Is(err, errLongTail) {
			break
		}
		room, err = s.db.Checkpoint()
	}
	if passing(err) {
		err = nil // what it was about to ship, the next pass does
	}
	s.room.tried, s.room.size = time.Now(), s.db.LogSize()
	if err == nil && room == source.Emptied {
		if s.room.emptied.Salts != s.state.Position.Salts {
			s.room.size = 0 // else it was offered before, and somebody who reads from it keeps it
		}
		s.room.emptied = s.state.Position
	}
	s.markIfDue()
	return errors.Join(err, s.Save())
}

// passing tells whether err, of an attempt to make room, is nothing to tell.
func passing(err error) bool {
	of := func(targets ...error) bool {
		return slices.ContainsFunc(targets, func(t error) bool { return errors.Is(err, t) })
	}
	return of(errAgain, errLongTail, source.ErrMoved, source.ErrBusy) && !of(ErrFenced, blob.ErrUnavailable, blob.ErrThrottled)
}

// soft copies the log and offers it to the next writer until nothing was committed
// meanwhile. When the last attempts came to nothing, as beside a writer that makes no
// pauses, it tries but once.
func (s *Shipper) soft(ctx context.Context, out *Outcome) (room source.Room, err error) {
	tries := softTries
	if s.room.chased {
		tries = 1
	}
	room, err = s.db.Checkpoint()
	blocked := false
	for try := 0; try < tries && err == nil && room != source.Emptied && ctx.Err() == nil; try++ {
		if room == source.Blocked {
			if blocked {
				break
			}
			time.Sleep(time.Millisecond) // an application's own checkpoint may be over then
		}
		blocked = room == source.Blocked
		room, err = s.empty(ctx, out)
	}
	if errors.Is(err, errLongTail) {
		err = nil
	}
	s.room.chased, s.room.blocked = room == source.Overtaken, room == source.Blocked
	return room, err
}

// hard does the same while writers wait: for two syncs of the disk, and a tail of the
// log that is kept in memory and shipped when they go on.
func (s *Shipper) hard(ctx context.Context, out *Outcome) error {
	var t *tail
	err := s.db.HoldWriters(func() (err error) {
		if t, err = s.capture(nil); err != nil {
			return err
		}
		return s.insist()
	})
	return errors.Join(err, s.db.Pin(pinFor), s.putTail(ctx, t, out))
}

// insist checkpoints while writers wait, again for as long as one of their own
// checkpoints may be in the way.
func (s *Shipper) insist() error {
	for range insistTries {
		room, err := s.db.Checkpoint()
		if room == source.Emptied || err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// empty is one attempt to offer the log to the next writer.
func (s *Shipper) empty(ctx context.Context, out *Outcome) (source.Room, error) {
	t, room, err := s.cut()
	return room, errors.Join(err, s.putTail(ctx, t, out))
}

// tail is what was not shipped of a log that the next writer can start over.
type tail struct {
	changes *source.Changeset
	pages   pages
	before  wal.Position
}

// cut copies all of the log into the database file and, unless something was committed
// meanwhile, lets the next writer start it over. What was not shipped of it is the
// tail: a crash before that is shipped costs a resync, no more.
func (s *Shipper) cut() (*tail, source.Room, error) {
	if behind, err := s.db.Behind(); err != nil || behind > tailBytes {
		return nil, source.Overtaken, errors.Join(err, errLongTail)
	}
	room, err := s.db.CheckpointAhead()
	if err != nil || room != source.Copied {
		return nil, room, err
	}
	t, err := s.capture((*source.Changeset).Empties)
	if t == nil {
		return nil, source.Overtaken, err
	}
	return t, source.Emptied, err
}

// capture takes what is not shipped into memory, and lets the database go on as if it
// were: unless it is too much, or not fit, when the tail is nil.
func (s *Shipper) capture(fit func(*source.Changeset) bool) (*tail, error) {
	c, err := s.db.Capture(0, s.force())
	if err != nil {
		return nil, err
	}
	if c.Rule != "" || int64(c.PageCount())*int64(s.db.PageSize()) > tailBytes {
		return nil, errors.Join(errLongTail, s.db.Dropped())
	}
	if fit != nil && !fit(c) {
		return nil, s.db.Dropped()
	}
	t := &tail{changes: c, before: s.state.Position}
	if err := t.pages.read(c); err != nil {
		return nil, errors.Join(err, s.db.Dropped())
	}
	return t, s.db.Shipped(c)
}

// putTail ships t, or spools it if the store is away or the pass is cut off. nil is
// nothing.
func (s *Shipper) putTail(ctx context.Context, t *tail, out *Outcome) error {
	if t == nil {
		return nil
	}
	err := s.put(ctx, t.changes, t.pages.emit, out)
	if err == nil {
		return nil
	}
	if storeAway(err) || ctx.Err() != nil {
		full := s.keep(t.changes, t.pages.emit)
		switch {
		case full == nil:
			return err
		case storeAway(err) && !errors.Is(full, errSpoolFull):
			err = fmt.Errorf("%w; while the store is away: %v", full, err)
		}
	}
	s.db.Resume(source.Place{Position: t.before, File: s.state.File})
	return err
}

// errLongTail says that writers would have to wait for too many pages.
var errLongTail = errors.New("too much was committed meanwhile")

// pages are pages in memory.
type pages []page

type page struct {
	number uint32
	data   []byte
}

func (p *pages) read(c *source.Changeset) error {
	return c.Pages(func(number uint32, data []byte) error {
		*p = append(*p, page{number, bytes.Clone(data)})
		return nil
	})
}

func (p *pages) emit(emit func(pgno uint32, data []byte) error) error {
	for _, one := range *p {
		if err := emit(one.number, one.data); err != nil {
			return err
		}
	}
	return nil
}
