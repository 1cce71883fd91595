package restore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/digest"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// FollowOptions say which copy to keep up to date, and how.
type FollowOptions struct {
	Options // of the first restore; Target must be zero

	Source   string        // names the replica; a copy of another one is refused
	Interval time.Duration // between two looks at the replica
	Tell     func(Event)   // called for what happened; may be nil
}

// Event is something that happened to a copy.
type Event struct {
	Kind    EventKind
	TXID    ltx.TXID  // of the copy
	Created time.Time // of its newest content
	Pages   int       // that were written
	Objects int
	Fetched int64 // bytes read from the store
	Took    time.Duration
	Err     error         // why it is made anew, or waits
	Wait    time.Duration // until the next try
}

// EventKind is what happened.
type EventKind string

// Kinds of events.
const (
	Restored EventKind = "restored" // the copy is a new file
	Resumed  EventKind = "resumed"  // an older copy is there and as it was left
	Applied  EventKind = "applied"  // readers see a newer state
	Anew     EventKind = "anew"     // all pages are read again, because of Err
	Waiting  EventKind = "waiting"  // Err is in the way, for now
)

// listEvery is how often an idle replica is listed. In between a look asks for the object
// that would come next on level 0; what is not there has not been shipped, has been
// merged, or begins another page size, as a list tells. A variable for tests alone.
var listEvery = 30 * time.Second

const (
	// mostSingle is how many objects are looked for one by one.
	mostSingle = 32

	// longestWait is the most between two looks after errors.
	longestWait = time.Minute

	// logFrames is from which length on the copy's log is emptied also between changes.
	logFrames = 1000
)

var errPageSize = errors.New("the database has another page size")

// Follow restores the latest state into the output, unless it is a copy that an earlier
// Follow has left, and then keeps it up to date until ctx ends, which is the error that
// it returns. Other processes may read the copy all the time and see one state after the
// other, each of them whole; they must not write to it. The copy is the source's file byte
// for byte, as far as it is not in the log beside it.
//
// Each change counts only if the digest of the whole copy is the one that was shipped.
// Where the objects that lead on are gone, the copy gets there by all pages of a later
// one; where the database got another page size it becomes another file, which readers
// have to open again.
func Follow(ctx context.Context, r *replica.Replica, opts FollowOptions) error {
	err := follow(ctx, r, opts)
	if err == nil || ctx.Err() != nil {
		return err
	}
	todo := hint(err)
	if strings.HasSuffix(err.Error(), todo) { // it was said
		todo = ""
	}
	return fmt.Errorf("follow to %s: %w%s", opts.Output, err, todo)
}

