// Package ship moves what a database committed into its replica, one pass at a
// time: capture, put, say so.
//
// A pass can be cut off anywhere and made again: the replica's newest object
// says where to go on, objects are only ever created, and the local state is a
// hint. A healthy pass writes nothing to the local disk. While the store cannot
// be reached the database's own log is the buffer; when it passes its limit the
// changes go to a spool beside the database, which is shipped before anything
// else.
//
// A Shipper serves one database and is not safe for concurrent use.
package ship

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/superfly/ltx"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/digest"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/wal"
)

const (
	// DefaultWALLimit is how many bytes of log may wait for a store that cannot
	// be reached before they go to the spool.
	DefaultWALLimit = 64 << 20

	// checkpointPages is how many shipped pages the log may hold before it is
	// copied into the database file: SQLite's own default for applications.
	checkpointPages = 1000

	// capturePages bounds one changeset that goes on from another: larger ones
	// become several objects.
	capturePages = 16 << 10

	// spoolLimit is how many bytes the spool may take of the application's disk.
	spoolLimit = 1 << 30

	// DefaultSilence is how long a writer may go without hearing from the replica
	// before it reads the head again: half of the shortest time that level-0
	// objects are kept. A machine that slept must not write into the past.
	DefaultSilence = 30 * time.Minute
)

// Options describe whose changes go where.
type Options struct {
	Name     string
	URL      string              // of the replica, as it is shown
	Writer   string              // 32 hex digits
	Adopt    bool                // go on after a head that names no writer
	TakeOver bool                // go on after a head that names another writer
	WALLimit int64               // bytes; 0 is DefaultWALLimit
	Scrub    time.Duration       // in which all pages are compared; 0 is DefaultScrub, below it is never
	Silence  time.Duration       // after which the head is read again before a put; 0 is DefaultSilence
	Reading  *rate.Limiter       // bytes per second that scrubs may read, for all databases of a process; nil for no limit
	Large    *semaphore.Weighted // of LargeAtOnce, for all databases of a process in one account; nil for no limit
	Head     ltx.TXID
	Replica  *replica.Replica
	Log      *slog.Logger
}

func (o Options) silence() time.Duration {
	if o.Silence == 0 {
		return DefaultSilence
	}
	return o.Silence
}

// Outcome is what one pass has done, or did before it failed.
type Outcome struct {
	TXID         ltx.TXID  // head of the replica
	SyncedAt     time.Time // when source and replica were equal; zero if the pass did not get there
	LastPut      time.Time
	Puts         int
	Bytes        int64 // of the objects put
	Transactions int64
	Resyncs      []source.Rule
	BehindBytes  int64 // in the log, not shipped
	SpoolBytes   int64
}

// Shipper ships one database.
type Shipper struct {
	opts  Options
	dir   *Dir
	db    *source.DB
	state State
	spool *spool

	digests digests
	room    room
	scrub   scrub
	demand  source.Rule // why the next capture must look at all pages; empty when the log decides
	anew    bool        // all pages are put, as a snapshot that needs no object before it

	// instance tells this Shipper's objects from those of others under the same
	// writer: of earlier processes, and of a twin, which a copied machine makes.
	instance  string
	owned     bool     // this one has put something
	inherited ltx.TXID // of the one object that an earlier process put late; 0 for none

	settled bool           // head is what the replica holds, and position follows from it
	doubt   bool           // a put failed since: it may have got through, and head not be the newest
	head    replica.Object // newest object; zero for an empty replica
	contact time.Time      // when the replica last answered
	created time.Time      // of the newest object put or spooled
}

// New returns a Shipper that goes on from what dir holds of an earlier process.
// That process's writer identity goes before the one in opts.
func New(opts Options, dir *Dir) (*Shipper, error) {
	state, err := dir.Load()
	if err != nil {
		return nil, err
	}
	if state.Replica != opts.URL || state.Writer == "" {
		state = State{Name: opts.Name, Replica: opts.URL, Writer: opts.Writer}
	}
	if opts.WALLimit == 0 {
		opts.WALLimit = DefaultWALLimit
	}
	if opts.Scrub == 0 {
		opts.Scrub = DefaultScrub
	}
	opts.Head = max(opts.Head, state.TXID)
	spool, err := openSpool(filepath.Join(dir.path, spoolName), dir.fs, state.Spool)
	if err != nil {
		return nil, source.Classify(err)
	}
	table, err := digest.Open(filepath.Join(dir.path, digestsName))
	if err != nil {
		opts.Log.Warn("page digests cannot be read", "db", opts.Name, "err", err)
	}
	return &Shipper{opts: opts, dir: dir, state: state, spool: spool, digests: digests{Table: table}, instance: fmt.Sprintf("%016x", rand.Uint64())}, nil
}

