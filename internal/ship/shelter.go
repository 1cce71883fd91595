package ship

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/source"
)

// shelter moves a log that has passed its limit into the spool, so that it may
// be used again while the store is away. It returns why the store is away, or
// what went wrong here: a full disk is worse news.
func (s *Shipper) shelter(cause error) error {
	if !s.settled {
		return cause // where to go on from is not known; the log keeps what it has
	}
	behind, err := s.db.Behind()
	if err != nil || behind <= s.opts.WALLimit {
		return cause
	}
	if err := s.Shelter(); errors.Is(err, errSpoolFull) || errors.Is(err, errNoSpool) {
		return fmt.Errorf("%w; and %v", cause, err)
	} else if err != nil {
		return fmt.Errorf("%w; while the store is away: %v", err, cause)
	}
	return cause
}

// errNoSpool says that what waits cannot be spooled: all pages have to be looked at
// when the store is back, so that nothing of the log is needed.
var errNoSpool = errors.New("all pages wait to be compared, which the spool cannot hold")

// errSpoolFull says that the spool has all that it may have.
var errSpoolFull = errors.New("spool is full")

// Shelter moves what waits in the log into the spool.
func (s *Shipper) Shelter() error {
	before := s.spool.bytes()
	switch {
	case !s.settled:
		return errors.New("spool: where to go on from is not known yet")
	case before >= spoolLimit:
		return fmt.Errorf("%w: %d bytes of %d", errSpoolFull, before, int64(spoolLimit))
	}
	if err := s.spoolAll(); err != nil {
		return err
	}
	s.opts.Log.Warn("spooled", "db", s.opts.Name, "bytes", s.spool.bytes()-before, "spool_bytes", s.spool.bytes())
	return nil
}

// spoolAll captures all that waits and puts it into the spool.
func (s *Shipper) spoolAll() error {
	c, err := s.db.Capture(0, s.force())
	if err != nil {
		return err
	}
	if c.Rule != "" {
		return errors.Join(errNoSpool, s.db.Dropped())
	}
	s.scrub.doubt = s.scrub.doubt || c.Unvouched // the digests are not those of the spool's end
	if c.Empty() {
		return s.db.Shipped(c)
	}
	if err := s.keep(c, c.Pages); err != nil {
		return errors.Join(err, s.db.Dropped())
	}
	if err := s.db.Shipped(c); err != nil {
		return err
	}
	_, err = s.db.Checkpoint()
	return err
}

// keep puts c, whose pages are pages, into the spool.
func (s *Shipper) keep(c *source.Changeset, pages replica.Pages) error {
	if size := int64(c.PageCount()) * int64(s.db.PageSize()); s.spool.bytes()+size > spoolLimit {
		return fmt.Errorf("%w: %d more bytes would be too many of the application's disk", errSpoolFull, size)
	}
	next := s.head.Max + 1
	if last, ok := s.spool.last(); ok {
		next = last.Max + 1
	}
	d := s.draft(c, next)
	position := s.state.Position
	err := s.spool.add(d, pages, func() error {
		s.state.Position, s.state.Clean = d.Position, source.Stamp{}
		return s.Save()
	})
	if err != nil {
		s.state.Position = position
		return err
	}
	s.created = d.Created
	return nil
}