func follow(ctx context.Context, r *replica.Replica, opts FollowOptions) (err error) {
	if opts.Output, err = filepath.Abs(opts.Output); err != nil {
		return err
	}
	if opts.Interval <= 0 {
		opts.Interval = time.Second
	}
	f := &follower{replica: r, opts: opts}
	if f.shelf, err = openShelf(opts.Output); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.end()) }()
	if err := f.begin(ctx); err != nil {
		return err
	}
	for failures := 0; ; {
		err := f.round(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wait := f.pause()
		switch {
		case err == nil:
			failures = 0
		case passes(err):
			failures++
			wait = min(longestWait, opts.Interval<<min(failures, 10))
			f.tell(Event{Kind: Waiting, Err: err, Wait: wait})
		default:
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// passes tells whether err may be gone at the next try.
func passes(err error) bool {
	for _, passing := range []error{
		blob.ErrUnavailable, blob.ErrThrottled, blob.ErrNotFound, replica.ErrDamaged, ErrUnsound,
		plan.ErrGap, plan.ErrNoSnapshot, ErrNoSpace, syscall.ENOSPC, errBusy,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

// follower keeps one copy up to date.
type follower struct {
	replica *replica.Replica
	opts    FollowOptions
	shelf   *shelf
	known   followed
	copy    *liveCopy     // nil while there is none
	table   *digest.Table // of the copy's pages
	listed  time.Time     // when the replica was last listed
	idle    int           // looks since there was something new
}

// begin finds out what is at the output. Nothing is done to what is not a copy of this
// replica.
func (f *follower) begin(ctx context.Context) error {
	known, ok, err := f.shelf.load()
	if err != nil {
		return err
	}
	id, _ := identify(f.opts.Output)
	if ok && known.Instead != nil && id == known.Instead.File {
		known = *known.Instead
	}
	if ok && (id == known.File || id == fileID{}) {
		f.known = known
	}
	switch {
	case f.known.File == fileID{}, id == fileID{}:
		return f.replace(ctx)
	case known.Source == f.opts.Source:
		return nil
	case f.opts.Force:
		return f.replace(ctx)
	}
	return fmt.Errorf("%w: it is a copy of %s; choose another path, or replace it with --force", ErrExists, known.Source)
}

// round makes the copy what the replica is by now, if need be from scratch.
func (f *follower) round(ctx context.Context) error {
	err := f.step(ctx)
	switch {
	case errors.Is(err, errPageSize), errors.Is(err, errNotWAL):
		f.tell(Event{Kind: Anew, Err: err})
		return f.replace(ctx)
	case errors.Is(err, errForeign), errors.Is(err, ErrUnsound):
		f.tell(Event{Kind: Anew, Err: err})
		return f.rewrite(ctx)
	case errors.Is(err, blob.ErrNotFound), errors.Is(err, replica.ErrDamaged):
		f.listed = time.Time{} // the list may know another way
	}
	return err
}

func (f *follower) step(ctx context.Context) error {
	switch {
	case f.copy == nil:
		if err := f.open(ctx); err != nil {
			return err
		}
	case !f.table.Trusted():
		if err := f.examine(ctx); err != nil {
			return err
		}
	}
	chain, err := f.look(ctx)
	if err != nil {
		return err
	}
	if len(chain) == 0 {
		f.idle++
		return f.rest(0)
	}
	f.idle = 0
	if err := f.advance(ctx, chain, false); err != nil {
		return err
	}
	return f.rest(logFrames)
}

// rest empties the log when it has more than so many frames.
func (f *follower) rest(frames uint32) error {
	if f.copy.left.Frames <= frames {
		return nil
	}
	if _, err := f.copy.checkpoint(); err != nil {
		return err
	}
	return f.copy.settle()
}

// pause is how long to wait after a look that went well: longer when nothing has come
// for a while.
func (f *follower) pause() time.Duration { return f.opts.Interval << min(3, f.idle/10) }

func (f *follower) tell(e Event) {
	if f.opts.Tell == nil {
		return
	}
	if e.TXID == 0 {
		e.TXID, e.Created = f.known.Now.TXID, f.known.Now.Created
	}
	f.opts.Tell(e)
}

// replace restores the latest state to a new file. What it will be is noted before it
// gets its name, so that it is known for our own whatever happens then.
func (f *follower) replace(ctx context.Context) error {
	begun := time.Now()
	if err := f.shut(); err != nil {
		return err
	}
	next := followed{Source: f.opts.Source}
	opts := f.opts.Options
	if id, _ := identify(opts.Output); f.known.File != (fileID{}) && (id == f.known.File || id == fileID{}) {
		opts.Force = true // what is there is our own, if it is only a log
	}
	opts.Publishing = func(path string, r Result) error {
		next.File, _ = identify(path)
		next.PageSize, next.Now = r.PageSize, version{r.TXID, r.Created, r.Pages, r.Digest}
		known := f.known
		known.Instead = &next
		return f.shelf.save(known)
	}
	result, err := Run(ctx, f.replica, opts)
	if err != nil {
		return err
	}
	f.known = next
	f.tell(Event{Kind: Restored, Objects: result.Objects, Pages: int(result.Pages), Fetched: result.Fetched, Took: time.Since(begun)})
	return f.shelf.save(f.known)
}

// end closes the copy so that the next Follow need not read it.
func (f *follower) end() error { return errors.Join(f.shut(), f.shelf.close()) }

// shut closes the copy.
func (f *follower) shut() error {
	if f.copy == nil {
		return nil
	}
	_, err := f.copy.checkpoint()
	err = errors.Join(err, f.copy.close())
	f.copy = nil
	if f.table.Trusted() && f.known.Next == nil && !exists(f.opts.Output+"-wal") {
		err = errors.Join(err, f.table.Mark(f.known.Now.TXID))
		_, at := identify(f.opts.Output)
		f.known.Stamp = &at
	}
	return errors.Join(err, f.table.Close(), f.shelf.save(f.known))
}