// Close lets go of the page digests. It saves nothing.
func (s *Shipper) Close() error { return s.digests.Close() }

// Writer returns the identity under which this database is written.
func (s *Shipper) Writer() string { return s.state.Writer }

// Attach makes db the database that passes capture from: one that was just
// opened.
func (s *Shipper) Attach(db *source.DB) {
	s.db = db
	if s.settled {
		db.Resume(source.Place{Position: s.state.Position, File: s.state.File})
	}
}

// Pass ships until nothing is left that was committed when it looked.
func (s *Shipper) Pass(ctx context.Context) (Outcome, error) {
	var out Outcome
	err := s.pass(ctx, &out)
	if err != nil && storeAway(err) {
		err = s.shelter(err)
	}
	out.TXID = s.head.Max
	out.SpoolBytes = s.spool.bytes()
	if behind, e := s.db.Behind(); e == nil {
		out.BehindBytes = behind
	}
	return out, err
}

func (s *Shipper) pass(ctx context.Context, out *Outcome) error {
	if s.settled { // which it stays while the store is away: the spool needs to know where to go on
		if err := s.checkHead(ctx); err != nil && !errors.Is(err, errAgain) {
			return err
		}
	}
	if err := s.checkRival(); err != nil {
		return err
	}
	for {
		c, err := s.step(ctx, out)
		if errors.Is(err, errAgain) || errors.Is(err, source.ErrMoved) {
			continue
		}
		if err != nil {
			return err
		}
		if !c.Complete {
			continue
		}
		out.SyncedAt = c.Measured
		if err := s.makeRoom(ctx, out); err != nil {
			return err
		}
		if resync, err := s.look(); err != nil || !resync {
			return err
		}
	}
}

// step ships the spool and one changeset.
func (s *Shipper) step(ctx context.Context, out *Outcome) (*source.Changeset, error) {
	if err := s.settle(ctx); err != nil {
		return nil, err
	}
	if err := s.drain(ctx, out); err != nil {
		return nil, err
	}
	c, err := s.db.Capture(capturePages, s.force())
	if err != nil {
		return nil, err
	}
	if err := s.vouch(c); err != nil {
		return nil, errors.Join(err, s.db.Dropped())
	}
	if err := s.shipCaptured(ctx, c, out); err != nil {
		return nil, errors.Join(err, s.db.Dropped())
	}
	s.state.File = s.db.ID() // also where nothing was resynced since the local state was lost
	return c, s.db.Shipped(c)
}

// shipCaptured puts c, or only what differs of it where it has all pages.
func (s *Shipper) shipCaptured(ctx context.Context, c *source.Changeset, out *Outcome) error {
	end, err := s.turn(ctx, c)
	if err != nil {
		return err
	}
	defer end()
	if c.Rule == "" {
		return s.put(ctx, c, c.Pages, out)
	}
	if s.doubt { // equal to a head that is not the newest would not be equal to the replica
		s.settled = false
		return errAgain
	}
	total := c.PageCount()
	if err := s.narrow(c); err != nil {
		return err
	}
	s.opts.Log.Info("resyncing", "db", s.opts.Name, "rule", string(c.Rule), "pages", c.PageCount(), "of_pages", total)
	if err := s.put(ctx, c, c.Pages, out); err != nil {
		// It may have got through. The digests of its pages are those of the head
		// then, unless they are written over by the next attempt's.
		s.settled = false
		return err
	}
	return s.resynced(c, out)
}

// resynced notes that all pages were compared, and where that leaves us: if none
// differed, no object says so.
func (s *Shipper) resynced(c *source.Changeset, out *Outcome) error {
	if c.Rule != source.RuleFirst {
		out.Resyncs = append(out.Resyncs, c.Rule)
	}
	s.demand, s.anew, s.state.File, s.state.Hurry = "", false, s.db.ID(), false
	s.mark()
	if c.Empty() {
		s.state.Position, s.state.Equal, s.state.Clean = c.End, c.End, source.Stamp{}
	}
	if err := s.Save(); err != nil {
		s.settled = false // the database does not hear of what was put
		return err
	}
	return nil
}

// silentSince tells whether so much time has passed since t that others may have
// written, and what they wrote be expired again.
func (s *Shipper) silentSince(t time.Time) bool {
	quiet := wallClock().Sub(t)
	return quiet > s.opts.silence() || quiet < 0
}

// errAgain says that the replica is further on than was thought, by our own
// doing.
var errAgain = errors.New("head moved")

