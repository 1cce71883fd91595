package workflows

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/host"
)

// syncWindow runs one window and says how it ended. A window that has to make
// room is cancelled, which is what ends one that backs off, and stopped on the
// control queue as well, which ends one that runs: cancellation would reach it
// only with a heartbeat.
func (r *replication) syncWindow(ctx workflow.Context) outcome {
	r.st.Windows++
	r.window, r.nudged, r.roused, r.forgiven, r.reported = r.st.Windows, false, false, false, nil
	r.refresh(ctx)
	in := r.windowInput()
	within, cancel := workflow.WithCancel(windowOptions(ctx, r.st.Spec.Host, r.st.Spec.Settings, r.st.Failures, summary(in)))
	sync := workflow.ExecuteActivity(within, activities.NameSync, in)
	_ = workflow.Await(ctx, func() bool { return sync.IsReady() || r.mustYield() })
	var stop workflow.Future
	if !sync.IsReady() {
		cancel()
		stop = workflow.ExecuteActivity(stopSyncOptions(ctx, r.st.Spec.Host), activities.NameStopSync,
			activities.StopSyncInput{Name: in.Database.Name, Window: in.Window, Hold: r.paused()})
		r.st.PauseTold = r.paused()
	}
	var res activities.SyncResult
	o := readOutcome(&res, sync.Get(ctx, &res))
	r.window = 0
	r.windows++
	r.refresh(ctx)
	return o.with(ctx, stop)
}

// with waits for StopSync, which could end the next window otherwise. Of a
// window that was cancelled in its backoff the server says nothing; the host
// knows the count.
func (o outcome) with(ctx workflow.Context, stop workflow.Future) outcome {
	if stop == nil {
		return o
	}
	var stopped activities.StopSyncResult
	if err := stop.Get(ctx, &stopped); err == nil && o.beat == nil {
		o.beat = stopped.Beat
	}
	return o
}

// windowInput is the next window's. A first pass is a window of its own: its
// end is how the workflow, and whoever waits for a registration, gets to know.
// The same goes for a permission to adopt or take over, which is used up by it.
func (r *replication) windowInput() activities.SyncInput {
	length := r.st.Spec.Settings.length()
	if !r.st.Synced || r.st.Spec.Adopt || r.st.Spec.TakeOver {
		length = 0
	}
	return activities.SyncInput{
		Database: r.database(),
		Window:   r.window,
		Interval: activities.Duration(r.st.Spec.Settings.Interval),
		Length:   activities.Duration(length),
		Failures: r.st.Failures,
		Head:     r.st.Progress.TXID,
		Announce: r.st.HostOffline,
		Rules:    r.st.Spec.Settings.rules(),
		Spec:     r.st.Spec.kept(),
	}
}

func (r *replication) database() activities.Database { return r.st.Spec.Database(r.st.Writer) }

// Database is what the activities know of it. writer is 32 hex digits.
func (s Spec) Database(writer string) activities.Database {
	return activities.Database{
		Name: s.Name, Path: s.Path, Replica: s.Replica, Writer: writer,
		Adopt: s.Adopt, TakeOver: s.TakeOver, WALLimit: s.Settings.WALLimit, Scrub: activities.Duration(s.Settings.Scrub),
	}
}

// kept is s as its host keeps it. Leave to adopt or take over is given once.
func (s Spec) kept() json.RawMessage {
	s.Adopt, s.TakeOver = false, false
	b, err := json.Marshal(s)
	if err != nil { // of which nothing in it is capable
		return nil
	}
	return b
}

func summary(in activities.SyncInput) string {
	s := fmt.Sprintf("window %d, after TXID %s", in.Window, in.Head)
	if in.Failures > 0 {
		s += fmt.Sprintf(", after %d failures", in.Failures)
	}
	return s
}

// outcome is how a window ended.
type outcome struct {
	kind    kind
	reason  host.Reason      // of a window that ended well
	beat    *activities.Beat // the count and the progress, where they are known
	typ     string           // of a failure
	message string
}

type kind int

const (
	endedWell  kind = iota
	cancelled       // it never ran, backed off, or heard of its cancellation
	nobodyTook      // no worker of the host took it in time
	vanished        // its worker did not live to say
	failed          // in a way that retries do not help against, or no longer
)

// readOutcome translates what Temporal says. Only a failure that the host itself
// has counted is one: time-outs and cancellations say nothing about the database.
func readOutcome(res *activities.SyncResult, err error) outcome {
	var canceled *temporal.CanceledError
	var timeout *temporal.TimeoutError
	var app *temporal.ApplicationError
	switch {
	case err == nil:
		return outcome{kind: endedWell, reason: res.Reason, beat: &activities.Beat{Failures: res.Failures, Progress: res.Progress}}
	case errors.As(err, &canceled):
		return outcome{kind: cancelled, beat: readBeat(canceled.HasDetails, canceled.Details)}
	case errors.As(err, &timeout):
		o := outcome{kind: vanished, beat: readBeat(timeout.HasLastHeartbeatDetails, timeout.LastHeartbeatDetails)}
		if timeout.TimeoutType() == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START {
			o.kind = nobodyTook
		}
		if o.beat == nil && errors.As(err, &app) { // the failure before the retry that did not come
			o.beat = readBeat(app.HasDetails, app.Details)
		}
		return o
	case errors.As(err, &app):
		return outcome{kind: failed, beat: readBeat(app.HasDetails, app.Details), typ: app.Type(), message: app.Message()}
	}
	return outcome{kind: failed, typ: activities.Internal, message: err.Error()}
}

func readBeat(has func() bool, details func(...any) error) *activities.Beat {
	var beat activities.Beat
	if !has() || details(&beat) != nil {
		return nil
	}
	return &beat
}

