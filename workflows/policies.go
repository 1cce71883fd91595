package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// maxWindows is how many windows one run of a workflow takes on. At the default
// window that is a day, and about 2,000 events: far from the server's limits,
// and a history that opens at once in the UI.
const maxWindows = 144

// safetyEvery is how often a parked database gets a pass though its host has told of no
// change: in case that could not be seen, or the news was lost.
const safetyEvery = time.Hour

// personWaits is how long an activity on a control queue may wait for a worker.
// A person looks at a prompt meanwhile; a worker that runs takes it in
// milliseconds.
const personWaits = 10 * time.Second

// firstPassPatience is how long somebody who waits for a first pass is kept
// waiting after it has failed: three more tries at the default interval.
const firstPassPatience = 10 * time.Second

// passLimit bounds one window. Heartbeats tell whether it is alive; this only
// keeps a bug from holding a slot for ever, so it leaves room for the first
// pass over a large database through a thin line.
const passLimit = 7 * 24 * time.Hour

// windowOptions are those of Sync. The retry policy is the backoff: the server
// keeps the time, and the UI shows attempt, last failure and next attempt. It
// starts where failures that were counted before left off.
//
// A window that nobody takes within the host time-out ends, because an activity
// that waits for ever looks just like one that works. WaitForCancellation keeps
// the workflow from going on while the window still writes.
func windowOptions(ctx workflow.Context, host string, s Settings, failures int, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              SyncQueue(host),
		Summary:                summary,
		ScheduleToStartTimeout: s.HostTimeout,
		StartToCloseTimeout:    passLimit,
		HeartbeatTimeout:       s.Heartbeat,
		WaitForCancellation:    true,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    backoff(s, failures+1),
			BackoffCoefficient: 2,
			MaximumInterval:    s.BackoffCap,
		},
	})
}

// checkOptions are those of a SyncOnce that only judges: one try, as what it
// finds unavailable now is for the window to wait for.
func checkOptions(ctx workflow.Context, host string) workflow.Context {
	return control(ctx, host, "check whether it can be replicated", 30*time.Second, 1)
}

// passOptions are those of a SyncOnce that somebody waits for: a few tries, then
// its error is the answer. It may take as long as a window's pass.
func passOptions(ctx workflow.Context, host string, s Settings, summary string) workflow.Context {
	ctx = control(ctx, host, summary, passLimit, 3)
	options := workflow.GetActivityOptions(ctx)
	options.HeartbeatTimeout = s.Heartbeat
	options.WaitForCancellation = true
	return workflow.WithActivityOptions(ctx, options)
}

// stopSyncOptions are those of StopSync. The window's cancellation is under way
// at the same time and serves when this fails, so it is not worth waiting for.
func stopSyncOptions(ctx workflow.Context, host string) workflow.Context {
	ctx = control(ctx, host, "end the window now", personWaits, 1)
	return workflow.WithScheduleToCloseTimeout(ctx, personWaits)
}

// cleanUpOptions are those of CleanUp: one try, because the next failure brings
// the next one.
func cleanUpOptions(ctx workflow.Context, host string, summary string) workflow.Context {
	return control(ctx, host, summary, 5*time.Minute, 1)
}

// releaseOptions are those of Release. It may have to copy a long log into the
// database file.
func releaseOptions(ctx workflow.Context, host string) workflow.Context {
	return control(ctx, host, "close the database", 5*time.Minute, 3)
}

// maintainerWaits is how long a run of maintenance waits for a worker. A thousand
// databases that begin together wait for each other for an hour or two; beyond that
// somebody has to know.
const maintainerWaits = 6 * time.Hour

// maintainLimit bounds one run. Heartbeats tell whether it is alive; the snapshot of a
// database of a terabyte takes half a day.
const maintainLimit = 24 * time.Hour

// stoppedRests is how long nothing is begun after a run that its worker's end, or
// somebody else, has cut short: that worker needs a moment to stop asking for tasks.
const stoppedRests = 10 * time.Second

// maintainOptions are those of Maintain. Three tries, within a minute or so, are for what
// passes by itself, a lost worker included; what stays is for the workflow to know of,
// which tries again by maintenanceBackoff. A cancellation is not waited for: what still
// happens until the worker hears of it is right, and the next run does not mind it.
func maintainOptions(ctx workflow.Context, s Settings, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              MaintenanceQueue,
		Summary:                summary,
		ScheduleToStartTimeout: maintainerWaits,
		StartToCloseTimeout:    maintainLimit,
		HeartbeatTimeout:       s.Heartbeat,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    10 * time.Second,
			BackoffCoefficient: 3,
			MaximumAttempts:    3,
		},
	})
}

