package maintain

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
)

const (
	// staleAfter is how long ago what is removed, and what takes its place, may have
	// been seen: a machine that slept wakes up to another replica, maybe.
	staleAfter = time.Minute

	// together is how many objects are removed by one call.
	together = 256

	// looks is how often one lot is looked at again, because more time than that went by
	// before it was removed.
	looks = 3
)

var (
	errStale = errors.New("what was listed was more than a minute old each time that it was to be removed, as when the store is slow or this machine sleeps; the next run goes on")
	errMoved = errors.New("the newest object that was listed is gone: somebody else removes objects; the next run looks again")
)

// expire removes what has expired, once what takes its place was read back. Where that
// failed, only what it would have taken the place of is left.
func (r *run) expire(ctx context.Context) error {
	due := r.due()
	if r.DryRun || r.Keep {
		r.count(due)
		return nil
	}
	if len(due) == 0 {
		return nil
	}
	proven, faults := r.prove(ctx, due)
	if err := r.checkClock(ctx); err != nil { // after the reading, which may have taken hours
		r.leave(due, err)
		return join(faults.err(), err)
	}
	var safe, unsafe []plan.Removal
	for _, one := range r.due() {
		if proven[one.For] {
			safe = append(safe, one)
		} else {
			unsafe = append(unsafe, one)
		}
	}
	r.leave(unsafe, errors.New("what would take their place could not be read back"))
	return join(faults.err(), r.removeAll(ctx, safe))
}

// due returns what may be removed now.
func (r *run) due() []plan.Removal {
	return plan.Retention(r.files, r.Policy, plan.Pinned(r.files, r.Pins), r.Now())
}

func (r *run) count(removals []plan.Removal) {
	for _, one := range removals {
		r.report.Expired = append(r.report.Expired, one.File)
		r.report.ExpiredBytes += one.File.Size
	}
}

// leave notes what has expired and stays for now. The first reason is the one that is
// reported.
func (r *run) leave(removals []plan.Removal, why error) {
	if len(removals) == 0 {
		return
	}
	for _, one := range removals {
		r.report.Left = append(r.report.Left, one.File)
		r.report.LeftBytes += one.File.Size
	}
	if r.report.LeftWhy == "" {
		r.report.LeftWhy = why.Error()
	}
}

// removeAll removes in the given order, some at a time. It ends at the first that
// cannot be removed.
func (r *run) removeAll(ctx context.Context, due []plan.Removal) error {
	gone := make(map[plan.File]bool)
	defer r.forget(gone)
	for len(due) > 0 {
		some := due[:min(together, len(due))]
		removed, err := r.removeSome(ctx, some)
		r.count(removed)
		if err != nil {
			r.leave(due, err)
		}
		if errors.Is(err, errStale) || errors.Is(err, errMoved) {
			return nil // which is no fault
		}
		if err != nil {
			return err
		}
		for _, one := range some { // also what somebody else has removed meanwhile
			gone[one.File] = true
		}
		due = due[len(some):]
	}
	return nil
}

// removeSome removes what was seen just before, as was what takes its place.
func (r *run) removeSome(ctx context.Context, some []plan.Removal) (removed []plan.Removal, err error) {
	for range looks {
		seen := r.wallClock()
		removed, err = r.unchanged(ctx, some)
		if err != nil || len(removed) == 0 {
			return nil, err
		}
		stale, err := r.removeWithin(ctx, seen.Add(staleAfter), removed)
		switch {
		case errors.Is(err, blob.ErrDenied):
			return nil, fmt.Errorf("%w; maintain with credentials that may delete, those under janitor in the configuration say, or remove nothing with --keep", err)
		case err == nil:
			return removed, nil
		case !stale:
			return nil, err
		}
	}
	return nil, errStale
}

// removeWithin sends nothing after limit; stale says that this is why it failed.
func (r *run) removeWithin(ctx context.Context, limit time.Time, removals []plan.Removal) (stale bool, err error) {
	limited, stop := blob.Until(ctx, limit, r.wallClock)
	defer stop()
	if err = limited.Err(); err == nil {
		err = r.Replica.Remove(limited, r.lookUp(removals)...)
	}
	return err != nil && limited.Err() != nil && ctx.Err() == nil, err
}

// unchanged looks for removals and for what takes their place, and returns those where
// both are as they were listed.
func (r *run) unchanged(ctx context.Context, removals []plan.Removal) (same []plan.Removal, err error) {
	head := r.objects[r.head()]
	asked := []replica.Object{head}
	for _, one := range removals {
		asked = append(asked, r.objects[one.File], r.objects[one.For])
	}
	found, err := r.Replica.Unchanged(ctx, asked...)
	if err != nil {
		return nil, err
	}
	there := make(map[string]bool)
	for _, o := range found {
		there[o.Key()] = true
	}
	if !there[head.Key()] {
		return nil, errMoved
	}
	for _, one := range removals {
		if there[r.objects[one.File].Key()] && there[r.objects[one.For].Key()] {
			same = append(same, one)
		}
	}
	return same, nil
}

// head returns the newest file of level 0, or of all where it has none.
func (r *run) head() (head plan.File) {
	for _, f := range r.files {
		if f.Max > head.Max && f.Level == 0 || head.Max == 0 {
			head = f
		}
	}
	return head
}

func (r *run) lookUp(removals []plan.Removal) (objects []replica.Object) {
	for _, one := range removals {
		objects = append(objects, r.objects[one.File])
	}
	return objects
}

func (r *run) forget(gone map[plan.File]bool) {
	var left []plan.File
	for _, f := range r.files {
		if !gone[f] {
			left = append(left, f)
		}
	}
	r.files = left
}