// put writes c, whose pages are pages, as the next object.
func (s *Shipper) put(ctx context.Context, c *source.Changeset, pages replica.Pages, out *Outcome) error {
	if c.Empty() {
		return nil
	}
	d := s.draft(c, s.head.Max+1)
	if err := s.checkFree(ctx, d); err != nil {
		return err
	}
	change, err := s.digests.Begin(c.End.PageSize, c.End.Commit)
	if err != nil {
		return source.Classify(err)
	}
	d.Late = change.Digest
	if err := s.checkHead(ctx); err != nil {
		return err
	}
	begun := wallClock()
	object, err := s.opts.Replica.Put(ctx, d, digested(change, pages))
	if errors.Is(err, blob.ErrExists) {
		return s.collide(ctx, d)
	}
	if err != nil {
		s.doubt, s.created = true, later(s.created, d.Created) // it may be there
		return err
	}
	s.applied(change, object)
	s.advance(object, d, out)
	if s.silentSince(begun) {
		s.contact = begun // a machine that slept may have put into the past: the head is looked at again
	}
	out.Transactions += c.Transactions
	return nil
}

// checkFree makes sure that d's TXID is not taken on level 0 by a put of ours
// whose answer was lost, where d itself goes to another level and would not
// collide with it.
func (s *Shipper) checkFree(ctx context.Context, d replica.Draft) error {
	if d.Level == 0 {
		return nil
	}
	o, err := s.opts.Replica.Find(ctx, 0, d.Max, d.Max)
	if errors.Is(err, blob.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.collide(ctx, replica.Draft{Level: 0, Min: o.Min, Max: o.Max})
}

// draft describes c as the object for txid. A replica cannot change its page
// size from one level-0 object to the next, so such a resync starts over as a
// snapshot of everything, as one does that was asked for.
func (s *Shipper) draft(c *source.Changeset, txid ltx.TXID) replica.Draft {
	d := replica.Draft{Min: txid, Max: txid, Position: c.End, From: c.Start, Writer: s.state.Writer, Instance: s.instance, Created: s.timestamp()}
	if old := s.state.Position.PageSize; old != 0 && old != c.End.PageSize || s.anew && c.Full && s.head.Max != 0 {
		d.Level, d.Min = plan.SnapshotLevel, 1
	}
	return d
}

// timestamp labels an object whose content was captured before now: later than
// the object before it, whatever the clock does.
func (s *Shipper) timestamp() time.Time {
	now := time.Now().UTC().Truncate(time.Millisecond)
	if next := s.created.Add(time.Millisecond); now.Before(next) {
		now = next
	}
	return now
}

// advance makes object the head.
func (s *Shipper) advance(object replica.Object, d replica.Draft, out *Outcome) {
	s.head, s.contact, s.created = object, wallClock(), later(s.created, d.Created)
	s.owned, s.doubt = true, false
	s.state.TXID, s.state.Position = object.Max, d.Position
	s.state.Equal, s.state.Clean = wal.Position{}, source.Stamp{}
	out.Puts++
	out.Bytes += object.Size
	out.LastPut = s.contact
}

// collide finds out who put the object that d was to become.
func (s *Shipper) collide(ctx context.Context, d replica.Draft) error {
	s.doubt = true
	o, err := s.opts.Replica.Find(ctx, d.Level, d.Min, d.Max)
	if errors.Is(err, blob.ErrNotFound) {
		return fmt.Errorf("%w: %s exists and cannot be read", blob.ErrUnavailable, replica.Key(d.Level, d.Min, d.Max))
	}
	if err != nil {
		return err
	}
	if o.Writer != s.state.Writer {
		return fmt.Errorf("%w: object %s of %s was written by %s, this database writes as %s; find the other writer, stop one of the two, then resume", ErrFenced, o.Key(), s.opts.URL, name(o.Writer), name(s.state.Writer))
	}
	if o.Instance != s.instance {
		if s.owned || s.inherited != 0 {
			return s.twin(o)
		}
		s.inherited = o.Max
	}
	s.settled, s.opts.Head = false, d.Max
	return errAgain
}

// twin says that somebody else writes the replica under our identity. An earlier
// process can have left no more than one put behind that arrives late, before our
// first. A person who resumes has seen to it that only one is left.
func (s *Shipper) twin(o replica.Object) error {
	s.owned, s.inherited, s.settled = false, 0, false
	return fmt.Errorf("%w: object %s of %s was written by another worker under the identity of this database, as a copied machine or state directory does; stop one of the two, then resume", ErrFenced, o.Key(), s.opts.URL)
}

func name(writer string) string {
	if writer == "" {
		return "an unknown writer"
	}
	return "writer " + writer[:min(8, len(writer))]
}

// storeAway tells whether err means that the store could not be reached.
func storeAway(err error) bool {
	return errors.Is(err, blob.ErrUnavailable) || errors.Is(err, blob.ErrThrottled)
}