// maintenanceBackoff is the wait after the failures-th consecutive failure of
// maintenance: from a quarter of an hour up to six hours. Nothing is lost by waiting, and
// whoever puts right what was wrong can say so with a resume.
func maintenanceBackoff(failures int) time.Duration {
	wait := 15 * time.Minute
	for n := 1; n < failures && wait < 6*time.Hour; n++ {
		wait *= 2
	}
	return min(wait, 6*time.Hour)
}

// restoreLimit bounds a restore, over all of its attempts. Heartbeats tell whether one
// is alive, and a person may cancel it; this only ends one whose store stays away. It
// leaves room for a terabyte through a thin line.
const restoreLimit = 48 * time.Hour

// pinLimit is after how long a pin ends that nobody takes back: more than a restore
// may take with all that it waits for.
const pinLimit = restoreLimit + 24*time.Hour

// hostPatience is how long a restore waits for a host that does not answer. A machine
// that is being started is there by then; for one that is not somebody has to be told.
const hostPatience = 10 * time.Minute

// turn is how long an attempt waits for a slot before it is asked again whether the
// host is there: it looks the same to wait for another restore and for nobody.
const turn = 2 * time.Minute

// restoreBeat is the silence after which an attempt counts as dead, so that a worker that
// was started again goes on. Somebody waits for that. A worker sends heartbeats every
// third of it at least, by which it also learns that it is cancelled.
const restoreBeat = 15 * time.Second

// restoreOptions are those of Restore. It goes on after a worker's end, and while the
// store is away; other errors are not retryable. WaitForCancellation keeps the
// workflow from letting go of what is being replaced before that is over.
func restoreOptions(ctx workflow.Context, in RestoreRequest) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              RestoreQueue(in.Host),
		Summary:                in.target() + " to " + in.Path,
		ScheduleToStartTimeout: turn,
		ScheduleToCloseTimeout: restoreLimit,
		HeartbeatTimeout:       restoreBeat,
		WaitForCancellation:    true,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: time.Second,
			MaximumInterval: time.Minute,
		},
	})
}

// checkRestoreOptions are those of a Restore that only judges. It lists the replica,
// which takes seconds for ten thousand objects. A store that is away now is said so:
// nothing has begun yet, and whoever waits can ask again.
func checkRestoreOptions(ctx workflow.Context, host string, within time.Duration) workflow.Context {
	ctx = control(ctx, host, "check whether it can be restored", 2*time.Minute, 3)
	return workflow.WithScheduleToStartTimeout(ctx, within)
}

// discardOptions are those of a Restore that only cleans up. A host that does not
// answer keeps nobody waiting: the next restore to the path cleans up, too.
func discardOptions(ctx workflow.Context, host string) workflow.Context {
	return control(ctx, host, "remove what was begun", time.Minute, 1)
}

// control are the options of anything short on a host's control queue.
func control(ctx workflow.Context, host, summary string, limit time.Duration, attempts int32) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              ControlQueue(host),
		Summary:                summary,
		ScheduleToStartTimeout: personWaits,
		StartToCloseTimeout:    limit,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: time.Second,
			MaximumInterval: 5 * time.Second,
			MaximumAttempts: attempts,
		},
	})
}

// lookUpOptions are those of LookUp: a query, which some worker answers in milliseconds.
func lookUpOptions(ctx workflow.Context) workflow.Context {
	return onReplica(ctx, "look up the database", time.Minute, 0, 3)
}

// verifyOptions are those of Verify. The first tries may be refusals of the database's own
// host, a second each; five more, up to some minutes apart, are for a store that is away
// and for workers that are lost. A proof of a terabyte takes half a day.
func verifyOptions(ctx workflow.Context, summary string) workflow.Context {
	return onReplica(ctx, summary, maintainLimit, verifyHeartbeat, 10)
}

// repairOptions are those of Repair, which copies what it sets aside.
func repairOptions(ctx workflow.Context) workflow.Context {
	return onReplica(ctx, "set damaged objects aside", maintainLimit, verifyHeartbeat, 5)
}

// snapshotOptions are those of Snapshot. One try, but for a lost worker: what keeps the
// database from helping is the answer.
func snapshotOptions(ctx workflow.Context) workflow.Context {
	return onReplica(ctx, "have the database put a snapshot", maintainLimit, verifyHeartbeat, 3)
}

// verifyHeartbeat is the silence after which a worker that verifies counts as lost.
const verifyHeartbeat = time.Minute

func onReplica(ctx workflow.Context, summary string, limit, heartbeat time.Duration, tries int32) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              MaintenanceQueue,
		Summary:                summary,
		ScheduleToStartTimeout: maintainerWaits,
		StartToCloseTimeout:    limit,
		HeartbeatTimeout:       heartbeat,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    time.Second,
			BackoffCoefficient: 2,
			MaximumInterval:    5 * time.Minute,
			MaximumAttempts:    tries,
		},
	})
}
