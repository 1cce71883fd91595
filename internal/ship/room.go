package ship

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/wal"
)

const (
	// softTries is how often a log is shipped, copied and offered to the next
	// writer before the attempt is left to the next pass. A writer that pauses
	// for some milliseconds now and then lets one of them succeed.
	softTries = 6

	// roomAgain is when that is tried again though less than checkpointPages were
	// shipped since the last time.
	roomAgain = 10 * time.Second

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
	// while writers wait.
	tailBytes = 8 << 20
)

// room is how the last attempt to make room went.
type room struct {
	emptied wal.Position // where the log ended when all of it was copied into the file
	tried   time.Time
	size    int64 // of the log after that, in bytes
	chased  bool  // whatever was tried softly, the writer was faster
}

// crowded tells whether the log has grown long, and enough since the last attempt
// that another one is worth its syncs.
func (s *Shipper) crowded() bool {
	size, step := s.db.LogSize(), checkpointPages*int64(s.db.PageSize())
	switch {
	case size < step, s.room.emptied == s.state.Position:
		return false
	case size > s.opts.WALLimit, size < s.room.size:
		return true
	}
	return size-s.room.size >= step || time.Since(s.room.tried) >= roomAgain
}

// makeRoom lets a log that has grown long be used again from its start. It never
// makes a writer wait unless the log has passed its limit.
func (s *Shipper) makeRoom(ctx context.Context, out *Outcome) error {
	if !s.crowded() {
		return nil
	}
	tries := softTries
	if s.room.chased || s.db.LogSize() > s.opts.WALLimit {
		tries = 1 // the writer makes no pauses: what is shipped in between is small, and costs it its speed
	}
	room, err := s.soft(ctx, out, tries)
	s.room.chased = room == source.Overtaken
	for try := 0; try < hardTries && err == nil && room == source.Overtaken && s.db.LogSize() > s.opts.WALLimit; try++ {
		if err = s.hard(ctx, out); errors.Is(err, errLongTail) {
			room, err = s.soft(ctx, out, 1)
			continue
		}
		break
	}
	if errors.Is(err, errAgain) || errors.Is(err, errLongTail) || errors.Is(err, source.ErrMoved) || errors.Is(err, source.ErrBusy) {
		err = nil // what it was about to ship, the next pass does
	}
	if err == nil && room == source.Emptied {
		s.room.emptied = s.state.Position
	}
	s.room.tried, s.room.size = time.Now(), s.db.LogSize()
	s.markIfDue()
	return errors.Join(err, s.Save())
}

// soft ships, copies and renews the lock until nothing was committed meanwhile.
func (s *Shipper) soft(ctx context.Context, out *Outcome, tries int) (room source.Room, err error) {
	for range tries {
		if room, err = s.db.Checkpoint(); room != source.Overtaken || err != nil {
			return room, err
		}
		if _, err := s.step(ctx, out); err != nil {
			return room, err
		}
	}
	return room, nil
}

// hard does the same while writers wait: for two syncs of the disk, and a tail
// of the log that is kept in memory and shipped when they go on. A crash before
// that costs a resync, no more.
func (s *Shipper) hard(ctx context.Context, out *Outcome) error {
	before := s.state.Position
	var c *source.Changeset
	var tail pages
	err := s.db.HoldWriters(func() (err error) {
		if c, err = s.db.Capture(0, s.force()); err != nil {
			return err
		}
		if c.Rule != "" || int64(c.PageCount())*int64(s.db.PageSize()) > tailBytes {
			c = nil
			return errors.Join(errLongTail, s.db.Dropped())
		}
		if err := tail.read(c); err != nil {
			return errors.Join(err, s.db.Dropped())
		}
		if err := s.db.Shipped(c); err != nil {
			return err
		}
		return s.insist()
	})
	err = errors.Join(err, s.db.Pin(pinFor))
	if err != nil && (c == nil || len(tail) < c.PageCount()) {
		return err
	}
	if e := s.put(ctx, c, tail.emit, out); e != nil {
		s.db.Resume(source.Place{Position: before, File: s.state.File})
		return e
	}
	return err
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
