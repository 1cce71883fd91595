package maintain

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// mostApart is how far this machine's clock may be from the store's: an object goes too
// early by no more than that. A writer trusts that its objects of the last half hour are
// there, and an hour is the least that they are kept.
const mostApart = 5 * time.Minute

// ErrClock says that this machine's clock is not the store's, so that nothing was removed
// by it.
var ErrClock = errors.New("the clocks differ")

// checkClock compares this machine's clock with the store's.
func (r *run) checkClock(ctx context.Context) error {
	before := r.wallClock()
	store, err := r.Replica.Clock(ctx)
	if err != nil {
		return fmt.Errorf("compare this machine's clock with the store's: %w", err)
	}
	var apart time.Duration
	word := "ahead of"
	switch after := r.wallClock(); {
	case store.Before(before):
		apart = before.Sub(store)
	case store.After(after):
		apart, word = store.Sub(after), "behind"
	}
	if apart > mostApart {
		return fmt.Errorf("%w: this machine's is %v %s the store's, so objects would be removed at a wrong time, and none was; set it right, then run again",
			ErrClock, apart.Round(time.Second), word)
	}
	return nil
}

// wallClock is now without its monotonic part, which stands still while the machine
// sleeps.
func (r *run) wallClock() time.Time { return r.Now().Round(0) }
