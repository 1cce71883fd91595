package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
)

// slot is one database of this process.
type slot struct {
	host *Host
	busy chan struct{} // holds one element while a pass, or whatever excludes one, is under way

	retired chan struct{} // closed when the last attempt to release the slot has ended

	instructing sync.Mutex // held while instructions are written

	mu      sync.Mutex
	db      Database
	id      source.FileID // of the open file; zero while closed
	running *running      // the window under way
	last    Reason        // why the last one ended
	gone    bool          // released: nothing may begin on it
	orders  Instructions  // the last ones, if told
	told    bool
	recall  bool // they are an earlier process's, and nothing was done by them yet
	rest    rest
	watched string    // directory in which a parked one is; guarded by Host.watching
	changed time.Time // when the database last changed, as far as is known

	// What the slot goes by when it is to go on alone.
	due      time.Time // when the next window should have begun
	bridge   time.Time // until when it goes on though somebody decides
	awaited  bool      // the last window that was sent ended well, so that another is to follow
	roused   bool      // by a change while it was parked, and no window has come since
	heard    time.Time // when somebody decided last
	solo     bool      // it does, or is about to
	failures int       // consecutive, at the end of the last window

	grumbled map[string]time.Time // when it was last said

	// Held by whoever holds busy.
	opened  Database // what the fields below were opened for
	dir     *ship.Dir
	source  *source.DB
	shipper *ship.Shipper
	before  source.Outside // of the files when the database was parked
	sure    bool           // nothing was committed since just before, and before tells of any later commit
	light   bool           // our lock is in nobody's way while it is
	left    source.Outside // of the files when they were closed for a long rest; zero otherwise
	txid    ltx.TXID       // head of the replica, as the last pass saw it
}

// rest is what a slot without a window waits for.
type rest int

const (
	expecting rest = iota // the next window
	parked                // a change of the database
	held                  // the next window, however long it takes
)

// running is a window under way.
type running struct {
	stop chan struct{} // closed to end it
	once sync.Once
	done chan struct{} // closed when it has ended
}

func (r *running) end() { r.once.Do(func() { close(r.stop) }) }

func newSlot(h *Host, d Database) *slot {
	return &slot{host: h, busy: make(chan struct{}, 1), db: d, grumbled: make(map[string]time.Time), heard: time.Now()}
}

// want makes d what the next pass replicates.
func (s *slot) want(d Database) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.db, s.recall = d, false
}

func (s *slot) wanted() Database {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.db
}

func (s *slot) fileID() source.FileID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id
}

func (s *slot) setID(id source.FileID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id = id
}

// errReleased says that a slot was released before its caller's turn came; the
// database may have another one by now.
var errReleased = errors.New("slot was released")

// acquire waits until no pass is under way, and keeps others from beginning.
func (s *slot) acquire(ctx context.Context) error {
	select {
	case s.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// locked runs f while no pass is under way, on a slot that is not released.
func (s *slot) locked(ctx context.Context, f func() error) error {
	if err := s.acquire(ctx); err != nil {
		return err
	}
	defer s.unlock()
	if s.isGone() {
		return errReleased
	}
	return f()
}

func (s *slot) isGone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}

// retire lets nothing begin on s any more, ends the window under way, and runs
// f. If ctx ends before f begins, s goes on as before.
func (s *slot) retire(ctx context.Context, f func() error) error {
	for {
		mine, others := s.beginRetiring()
		if mine {
			break
		}
		if err := s.awaitRetired(ctx); err != nil || s.isRetired(others) {
			return err
		}
	}
	err := s.stopWindow(ctx)
	if err == nil {
		err = s.acquire(ctx)
	}
	if err != nil {
		s.endRetiring(false)
		return err
	}
	defer s.endRetiring(true)
	defer s.unlock()
	return f()
}

// beginRetiring tells whether it is the caller who is to do it, or whose attempt
// is under way, or came to its end.
func (s *slot) beginRetiring() (mine bool, attempt chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return false, s.retired
	}
	s.gone, s.retired = true, make(chan struct{})
	return true, s.retired
}

// isRetired tells whether attempt, which has ended, was not given up.
func (s *slot) isRetired(attempt chan struct{}) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone && s.retired == attempt
}

// endRetiring lets go of who waits for it; gone is false where it was given up.
func (s *slot) endRetiring(gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = gone
	close(s.retired)
}

