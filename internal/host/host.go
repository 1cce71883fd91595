// Package host is what a worker process keeps between activities: one slot for
// each database, with its connections, its read lock and its way to the
// replica.
//
// A slot serves one pass at a time. A window makes passes until it is over; a
// single pass can be asked for beside it. All that a Host needs from outside
// comes in through Options: it knows nothing of workflows.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/superfly/ltx"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/watch"
)

// Options are what a Host needs from its process.
type Options struct {
	StateDir    string // of the process: which databases it has had
	DatabaseDir string // root of the databases' own state; empty keeps each beside its database
	OpenReplica func(ctx context.Context, url string) (*replica.Replica, error)
	Log         *slog.Logger
	FS          ship.FS        // nil for the operating system's
	Observer    Observer       // nil for none
	Silence     time.Duration  // after which a replica's head is read again before a put; 0 for the default
	Attendance  Attendance     // nil where somebody always decides
	Watcher     *watch.Watcher // nil where directories are looked at only now and then
}

// Observer is told what happens to databases, on the goroutine that does it.
type Observer interface {
	Passed(database string, out ship.Outcome, err error)
	Released(database string)
}

// nobody observes nothing.
type nobody struct{}

func (nobody) Passed(string, ship.Outcome, error) {}
func (nobody) Released(string)                    {}

// always is an Attendance.
type always struct{}

func (always) Away(string) bool { return false }
func (always) Stirred(string)   {}
func (always) Missed(string)    {}

// Host keeps the slots of one worker process. It is safe for concurrent use.
type Host struct {
	opts    Options
	reading *rate.Limiter // of all scrubs
	large   sync.Map      // *semaphore.Weighted of large changesets by account
	stop    context.CancelFunc
	done    chan struct{} // closed when the caretaker has ended

	attending sync.WaitGroup // all that looks after slots without windows
	hurried   chan struct{}  // wakes attend
	starting  chan struct{}  // holds one element for each of startsAtOnce
	poked     chan struct{}  // wakes lookAround
	swept     time.Time      // lookAround's

	watching sync.Mutex
	lookouts map[string]*lookout // by directory
	stirring map[*slot]*stir

	// opening is held while it is found out whether a file is open already, and
	// until it is: closing a second descriptor would drop SQLite's locks on it.
	opening sync.Mutex

	mu     sync.Mutex
	closed bool
	slots  map[string]*slot // by database name
	known  *roster

	restoring map[string]*restoring // by the place that is written
}

// New returns a Host without slots, and starts looking after those that will
// come.
func New(opts Options) (*Host, error) {
	if opts.FS == nil {
		opts.FS = ship.OS
	}
	if opts.Observer == nil {
		opts.Observer = nobody{}
	}
	if opts.Attendance == nil {
		opts.Attendance = always{}
	}
	h := &Host{
		opts: opts, slots: make(map[string]*slot), restoring: make(map[string]*restoring), done: make(chan struct{}), reading: rate.NewLimiter(ship.ScrubsTogether, ship.ScrubsAtOnce),
		hurried: make(chan struct{}, 1), starting: make(chan struct{}, startsAtOnce), poked: make(chan struct{}, 1), lookouts: make(map[string]*lookout), stirring: make(map[*slot]*stir),
	}
	if err := os.MkdirAll(opts.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	var err error
	if h.known, err = loadRoster(opts.FS, filepath.Join(opts.StateDir, "databases.json")); err != nil {
		return nil, err
	}
	h.recall()
	ctx, cancel := context.WithCancel(context.Background())
	h.stop = cancel
	go h.caretake(ctx)
	h.attending.Add(2)
	go h.attend(ctx)
	go h.lookAround(ctx)
	return h, nil
}

// largeAt returns whose turn it is to ship a large changeset into the account of a
// replica: one that is away does not keep the others waiting.
func (h *Host) largeAt(url string) *semaphore.Weighted {
	at, _ := blob.ParseURL(url) // another kind of replica is in no account
	turns, _ := h.large.LoadOrStore(at.Account+" "+at.Endpoint, semaphore.NewWeighted(ship.LargeAtOnce))
	return turns.(*semaphore.Weighted)
}

// recall takes up the last instructions for the databases that this host has had, so
// that it can go on with them if nobody decides. Nothing is opened yet.
func (h *Host) recall() {
	for name, dir := range h.known.all() {
		i, ok, err := loadInstructions(dir)
		if err != nil || !ok || i.Database.Name != name || h.dirOf(i.Database) != dir {
			continue
		}
		s := newSlot(h, i.Database)
		s.orders, s.told, s.recall, s.due = i, true, true, time.Now().Add(aloneGrace)
		if i.Held {
			s.rest = held
		}
		h.slots[name] = s
	}
}

// slotOf returns the slot of a database; nil if there is none.
func (h *Host) slotOf(name string) *slot {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.slots[name]
}

// all returns the slots there are.
func (h *Host) all() []*slot {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Values(h.slots))
}

