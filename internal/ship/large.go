package ship

import (
	"context"

	"github.com/holdfast-db/holdfast/internal/source"
)

const (
	// largeBytes of pages make a changeset a large one: its upload holds blocks in memory,
	// and its index of pages grows with it.
	largeBytes = 16 << 20

	// LargeAtOnce is how many of them a process should ship at a time: the first pass of
	// a hundred large databases takes as long one after the other.
	LargeAtOnce = 4
)

// turn waits until c may be shipped, if it is large, and returns what lets the next one.
func (s *Shipper) turn(ctx context.Context, c *source.Changeset) (end func(), err error) {
	if s.opts.Large == nil || int64(c.PageCount())*int64(c.End.PageSize) < largeBytes {
		return func() {}, nil
	}
	if err := s.opts.Large.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return func() { s.opts.Large.Release(1) }, nil
}