// awaitRetired waits until a slot that is being released has let go of its files,
// or until that was given up.
func (s *slot) awaitRetired(ctx context.Context) error {
	s.mu.Lock()
	retired := s.retired
	s.mu.Unlock()
	select {
	case <-retired:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slot) tryLock() bool {
	select {
	case s.busy <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *slot) unlock() { <-s.busy }

// open sees to it that the database that is wanted is open.
func (s *slot) open(ctx context.Context, head ltx.TXID) error {
	d := s.wanted()
	if s.shipper != nil && !s.opened.sameAs(d) {
		if err := s.close(); err != nil {
			return err
		}
	}
	if s.dir != nil && s.dir.Gone() {
		s.host.opts.Log.Warn("the state directory was removed; making another", "db", s.opened.Name, "dir", s.dir.Path())
		s.abandon()
		if err := s.closeAll(); err != nil {
			return err
		}
	}
	if s.shipper == nil {
		if err := s.openShipper(ctx, d, head); err != nil {
			return errors.Join(err, s.close())
		}
	}
	if s.source != nil {
		return nil
	}
	db, err := s.host.openSource(d)
	if err != nil {
		return err
	}
	s.source, s.left = db, source.Outside{}
	s.shipper.Attach(db)
	s.touch(source.LastWrite(d.Path))
	return nil
}

// touch notes that the database was changed at t.
func (s *slot) touch(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.After(s.changed) {
		s.changed = t
	}
}

// quietFor tells for how long nothing has changed.
func (s *slot) quietFor() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.changed)
}

// sameAs tells whether what was opened for d serves o. The writer does not
// count: the local state's goes before the one that was asked for.
func (d Database) sameAs(o Database) bool {
	d.Writer = o.Writer
	return d == o
}

// openShipper checks the database before anything is made beside it.
func (s *slot) openShipper(ctx context.Context, d Database, head ltx.TXID) error {
	if err := s.host.probe(d); err != nil {
		return err
	}
	r, err := s.host.opts.OpenReplica(ctx, d.Replica)
	if err != nil {
		return err
	}
	s.opened = d
	if s.dir, err = ship.OpenDir(s.host.dirOf(d), s.host.opts.FS); err != nil {
		return fmt.Errorf("state directory of %s: %w", d.Name, err)
	}
	s.shipper, err = ship.New(ship.Options{
		Name: d.Name, URL: d.Replica, Writer: d.Writer, Adopt: d.Adopt, TakeOver: d.TakeOver,
		WALLimit: d.WALLimit, Scrub: d.Scrub, Head: head, Silence: s.host.opts.Silence, Reading: s.host.reading,
		Large: s.host.largeAt(d.Replica), Replica: r, Log: s.host.opts.Log,
	}, s.dir)
	return err
}

// pass makes one pass and adds what it did to p. A database whose files were
// replaced is opened anew, once.
func (s *slot) pass(ctx context.Context, p *Progress) error {
	return s.passAs(ctx, p, func(sh *ship.Shipper) (ship.Outcome, error) { return sh.Pass(ctx) })
}

// passAs is pass with what the shipper is to do.
func (s *slot) passAs(ctx context.Context, p *Progress, do func(*ship.Shipper) (ship.Outcome, error)) error {
	err := s.onePass(p, do)
	if errors.Is(err, source.ErrReplaced) {
		s.host.opts.Log.Warn("reopened", "db", s.opened.Name, "err", err)
		s.abandon()
		if err = s.open(ctx, 0); err == nil {
			err = s.onePass(p, do)
		}
	}
	if errors.Is(err, source.ErrMissing) {
		s.abandon()
	}
	if ctx.Err() != nil && s.shipper != nil {
		s.shipper.Forget() // the put that was cut off may have got through
	}
	return err
}

func (s *slot) onePass(p *Progress, do func(*ship.Shipper) (ship.Outcome, error)) error {
	out, err := do(s.shipper)
	s.host.opts.Observer.Passed(s.opened.Name, out, err)
	p.add(out, err == nil)
	s.txid = max(s.txid, out.TXID)
	if out.Puts > 0 || out.BehindBytes > 0 || out.SpoolBytes > 0 {
		s.touch(time.Now())
	}
	p.Writer = s.shipper.Writer()
	return err
}

// add takes up a pass. One that had shipped all and then failed, for want of space
// say, is no success.
func (p *Progress) add(out ship.Outcome, succeeded bool) {
	p.TXID = max(p.TXID, out.TXID)
	p.BehindBytes, p.SpoolBytes = out.BehindBytes, out.SpoolBytes
	p.Puts += out.Puts
	p.Bytes += out.Bytes
	p.Transactions += out.Transactions
	p.Resyncs += len(out.Resyncs)
	if n := len(out.Resyncs); n > 0 {
		p.ResyncReason = string(out.Resyncs[n-1])
	}
	if !out.LastPut.IsZero() {
		p.LastPut = out.LastPut
	}
	if !out.SyncedAt.IsZero() {
		p.SyncedAt = out.SyncedAt
	}
	if succeeded {
		p.Passes++
	}
}

