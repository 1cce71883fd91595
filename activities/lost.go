package activities

import (
	"context"
	"errors"
	"fmt"

	"go.temporal.io/api/serviceerror"

	"github.com/holdfast-db/holdfast/internal/host"
)

// LostWindows is where a host finds the windows that its last process did not
// end.
type LostWindows interface {
	LostWindows() ([]host.LostWindow, error)
	ForgetLost(name string) error
}

// Completer is the part of a Temporal client that ends a lost window.
type Completer interface {
	CompleteActivity(ctx context.Context, taskToken []byte, result any, err error) error
}

// EndLostWindows completes the windows that died with the last process, so that
// their workflows go on at once instead of after the heartbeat timeout. One that
// the service has given up already is only forgotten. last returns the last
// heartbeat of a database's window, as far as the service has it. It returns how
// many it ended; call it before the workers start.
func EndLostWindows(ctx context.Context, c Completer, h LostWindows, last func(ctx context.Context, name string) Beat) (ended int, err error) {
	windows, err := h.LostWindows()
	if err != nil {
		return 0, fmt.Errorf("find lost windows: %w", err)
	}
	var failures []error
	for _, w := range windows {
		err := c.CompleteActivity(ctx, w.TaskToken, SyncResult{Reason: host.Lost, Failures: w.Failures, Progress: last(ctx, w.Name).Progress}, nil)
		if gone := new(serviceerror.NotFound); err != nil && !errors.As(err, &gone) {
			failures = append(failures, fmt.Errorf("end the lost window of %s: %w", w.Name, err))
			continue
		}
		if err == nil {
			ended++
		}
		if err := h.ForgetLost(w.Name); err != nil {
			failures = append(failures, fmt.Errorf("forget the lost window of %s: %w", w.Name, err))
		}
	}
	return ended, errors.Join(failures...)
}
