package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/holdfast-db/holdfast/internal/host"
)

// Sync runs one window. It returns an error only for a failure that counts; a
// cancellation carries the count and adds nothing to it, and a stopped worker
// or window is a success.
func (a *HostActivities) Sync(ctx context.Context, in SyncInput) (SyncResult, error) {
	defer a.attempts.enter(in.Database.Name)()
	ctx, end := enduring(ctx)
	defer end()
	t := a.begin(ctx, in)
	res, err := a.Host.Sync(ctx, t.window(), t.passed)
	progress := t.start.Progress.After(progressOf(res.Progress))
	switch {
	case err != nil && ctx.Err() != nil:
		t.doubtIfUnknown(context.Cause(ctx))
		return SyncResult{}, t.cancelled(res.Passes > 0, progress)
	case err != nil:
		return SyncResult{}, t.failed(err, res.Passes > 0, progress)
	}
	return t.succeeded(res, progress), nil
}

// enduring returns a context that outlives a service that does not answer: the
// SDK cancels an activity's context as soon as one heartbeat could not be
// delivered, and a control plane that is away must not stop replication. A
// cancellation that was meant, by the workflow, the service or the worker's end,
// passes.
func enduring(ctx context.Context) (context.Context, context.CancelFunc) {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); meant(cause) {
			cancel(cause)
		}
	})
	return work, func() {
		stop()
		cancel(nil)
	}
}

// meant tells whether somebody wants the activity to end, for cause.
func meant(cause error) bool {
	var canceled *temporal.CanceledError
	var gone *serviceerror.NotFound
	var inactive *serviceerror.NamespaceNotActive
	var unknown *serviceerror.NamespaceNotFound
	return errors.Is(cause, context.Canceled) || errors.As(cause, &canceled) || errors.As(cause, &gone) ||
		errors.As(cause, &inactive) || errors.As(cause, &unknown) ||
		errors.Is(cause, activity.ErrActivityPaused) || errors.Is(cause, activity.ErrActivityReset)
}

// attempt is one attempt at a window.
type attempt struct {
	*HostActivities
	ctx   context.Context
	in    SyncInput
	start Beat // where the attempt before this one left off
	pulse *pulse[Beat]
}

// begin finds out how many failures stand: those that an earlier attempt left
// in the heartbeat, else those that the workflow knows of.
func (a *HostActivities) begin(ctx context.Context, in SyncInput) *attempt {
	start := Beat{Failures: in.Failures, Progress: Progress{TXID: in.Head}}
	if activity.HasHeartbeatDetails(ctx) {
		var last Beat
		if err := activity.GetHeartbeatDetails(ctx, &last); err == nil {
			start = last
		}
	}
	t := &attempt{HostActivities: a, ctx: ctx, in: in, start: start, pulse: startPulse(ctx, start, a.rhythm())}
	t.announce()
	return t
}

func (t *attempt) window() host.Window {
	return host.Window{
		Database:  t.in.Database.host(),
		Rules:     t.in.Rules.host(),
		Spec:      t.in.Spec,
		Interval:  time.Duration(t.in.Interval),
		Length:    time.Duration(t.in.Length),
		Failures:  t.start.Failures,
		Head:      t.start.TXID,
		TaskToken: activity.GetInfo(t.ctx).TaskToken,
		Stop:      activity.GetWorkerStopChannel(t.ctx),
	}
}

// passed is told of each pass.
func (t *attempt) passed(p host.Progress) {
	t.pulse.set(t.standing(p.Passes > 0, t.start.Progress.After(progressOf(p))))
}

// standing is the beat at progress: one pass that succeeds takes back all
// failures before it.
func (t *attempt) standing(succeeded bool, progress Progress) Beat {
	if succeeded {
		return Beat{Progress: progress}
	}
	return Beat{Failures: t.start.Failures, Type: t.start.Type, Progress: progress}
}

func (t *attempt) cancelled(succeeded bool, progress Progress) error {
	beat := t.standing(succeeded, progress)
	t.pulse.stop() // there is nobody to hear a heartbeat
	t.attempts.leave(t.in.Database.Name, t.in.Window, &beat)
	return temporal.NewCanceledError(beat)
}

func (t *attempt) failed(err error, succeeded bool, progress Progress) error {
	beat := t.standing(succeeded, progress)
	beat.Failures++
	typ, retried := judge(err, beat.Failures)
	beat.Type = typ
	t.pulse.stopWith(beat)
	t.attempts.leave(t.in.Database.Name, t.in.Window, &beat)
	t.tellFailure(err, beat, retried)
	return failed(err, beat)
}

func (t *attempt) succeeded(res host.Result, progress Progress) SyncResult {
	t.pulse.stop()
	t.attempts.leave(t.in.Database.Name, t.in.Window, nil)
	beat := t.standing(res.Passes > 0 || wentWell(res.Reason), progress)
	if beat.Failures == 0 {
		t.logRecovery(progress)
	}
	t.reports.withdraw(t.workflow())
	return SyncResult{Reason: res.Reason, Failures: beat.Failures, Progress: progress}
}

// wentWell tells whether a window that ended for that reason has seen that all is well.
func wentWell(reason host.Reason) bool {
	return reason == host.WindowOver || reason == host.Recovered || reason == host.Idle
}

// doubtIfUnknown says that the service knows nothing of the window, if that is why it
// was cancelled.
func (t *attempt) doubtIfUnknown(cause error) {
	if gone := new(serviceerror.NotFound); t.Doubt != nil && errors.As(cause, &gone) {
		t.Doubt(t.in.Database.Name)
	}
}
