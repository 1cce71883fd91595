package maintain

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-db/holdfast/internal/digest"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
)

const (
	// staleAfter is how old a listing may be by which something is removed: a machine
	// that slept wakes up to another replica, maybe.
	staleAfter = time.Minute

	// together is how many objects are removed by one call.
	together = 256
)

// expire removes what has expired, once what takes its place was read back. Damage of
// that keeps only what it would have taken the place of.
func (r *run) expire(ctx context.Context) error {
	due := r.due(nil)
	if r.DryRun || r.Keep {
		for _, one := range due {
			r.count(one.File)
		}
		return nil
	}
	if len(due) == 0 {
		return nil
	}
	proven, damage, err := r.prove(ctx, due)
	if err != nil {
		return err
	}
	if err := r.list(ctx); err != nil { // reading took its time
		return err
	}
	due = r.due(proven)
	gone := make(map[plan.File]bool)
	for len(due) > 0 {
		some := due[:min(together, len(due))]
		due = due[len(some):]
		if quiet := r.wallClock().Sub(r.listed); quiet > staleAfter || quiet < 0 {
			break // the next run goes on
		}
		if err := r.Replica.Remove(ctx, r.lookUp(some)...); err != nil {
			return err
		}
		for _, one := range some {
			gone[one.File] = true
			r.count(one.File)
		}
	}
	r.forget(gone)
	return damage
}

// due returns what may be removed now: in favour of proven files, if that is not nil.
func (r *run) due(proven map[plan.File]bool) (due []plan.Removal) {
	for _, one := range plan.Retention(r.files, r.Policy, r.pinned(), r.Now()) {
		if proven == nil || proven[one.For] {
			due = append(due, one)
		}
	}
	return due
}

func (r *run) count(f plan.File) {
	r.report.Expired = append(r.report.Expired, f)
	r.report.ExpiredBytes += f.Size
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

// prove reads what takes the place of others, each once, to its checksum. damage names
// what did not stand that.
func (r *run) prove(ctx context.Context, due []plan.Removal) (proven map[plan.File]bool, damage, err error) {
	proven = make(map[plan.File]bool)
	for _, one := range due {
		if _, seen := proven[one.For]; seen {
			continue
		}
		switch err := r.readBack(ctx, r.objects[one.For]); {
		case errors.Is(err, replica.ErrDamaged):
			damage = errors.Join(damage, fmt.Errorf("%w; what it was made of is kept", err))
			proven[one.For] = false
		case err != nil:
			return nil, nil, err
		default:
			proven[one.For] = true
		}
	}
	return proven, damage, nil
}

func (r *run) readBack(ctx context.Context, o replica.Object) (err error) {
	reader, err := r.Replica.Open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	sum := digest.Hasher{PageSize: reader.PageSize()}
	size := int(reader.PageSize())
	err = reader.Batches(func(b replica.Batch) error {
		for i, pgno := range b.Pages {
			sum.Add(pgno, b.Data[i*size:(i+1)*size])
		}
		return nil
	})
	if got := sum.Digest(reader.Commit()); err == nil && o.Complete() && o.Digest != 0 && got != o.Digest {
		err = fmt.Errorf("%w: %s: its digest is %s, that of the state that was shipped %s", replica.ErrDamaged, o.Key(), got, o.Digest)
	}
	return err
}
