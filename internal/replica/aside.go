package replica

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/xxh3"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// asideRoot is the folder of objects that were taken out of a replica. Nobody reads it.
const asideRoot = "damaged/"

// mostCopies is how many objects of one name may have been set aside.
const mostCopies = 100

// ErrChanged says that an object is not the one that was judged.
var ErrChanged = errors.New("object changed")

// SetAside takes a damaged object out of the replica: its bytes and metadata are copied
// below damaged/, the copy is read back, and only then the object is removed. sum is the
// XXH3 of the bytes that were found to be damaged: ErrChanged says that they are others
// now, and nothing was done. It may be cut off anywhere and made again. It returns the
// name of the copy.
func (r *Replica) SetAside(ctx context.Context, o Object, sum uint64) (key string, err error) {
	info, err := r.store.Stat(ctx, o.Key())
	if err != nil {
		return "", fmt.Errorf("set %s aside: %w", o.Key(), err)
	}
	key, err = r.copyAside(ctx, o, sum, info.Metadata)
	if err != nil {
		return "", fmt.Errorf("set %s aside: %w", o.Key(), err)
	}
	if err := r.expect(ctx, o.Key(), sum); err != nil {
		return "", fmt.Errorf("set %s aside: %w", o.Key(), err)
	}
	return key, r.Remove(ctx, o)
}

// copyAside copies o to the first name that is free, or has the very bytes.
func (r *Replica) copyAside(ctx context.Context, o Object, sum uint64, meta blob.Metadata) (key string, err error) {
	for n := range mostCopies {
		key = fmt.Sprintf("%s%s.%d", asideRoot, o.Key()[len(root):], n)
		err = r.expect(ctx, key, sum)
		if errors.Is(err, blob.ErrNotFound) {
			if err = r.copyTo(ctx, o.Key(), key, meta); err == nil {
				return key, r.expect(ctx, key, sum)
			}
		}
		if !errors.Is(err, ErrChanged) && !errors.Is(err, blob.ErrExists) {
			return key, err
		}
	}
	return "", fmt.Errorf("%d of that name are aside already; remove them", mostCopies)
}

func (r *Replica) copyTo(ctx context.Context, from, to string, meta blob.Metadata) (err error) {
	body, err := r.store.Get(ctx, from, 0, -1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	_, err = r.store.Put(ctx, to, body, meta)
	return err
}

// expect reads key and compares its bytes.
func (r *Replica) expect(ctx context.Context, key string, sum uint64) (err error) {
	body, err := r.store.Get(ctx, key, 0, -1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	h := xxh3.New()
	if _, err := io.Copy(h, body); err != nil {
		return err
	}
	if h.Sum64() != sum {
		return fmt.Errorf("%w: %s", ErrChanged, key)
	}
	return nil
}