// settle draws the consequences of a window.
func (r *replication) settle(ctx workflow.Context, o outcome) {
	if o.beat != nil {
		r.progressed(o.beat.Progress)
	}
	if o.kind != nobodyTook && o.kind != cancelled {
		r.st.HostOffline = false
	}
	r.st.NotBefore = workflow.Now(ctx)
	r.st.Parked = o.kind == endedWell && o.reason == host.Idle && !r.roused
	switch o.kind {
	case endedWell:
		r.keep(o.beat)
		if o.reason != host.Idle || r.st.Parked {
			r.st.NotBefore = r.st.NotBefore.Add(restAfter(o.reason, r.st.Spec.Settings))
		}
	case cancelled, vanished:
		r.keep(o.beat)
	case nobodyTook:
		r.keep(o.beat)
		r.st.HostOffline = true
		r.log.Warn("host is not answering", "host", r.st.Spec.Host, "db", r.st.Spec.Name)
	case failed:
		r.fail(ctx, o)
	}
	r.reported = nil
	r.refresh(ctx)
}

// restAfter is the time from the end of a window to the next. After a single pass
// it is the interval. After a long window the next one's first pass may come at
// once, because a timer of the server's own can be a second late. A worker that
// stops needs a moment to stop asking for tasks.
func restAfter(reason host.Reason, s Settings) time.Duration {
	switch {
	case reason == host.Recovered, reason == host.WindowOver && s.length() == 0:
		return s.Interval
	case reason == host.Idle:
		return safetyEvery
	case reason == host.WorkerStopping:
		return max(s.Interval, time.Second)
	}
	return 0
}

// backoff is the wait after the failures-th consecutive failure. A host that goes on
// while the service is away waits as long.
func backoff(s Settings, failures int) time.Duration {
	return host.Backoff(s.Interval, s.BackoffCap, failures)
}

// keep carries on the count of a window that no failure ended, and what it had
// reported of its failures: one that is stopped says nothing of them.
func (r *replication) keep(beat *activities.Beat) {
	failures := r.st.Failures
	switch {
	case beat != nil:
		failures = beat.Failures
	case r.reported != nil:
		failures = r.reported.count
	}
	if r.reported != nil {
		r.st.Problem = &r.reported.problem
	}
	r.count(failures)
}

// count sets the number of consecutive failures.
func (r *replication) count(failures int) {
	if r.forgiven {
		failures = 0
	}
	r.st.Failures = failures
	if failures == 0 {
		r.st.CleanUps.Tried = false
	}
	if failures == 0 && !r.st.Attention {
		r.st.Problem = nil
	}
}

// fail deals with a failure that the server will not retry.
func (r *replication) fail(ctx workflow.Context, o outcome) {
	failures := r.st.Failures + 1
	if o.beat != nil {
		failures = o.beat.Failures
	}
	r.count(failures)
	r.st.Problem = &Problem{Type: o.typ, Message: o.message, At: workflow.Now(ctx)}
	wait := backoff(r.st.Spec.Settings, r.st.Failures)
	switch o.typ {
	case activities.Fenced, activities.Misconfigured, activities.ReplicaDamaged:
		r.st.Attention = true
	case activities.DatabaseMissing:
		wait = r.st.Spec.Settings.BackoffCap
	case activities.DiskFull:
		r.refresh(ctx)
		r.cleanUp(ctx)
	}
	r.st.NotBefore = workflow.Now(ctx).Add(wait)
}

// cleanUp makes room on a full disk. That it fails changes nothing: the next
// failure brings the next one. From the second in a row it may give up states
// that wait in the spool.
func (r *replication) cleanUp(ctx workflow.Context) {
	why := fmt.Sprintf("make room after %d consecutive failures", r.st.Failures)
	var removed activities.CleanUpResult
	err := workflow.ExecuteActivity(cleanUpOptions(ctx, r.st.Spec.Host, why), activities.NameCleanUp,
		activities.CleanUpInput{Database: r.database(), Fold: r.st.CleanUps.Tried}).Get(ctx, &removed)
	r.st.CleanUps.Last = workflow.Now(ctx)
	if err != nil {
		r.st.CleanUps.Failed++
		r.log.Error("clean-up failed", "db", r.st.Spec.Name, "error", err)
		return
	}
	r.st.CleanUps.Count++
	r.st.CleanUps.Tried = true
	if removed.Folded != nil {
		r.st.CleanUps.Folded = removed.Folded
	}
	r.st.CleanUps.Files += removed.Files
	r.st.CleanUps.Bytes += removed.Bytes
}

// progressed takes up what a window or a pass reached.
func (r *replication) progressed(p activities.Progress) {
	before := r.st.Progress.TXID
	r.st.Progress = r.st.Progress.After(p)
	r.st.Maintenance.heard(before, r.st.Progress.TXID, workflow.Now(r.ctx))
	if p.Writer != "" {
		r.st.Writer = p.Writer
	}
	if p.Passes > 0 {
		r.st.Synced = true
		r.st.Spec.Adopt, r.st.Spec.TakeOver = false, false
	}
}

// proven takes up a pass that succeeded beside the windows: whatever was wrong
// is not any more.
func (r *replication) proven(p activities.Progress) {
	r.progressed(p)
	r.st.HostOffline = false
	if !r.failing() {
		return
	}
	r.st.Attention, r.forgiven, r.nudged, r.reported = false, true, true, nil
	r.count(0)
}

// failing tells whether the window under way, or the one to come, is known to
// have failures before it.
func (r *replication) failing() bool {
	return r.st.Failures > 0 || r.st.Attention || r.reported != nil
}

// failing is what a host has reported of the window under way.
type failing struct {
	count   int
	problem Problem
}
