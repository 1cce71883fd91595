package maintain

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/digest"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// prove reads what takes the place of others, each once, to its checksum. What did not
// stand that is not proven; faults say why, but for what is gone because another run
// has put something in its place.
func (r *run) prove(ctx context.Context, due []plan.Removal) (proven map[plan.File]bool, faults *faults) {
	proven, faults = make(map[plan.File]bool), newFaults(ctx)
	for _, one := range due {
		if _, seen := proven[one.For]; seen || faults.hopeless() {
			continue
		}
		err := r.readBack(ctx, r.objects[one.For])
		proven[one.For] = err == nil
		switch {
		case errors.Is(err, blob.ErrNotFound):
		case errors.Is(err, replica.ErrDamaged):
			faults.add(fmt.Errorf("%w; what it was made of is kept", err))
		default:
			faults.add(err)
		}
	}
	return proven, faults
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
