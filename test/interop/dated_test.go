package interop_test

import (
	"context"
	"iter"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// dated is a store whose clock is at a time of the test's, and that has taken each object
// at the time with which that is labelled.
type dated struct {
	blob.Store
	now func() time.Time
}

func (s dated) Clock(context.Context) (time.Time, error) { return s.now(), nil }

func (s dated) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for info, err := range s.Store.List(ctx, prefix) {
			if at, e := time.Parse(time.RFC3339Nano, info.Metadata[blob.TimestampKey]); e == nil {
				info.Modified = at
			}
			if !yield(info, err) {
				return
			}
		}
	}
}