// hurry wakes attend.
func (h *Host) hurry() {
	select {
	case h.hurried <- struct{}{}:
	default:
	}
}

// Sync makes passes until the window is over, the worker or StopSync ends it,
// a pass fails, or ctx is cancelled. beat is told of each pass that succeeded.
// The Result tells what was reached, also beside an error.
func (h *Host) Sync(ctx context.Context, w Window, beat func(Progress)) (Result, error) {
	for {
		s, err := h.slot(w.Database)
		if err != nil {
			return Result{}, err
		}
		res, err := s.window(ctx, w, beat)
		if !errors.Is(err, errReleased) {
			return res, err
		}
		if err := s.awaitRetired(ctx); err != nil {
			return Result{}, err
		}
	}
}

// SyncOnce makes one pass, after the one that may be under way.
func (h *Host) SyncOnce(ctx context.Context, d Database, head ltx.TXID) (Result, error) {
	var p Progress
	err := h.with(ctx, d, func(s *slot) error {
		if err := s.open(ctx, head); err != nil {
			return err
		}
		return s.pass(ctx, &p)
	})
	return Result{Progress: p, Reason: WindowOver}, err
}

// Snapshot makes one pass that puts all pages of the database as a snapshot, which needs
// no object before it, unless there is one of a later state than after already.
func (h *Host) Snapshot(ctx context.Context, d Database, head, after ltx.TXID) (Result, error) {
	var p Progress
	err := h.with(ctx, d, func(s *slot) error {
		if err := s.open(ctx, head); err != nil {
			return err
		}
		return s.passAs(ctx, &p, func(sh *ship.Shipper) (ship.Outcome, error) { return sh.Snapshot(ctx, after) })
	})
	return Result{Progress: p, Reason: WindowOver}, err
}

// Check tells whether d could be replicated: the file, its directory, and the
// replica's head. It writes nothing anywhere.
func (h *Host) Check(ctx context.Context, d Database) error {
	if err := h.probe(d); err != nil {
		return err
	}
	r, err := h.opts.OpenReplica(ctx, d.Replica)
	if err != nil {
		return err
	}
	opts := ship.Options{Name: d.Name, URL: d.Replica, Writer: d.Writer, Adopt: d.Adopt, TakeOver: d.TakeOver, Replica: r}
	return ship.CheckHead(ctx, opts, h.dirOf(d))
}

// probe looks at the file of d, unless it is open already.
func (h *Host) probe(d Database) error {
	h.opening.Lock()
	defer h.opening.Unlock()
	id, err := source.Identify(d.Path)
	if err != nil {
		return err
	}
	if open, err := h.conflict(d, id); open || err != nil {
		return err
	}
	return source.Probe(d.Path)
}

// openSource opens the file of d, which no other slot may have open.
func (h *Host) openSource(d Database) (*source.DB, error) {
	h.opening.Lock()
	defer h.opening.Unlock()
	id, err := source.Identify(d.Path)
	if err != nil {
		return nil, err
	}
	if _, err := h.conflict(d, id); err != nil {
		return nil, err
	}
	db, err := source.Open(d.Path, h.opts.Log)
	if err == nil {
		s := h.slotOf(d.Name)
		if s != nil {
			s.setID(db.ID())
		}
	}
	return db, err
}

// conflict tells whether the file of d is open already under its name, and finds
// another database of this host with the same file or the same replica.
func (h *Host) conflict(d Database, id source.FileID) (open bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.slots {
		switch {
		case s.isRecalled(): // it may be another one's by now
		case s.wanted().Name == d.Name:
			open = open || s.fileID() == id
		case s.fileID() == id:
			return false, fmt.Errorf("%w: %s is replicated as %s already; stop that one, or leave this one out", ErrConflict, d.Path, s.wanted().Name)
		case s.wanted().Replica == d.Replica:
			return false, fmt.Errorf("%w: %s and %s have the same replica %s; give each its own", ErrConflict, d.Name, s.wanted().Name, d.Replica)
		}
	}
	return open, nil
}

// StopSync ends the window that is under way, if any, and returns when it has
// ended. The pass that it is in may finish its put.
func (h *Host) StopSync(ctx context.Context, name string) error {
	s := h.slotOf(name)
	if s == nil {
		return nil
	}
	return s.stopWindow(ctx)
}