// cleanUp frees disk space. A database that cannot be opened, for want of space
// say, still has its dead attempts removed.
//
// When it folds the spool nothing of the log is needed any more: the database is
// let go, so that the application can empty it.
func (s *slot) cleanUp(ctx context.Context, fold bool) (ship.Removed, error) {
	if s.shipper == nil {
		return ship.CleanDir(s.host.dirOf(s.wanted()))
	}
	removed, err := s.shipper.CleanUp(ctx, fold)
	if removed.Folded.Files > 0 {
		err = errors.Join(err, s.closeSource())
	}
	return removed, err
}

// tend renews the read lock if that is due and tells what waits for a pass.
func (s *slot) tend() (source.Waiting, error) {
	if s.source == nil {
		return source.Waiting{}, nil
	}
	return s.source.Tend()
}

// limit returns the bytes of log that may wait.
func (s *slot) limit() int64 {
	if s.opened.WALLimit > 0 {
		return s.opened.WALLimit
	}
	return ship.DefaultWALLimit
}

// care looks after a slot without a window: a paused one, or one that backs off.
// What must not stay in the log, because that has passed its limit or because
// the application wants to empty it, goes to the spool. Where that does not help
// the database is let go: the application's disk goes before a cheap resume.
func (s *slot) care() {
	if s.resting() == parked {
		s.careForParked()
		return
	}
	waiting, err := s.tend()
	if err != nil {
		s.host.opts.Log.Warn("let go", "db", s.opened.Name, "err", err)
		s.abandon()
		return
	}
	if waiting.Bytes <= s.limit() && !waiting.Checkpoint {
		return
	}
	if err = s.shipper.Shelter(); err == nil || waiting.Bytes <= 2*s.limit() {
		return
	}
	s.host.opts.Log.Warn("let go", "db", s.opened.Name, "log_bytes", waiting.Bytes, "limit_bytes", s.limit(), "err", err)
	if err := s.closeSource(); err != nil {
		s.host.opts.Log.Warn("closed badly", "db", s.opened.Name, "err", err)
	}
}

// grumbleEvery is how often the same is said of a database that goes on to be in
// trouble.
const grumbleEvery = 30 * time.Second

// grumble warns of what does not end a pass, at most once in a while.
func (s *slot) grumble(what string, err error) {
	s.mu.Lock()
	again := time.Since(s.grumbled[what]) >= grumbleEvery
	if again {
		s.grumbled[what] = time.Now()
	}
	s.mu.Unlock()
	if again {
		s.host.opts.Log.Warn(what, "db", s.wanted().Name, "err", err)
	}
}

// abandon closes the database without touching the files under its names.
func (s *slot) abandon() {
	if s.source == nil {
		return
	}
	if err := s.source.Abandon(); err != nil {
		s.host.opts.Log.Warn("closed badly", "db", s.opened.Name, "err", err)
	}
	s.source = nil
	s.setID(source.FileID{})
}

// closeSource closes the database in order and keeps how it was left.
func (s *slot) closeSource() error {
	if s.source == nil {
		return nil
	}
	stamp, err := s.source.Close()
	s.source = nil
	s.setID(source.FileID{})
	return errors.Join(err, s.shipper.SaveClosed(stamp))
}

// close closes everything, in order.
func (s *slot) close() error { return errors.Join(s.closeSource(), s.closeAll()) }

// closeAll closes what is left when the database is closed.
func (s *slot) closeAll() (err error) {
	if s.shipper != nil {
		err = errors.Join(err, s.shipper.Close())
	}
	if s.dir != nil {
		err = errors.Join(err, s.dir.Close())
	}
	s.dir, s.shipper = nil, nil
	return err
}

// finishTime bounds the last pass before a process ends.
const finishTime = 5 * time.Second

// finish closes the slot at the end of the process, after a last pass if its
// window was ended by that.
func (s *slot) finish(ctx context.Context) error {
	s.mu.Lock()
	last := s.last
	s.mu.Unlock()
	if last == WorkerStopping && s.source != nil {
		ctx, cancel := context.WithTimeout(ctx, finishTime)
		defer cancel()
		var p Progress
		if err := s.pass(ctx, &p); err != nil {
			s.host.opts.Log.Warn("last pass failed", "db", s.opened.Name, "err", err)
		}
	}
	return s.close()
}
