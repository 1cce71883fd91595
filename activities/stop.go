package activities

import (
	"context"
	"errors"

	"go.temporal.io/sdk/activity"
)

// errStopping is the cause of the end of what a worker that stops was at.
var errStopping = errors.New("the worker stops")

// withWorker returns a context that ends with the worker, too.
func withWorker(ctx context.Context) (work context.Context, end func()) {
	work, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-activity.GetWorkerStopChannel(ctx):
			cancel(errStopping)
		case <-work.Done():
		}
	}()
	return work, func() { cancel(nil) }
}

// stopping tells whether a context of withWorker has ended with the worker.
func stopping(work context.Context) bool { return errors.Is(context.Cause(work), errStopping) }