// CleanUp frees disk space under the database's state directory that nothing
// needs; with fold also what the database itself can stand in for, at the price
// of states in between.
func (h *Host) CleanUp(ctx context.Context, d Database, fold bool) (CleanUp, error) {
	var r ship.Removed
	err := h.with(ctx, d, func(s *slot) (err error) {
		r, err = s.cleanUp(ctx, fold)
		return err
	})
	return CleanUp(r), err
}

// with runs f on the slot of d while no pass is under way.
func (h *Host) with(ctx context.Context, d Database, f func(*slot) error) error {
	for {
		s, err := h.slot(d)
		if err != nil {
			return err
		}
		if err = s.locked(ctx, func() error { return f(s) }); !errors.Is(err, errReleased) {
			return err
		}
		if err := s.awaitRetired(ctx); err != nil {
			return err
		}
	}
}

// Release closes the database, in order, and forgets it.
func (h *Host) Release(ctx context.Context, d Database) error {
	s := h.slotOf(d.Name)
	if s != nil {
		err := s.retire(ctx, func() error {
			defer h.remove(d.Name)
			return s.close()
		})
		if err != nil {
			return err
		}
	}
	h.opts.Observer.Released(d.Name)
	return h.known.drop(d.Name)
}

func (h *Host) remove(name string) {
	h.mu.Lock()
	s := h.slots[name]
	delete(h.slots, name)
	h.mu.Unlock()
	if s != nil {
		h.unwatch(s)
	}
}

// Close closes all databases, in order, each with a last pass if a window of it
// ended because the worker stops.
func (h *Host) Close(ctx context.Context) error {
	h.stop()
	<-h.done
	h.attending.Wait()
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	slots := h.all()
	for _, s := range slots {
		h.unwatch(s)
	}
	errs := make([]error, len(slots))
	var wg sync.WaitGroup
	for i, s := range slots {
		wg.Go(func() {
			errs[i] = s.retire(ctx, func() error { return s.finish(ctx) })
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// slot returns the slot of d, closing one of that name with another path or
// replica.
func (h *Host) slot(d Database) (*slot, error) {
	id, err := source.Identify(d.Path)
	if err != nil {
		h.closeMissing(d.Name)
		return nil, err
	}
	if _, err := h.conflict(d, id); err != nil {
		return nil, err
	}
	s, err := h.occupy(d)
	if err != nil {
		return nil, err
	}
	return s, h.known.add(d.Name, h.dirOf(d))
}

// occupy gives d its slot.
func (h *Host) occupy(d Database) (*slot, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	if err := h.beingRestored(d); err != nil {
		return nil, err
	}
	s := h.slots[d.Name]
	if s == nil {
		s = newSlot(h, d)
		h.slots[d.Name] = s
	}
	s.want(d)
	return s, nil
}

// closeMissing lets go of a database whose file is gone.
func (h *Host) closeMissing(name string) {
	s := h.slotOf(name)
	if s == nil || !s.tryLock() {
		return
	}
	defer s.unlock()
	s.abandon()
}

// dirOf returns the state directory of d.
func (h *Host) dirOf(d Database) string {
	if h.opts.DatabaseDir != "" {
		return filepath.Join(h.opts.DatabaseDir, url.PathEscape(d.Name))
	}
	return ship.StateDir(d.Path)
}

// caretakeEvery is how often a slot without a window is looked after.
const caretakeEvery = time.Second

// caretake keeps databases without a window, paused ones say, from hurting
// their applications, until ctx is cancelled.
func (h *Host) caretake(ctx context.Context) {
	defer close(h.done)
	tick := time.NewTicker(caretakeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, s := range h.all() {
			if !s.hasWindow() && s.tryLock() {
				s.care()
				s.unlock()
			}
		}
	}
}

// LostWindows returns the windows that the last process on this host began and
// did not end.
func (h *Host) LostWindows() ([]LostWindow, error) {
	var lost []LostWindow
	known := h.known.all()
	for _, name := range slices.Sorted(maps.Keys(known)) {
		t, ok, err := ship.LoadToken(known[name])
		if err != nil {
			return lost, err
		}
		if ok {
			lost = append(lost, LostWindow{Name: name, TaskToken: t.Token, Failures: t.Failures})
		}
	}
	return lost, nil
}

// ForgetLost removes the record of a lost window, once it has been ended.
func (h *Host) ForgetLost(name string) error {
	return ship.RemoveToken(h.known.dir(name))
}
