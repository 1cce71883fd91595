package main

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/telemetry"
	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

const (
	// restoreBeatEvery is the longest that a restore's heartbeat is held back: by one,
	// somebody who waits learns how far it is, and it learns that it is cancelled.
	restoreBeatEvery = 2 * time.Second

	// stickyWithin is how long a task of a workflow waits for the worker that has
	// the workflow in memory. One that was killed never takes it.
	stickyWithin = 2 * time.Second
)

// workers are those of one process.
type workers struct {
	all   []named
	fatal chan error // the first errors after which a worker cannot go on
}

type named struct {
	worker.Worker
	queue string
}

// abilities are what the workers of one process can do.
type abilities struct {
	host    *activities.HostActivities
	restore *activities.RestoreActivities
	replica *activities.ReplicaActivities
}

// newWorkers makes one worker for each of the host's queues, one for the workflows, and
// one for maintenance unless there are no slots for it. Windows and restores hold slots
// for minutes, so nothing else may share theirs.
func newWorkers(c client.Client, s settings, t tuning, can abilities) *workers {
	w := &workers{fatal: make(chan error, 5)}
	w.add(c, workflows.TaskQueue, worker.Options{
		LocalActivityWorkerOnly:      true,
		StickyScheduleToStartTimeout: stickyWithin,
		WorkflowTaskPollerBehavior:   t.forWorkflows(),
		Interceptors:                 []interceptor.WorkerInterceptor{workflows.SignalsInOrder()},
	})
	workflows.RegisterWorkflows(w.all[0])
	w.add(c, workflows.SyncQueue(s.Host), t.activities(t.windows, t.scaled(), leastBeat))
	workflows.RegisterSyncActivities(w.all[1], can.host)
	w.add(c, workflows.ControlQueue(s.Host), t.activities(t.control, t.scaled(), leastBeat))
	workflows.RegisterControlActivities(w.all[2], can.host)
	workflows.RegisterRestoreActivities(w.all[2], can.restore)
	w.add(c, workflows.RestoreQueue(s.Host), t.activities(t.restores, t.fixed(), restoreBeatEvery))
	workflows.RegisterRestoreActivities(w.all[3], can.restore)
	if s.Maintenance.Slots > 0 {
		w.add(c, workflows.MaintenanceQueue, t.activities(s.Maintenance.Slots, t.fixed(), leastBeat))
		workflows.RegisterReplicaActivities(w.all[4], can.replica)
	}
	return w
}

// activities are the options of a worker that only has activities, which hold back their
// heartbeats by themselves; beat is the least time between two.
func (t tuning) activities(slots int, pollers worker.PollerBehavior, beat time.Duration) worker.Options {
	return worker.Options{
		DisableWorkflowWorker:              true,
		MaxConcurrentActivityExecutionSize: slots,
		ActivityTaskPollerBehavior:         pollers,
		WorkerStopTimeout:                  t.stopTimeout,
		MaxHeartbeatThrottleInterval:       beat,
	}
}

// add makes a worker with the options that all have. Activities go to queues of
// their own, so none can be handed back with a workflow task.
func (w *workers) add(c client.Client, queue string, options worker.Options) {
	options.DisableEagerActivities = true
	options.DisableRegistrationAliasing = true
	options.OnFatalError = func(err error) { w.fatal <- fmt.Errorf("queue %s: %w", queue, err) }
	w.all = append(w.all, named{worker.New(c, queue, options), queue})
}

// start starts all. After an error the caller stops them.
func (w *workers) start() error {
	for _, each := range w.all {
		if err := each.Start(); err != nil {
			return asUsage(fmt.Errorf("start on queue %s: %w", each.queue, control.Translate(err)))
		}
	}
	return nil
}

// stop ends all, side by side: each waits for what it has under way.
func (w *workers) stop() {
	var ended sync.WaitGroup
	for _, each := range w.all {
		ended.Go(each.Stop)
	}
	ended.Wait()
}

// asUsage tells wrong settings from a service that is away.
func asUsage(err error) error {
	if errors.Is(err, control.ErrSettings) {
		return usageError{err}
	}
	return err
}

// quieted keeps the SDK's lines to what a reader of this log needs: it says
// itself, once, what failed, and has names of its own for the rest. A heartbeat
// fails at each orderly end, when the SDK sends one for a window that has ended.
func quieted(h slog.Handler) slog.Handler {
	return telemetry.Trim(h,
		[]string{"Activity error.", "Started Worker", "Stopped Worker", "RecordActivityHeartbeat with error"},
		[]string{"Namespace", "TaskQueue", "WorkerID", "RunID", "WorkflowType", "ActivityID", "ActivityType"})
}
