package replica

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/plan"
)

// Head returns the object with the highest TXID; of several, the one on the
// lowest level, as that is the one with a position. ErrEmpty says that there is
// none.
//
// With hint, a TXID that the caller believes to exist, it asks for single
// objects from there on: three requests when hint is the head, a logarithmic
// number when it is behind, and one for each level that may have a merge of what
// would come next. It relies on level 0 having every TXID from its
// oldest to the newest, but for those that begin another page size and exist as
// a snapshot alone. When the object found is not on level 0, where a snapshot of
// some older state could pass for the head, when it is gone by the time that it
// has been established as the last, when a merge goes beyond it, or when hint is 0,
// the replica is listed.
func (r *Replica) Head(ctx context.Context, hint ltx.TXID) (Object, error) {
	if hint != 0 {
		o, err := r.headFrom(ctx, hint)
		if err == nil || !errors.Is(err, blob.ErrNotFound) {
			return o, err
		}
	}
	var head Object
	for o, err := range r.list(ctx, root) { // ascending by level
		if err != nil {
			return Object{}, err
		}
		if o.Max > head.Max {
			head = o
		}
	}
	if head.Max == 0 {
		return Object{}, ErrEmpty
	}
	return head, nil
}

// headFrom looks for the head at or after txid. The head itself is asked for
// last: had it been removed together with what followed it, it would be gone.
func (r *Replica) headFrom(ctx context.Context, txid ltx.TXID) (Object, error) {
	for {
		last, err := r.lastShipped(ctx, txid)
		if err != nil {
			return Object{}, err
		}
		switch _, err := r.Find(ctx, plan.SnapshotLevel, 1, last+1); {
		case err == nil:
			txid = last + 1 // another page size begins here; level 0 goes on after it
			continue
		case !errors.Is(err, blob.ErrNotFound):
			return Object{}, err
		}
		head, err := r.Find(ctx, 0, last, last)
		if err != nil {
			return Object{}, err
		}
		return head, r.unmerged(ctx, last+1)
	}
}

// unmerged fails with blob.ErrNotFound where a merge has txid, which is not on level 0:
// somebody has removed the newest objects, and their names must not be given to others.
func (r *Replica) unmerged(ctx context.Context, txid ltx.TXID) error {
	width := ltx.TXID(1)
	for level := 1; level < plan.SnapshotLevel && width < txid; level++ {
		width *= plan.FanIn
		for o, err := range r.list(ctx, prefix(level, txid-min(txid, width)+1, txid)) {
			if err != nil {
				return err
			}
			if o.Min <= txid && txid <= o.Max {
				return fmt.Errorf("%w: TXID %s on level 0, which %s has", blob.ErrNotFound, txid, o.Key())
			}
		}
	}
	return nil
}

// prefix is how the names of objects on level begin whose first TXID is first to last.
func prefix(level int, first, last ltx.TXID) string {
	a, b, n := first.String(), last.String(), 0
	for n < len(a) && a[n] == b[n] {
		n++
	}
	return root + strconv.Itoa(level) + "/" + a[:n]
}

// lastShipped returns the highest TXID that can be reached on level 0 from
// from, which is taken as given: in doubling steps up to one that is missing,
// then by halving.
func (r *Replica) lastShipped(ctx context.Context, from ltx.TXID) (ltx.TXID, error) {
	step := ltx.TXID(1)
	for {
		ok, err := r.shipped(ctx, from+step)
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		from += step
		step *= 2
	}
	for step > 1 { // from is there, from+step is not
		step /= 2
		ok, err := r.shipped(ctx, from+step)
		if err != nil {
			return 0, err
		}
		if ok {
			from += step
		}
	}
	return from, nil
}

func (r *Replica) shipped(ctx context.Context, txid ltx.TXID) (bool, error) {
	_, err := r.Find(ctx, 0, txid, txid)
	if errors.Is(err, blob.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