// drain ships the spool, oldest first.
func (s *Shipper) drain(ctx context.Context, out *Outcome) error {
	for len(s.spool.entries) > 0 {
		if err := s.drainOne(ctx, s.spool.entries[0], out); err != nil && !errors.Is(err, errAgain) {
			return err
		}
		if !s.settled { // an earlier attempt had got through
			if err := s.settle(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Shipper) drainOne(ctx context.Context, e replica.Draft, out *Outcome) error {
	done, err := s.alreadyThere(ctx, e)
	if err != nil {
		return err
	}
	if !done {
		if err := s.putSpooled(ctx, e, out); err != nil {
			return err
		}
	}
	if err := s.spool.drop(e.Max); err != nil {
		return source.Classify(err)
	}
	return s.Save()
}

// putSpooled ships e. The database itself is as far as the end of the spool, which
// is where the position stays.
func (s *Shipper) putSpooled(ctx context.Context, e replica.Draft, out *Outcome) error {
	change, err := s.digests.Begin(e.Position.PageSize, e.Position.Commit)
	if err != nil {
		return source.Classify(err)
	}
	known := s.digests.Trusted()
	if err := s.spool.read(e, change.Page); err != nil {
		return s.spoolDamaged(err)
	}
	d := e
	d.Min, d.Max, d.Instance = s.head.Max+1, s.head.Max+1, s.instance
	if !d.Created.After(s.head.Created) { // an earlier attempt has got through, under the TXID before
		d.Created = s.head.Created.Add(time.Millisecond)
	}
	if known {
		d.Digest = change.Digest()
	}
	if err := s.checkHead(ctx); err != nil {
		return err
	}
	begun := wallClock()
	object, err := s.spool.put(ctx, s.opts.Replica, e, d)
	if errors.Is(err, blob.ErrExists) {
		return s.collide(ctx, d)
	}
	if err != nil {
		return err
	}
	if known {
		s.applied(change, object)
	}
	position := s.state.Position
	s.advance(object, d, out)
	if s.silentSince(begun) {
		s.contact = begun
	}
	s.state.Position = position
	return nil
}

// spoolDamaged gives up what waits in the spool if err says that a file of it is
// not what was written: the database itself has the latest state.
func (s *Shipper) spoolDamaged(err error) error {
	if !errors.Is(err, replica.ErrDamaged) {
		return err
	}
	s.sayGivenUp(err)
	return s.giveUpSpool(source.RuleSpool)
}

func (s *Shipper) sayGivenUp(cause error) {
	s.opts.Log.Error("gave up the spool: states from the outage cannot be restored one by one, the latest can", "db", s.opts.Name, "files", len(s.spool.entries), "err", cause)
}

// giveUpSpool removes what waits in the spool. All pages are compared instead, by
// rule, once the store is there.
func (s *Shipper) giveUpSpool(rule source.Rule) error {
	s.demand = rule
	if err := s.discardSpool(); err != nil {
		return err
	}
	s.settled = false // the position is that of the head again
	if err := s.Save(); err != nil {
		return err
	}
	return errAgain
}

// alreadyThere tells whether the replica holds e: its put had got through, and
// only the answer was lost.
func (s *Shipper) alreadyThere(ctx context.Context, e replica.Draft) (bool, error) {
	if e.Max > s.head.Max {
		return false, nil
	}
	o, err := s.opts.Replica.Find(ctx, e.Level, e.Min, e.Max)
	if errors.Is(err, blob.ErrNotFound) {
		return !e.Created.After(s.head.Created), nil // what is older than the head was shipped, and has expired
	}
	if err != nil || o.Writer != s.state.Writer {
		return false, err
	}
	return s.spool.equal(ctx, s.opts.Replica, e, o)
}

// Removed says what a clean-up took away.
type Removed struct {
	Files  int
	Bytes  int64
	Folded Folded
}

// Folded says which states were given up: those between two times, which waited
// in the spool to become restorable one by one. It is zero when none were. What
// they led to is not lost: the database itself has it.
type Folded struct {
	Files       int
	From, Until time.Time // of the first and the last state given up
}

// CleanUp frees disk space that nothing needs: what ended attempts to spool left
// behind, and spool files whose object is in the replica with the same bytes.
// Nothing else is touched. It must not run beside a pass.
//
// With fold, for a disk that stays full, the rest of the spool goes too, at the
// price that Folded tells. All pages are compared instead when the store is back.
func (s *Shipper) CleanUp(ctx context.Context, fold bool) (Removed, error) {
	r, err := s.cleanUp(ctx)
	if !fold || len(s.spool.entries) == 0 || err != nil && !storeAway(err) {
		return r, err
	}
	return r, s.fold(&r)
}

// fold gives up the spool.
func (s *Shipper) fold(r *Removed) error {
	all := s.spool.entries
	folded := Folded{Files: len(all), From: all[0].Created, Until: all[len(all)-1].Created}
	bytes := s.spool.bytes()
	if err := s.giveUpSpool(source.RuleFolded); !errors.Is(err, errAgain) {
		return err
	}
	r.Files += folded.Files
	r.Bytes += bytes
	r.Folded = folded
	s.opts.Log.Warn("gave up the spool to make room: states in between cannot be restored one by one, the latest can",
		"db", s.opts.Name, "files", folded.Files, "bytes", bytes, "from", folded.From, "until", folded.Until)
	return nil
}

func (s *Shipper) cleanUp(ctx context.Context) (Removed, error) {
	var r Removed
	names, err := s.spool.stale()
	if err != nil {
		return r, source.Classify(err)
	}
	for _, name := range names {
		if err := s.remove(name, &r); err != nil {
			return r, err
		}
	}
	for _, e := range append([]replica.Draft(nil), s.spool.entries...) {
		if s.settled {
			there, err := s.alreadyThere(ctx, e)
			if err != nil {
				return r, err
			}
			if there {
				r.count(s.spool.name(e.Max))
				if err := s.spool.drop(e.Max); err != nil {
					return r, source.Classify(err)
				}
			}
		}
	}
	return r, nil
}

// CleanDir is CleanUp for a database that could not be opened: it removes what
// ended attempts to spool left in the state directory at path.
func CleanDir(path string) (Removed, error) {
	s := &Shipper{spool: &spool{dir: filepath.Join(path, spoolName), fs: OS}}
	return s.cleanUp(context.Background())
}

func (s *Shipper) remove(name string, r *Removed) error {
	var one Removed
	one.count(name)
	if err := s.spool.fs.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return source.Classify(err)
	}
	r.Files += one.Files
	r.Bytes += one.Bytes
	return nil
}

// count adds the file name.
func (r *Removed) count(name string) {
	if info, err := os.Stat(name); err == nil {
		r.Files++
		r.Bytes += info.Size()
	}
}
