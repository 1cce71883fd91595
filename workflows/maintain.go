package workflows

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/superfly/ltx"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast-db/holdfast/activities"
)

// keeping is a run of maintenance under way.
type keeping struct {
	since    time.Time
	txid     ltx.TXID // the head when it began
	pins     []Pin
	outdated bool // what it was asked for is not what is wanted any more
}

// maintain keeps the replica small for as long as the workflow runs, beside the windows
// and without a say in them: one run at a time, begun when due says so.
func (r *replication) maintain(ctx workflow.Context) {
	for {
		r.awaitMaintenance(ctx)
		r.maintainOnce(ctx)
	}
}

// awaitMaintenance returns when a run is due. The ends of windows are its clock, which
// costs nothing: a timer runs only where no window is going to end. One that runs is left
// alone until it fires or would be late, however often windows come and go.
func (r *replication) awaitMaintenance(ctx workflow.Context) {
	for {
		_ = workflow.Await(ctx, func() bool { return r.maintenanceIsDue(ctx) || r.unclocked() })
		if r.maintenanceIsDue(ctx) {
			return
		}
		at, _ := r.maintenanceDue()
		options := workflow.AwaitOptions{
			Timeout:      at.Sub(workflow.Now(ctx)),
			TimerOptions: workflow.TimerOptions{Summary: "maintenance is due then"},
		}
		_, _ = workflow.AwaitWithOptions(ctx, options, func() bool {
			earlier, ok := r.maintenanceDue()
			return r.maintenanceIsDue(ctx) || ok && earlier.Before(at)
		})
	}
}

// maintenanceDue is when the next run is due; ok is false for never.
func (r *replication) maintenanceDue() (at time.Time, ok bool) {
	pace := r.in.Pace.filled(r.st.Spec.Settings.Level0)
	return r.st.Maintenance.due(r.st.Progress.TXID, pace)
}

// maintenanceIsDue tells whether a run is due that may begin.
func (r *replication) maintenanceIsDue(ctx workflow.Context) bool {
	at, ok := r.maintenanceDue()
	return ok && !at.After(workflow.Now(ctx)) && r.maintainable()
}

// clockSlack is how much later than it is due a run may begin for want of a window's end:
// as much as between two ends of windows, by default.
const clockSlack = 10 * time.Minute

// unclocked tells whether a run will be due, and no window is going to end by then.
func (r *replication) unclocked() bool {
	at, ok := r.maintenanceDue()
	if !ok || !r.maintainable() {
		return false
	}
	if r.window != 0 {
		return r.failing() || r.blocked()
	}
	return r.blocked() || r.st.NotBefore.After(at.Add(clockSlack))
}

// maintainable tells whether the replica is this workflow's to maintain: there is one, it
// was not taken by another writer, and the workflow does not end. A pause is about the
// database; what was promised of its past goes on to hold.
func (r *replication) maintainable() bool {
	fenced := r.st.Attention && r.st.Problem != nil && r.st.Problem.Type == activities.Fenced
	return r.st.Synced && !fenced && !r.drained && !r.ending()
}

// maintainOnce makes one run. It is cancelled where it must not go on, without waiting
// for its end: whatever it has done stays done, and is right. It is made again then, as
// nothing is remembered of it.
func (r *replication) maintainOnce(ctx workflow.Context) {
	r.unpinExpired(workflow.Now(ctx))
	k := &keeping{since: workflow.Now(ctx), txid: r.st.Progress.TXID, pins: r.st.Pins}
	in := r.maintainInput()
	r.keeping = k
	r.refresh(ctx)
	within, cancel := workflow.WithCancel(maintainOptions(ctx, r.st.Spec.Settings, r.maintainSummary()))
	run := workflow.ExecuteActivity(within, activities.NameMaintain, in)
	_ = workflow.Await(ctx, func() bool { return run.IsReady() || k.outdated || !r.maintainable() })
	if !run.IsReady() {
		cancel()
	}
	var res activities.MaintainResult
	err := run.Get(ctx, &res)
	r.keeping = nil
	r.maintained(ctx, k, res, err)
	r.refresh(ctx)
}

func (r *replication) maintainInput() activities.MaintainInput {
	s := r.st.Spec.Settings
	in := activities.MaintainInput{
		Name: r.st.Spec.Name, Replica: r.st.Spec.Replica,
		Window: activities.Duration(s.Retention), Level0: activities.Duration(s.Level0), Keep: s.StoreExpires,
	}
	for _, p := range r.st.Pins {
		in.Pins = append(in.Pins, activities.Target{TXID: p.TXID, At: p.At})
	}
	return in
}

func (r *replication) maintainSummary() string {
	return fmt.Sprintf("merge and expire up to TXID %s, %d puts after the last time", r.st.Progress.TXID, r.st.Maintenance.puts(r.st.Progress.TXID))
}

// maintained takes up how a run ended. It never touches what the windows go by.
func (r *replication) maintained(ctx workflow.Context, k *keeping, res activities.MaintainResult, err error) {
	m, now := &r.st.Maintenance, workflow.Now(ctx)
	var canceled *temporal.CanceledError
	switch {
	case k.outdated:
	case errors.As(err, &canceled):
		m.Rest = now.Add(stoppedRests) // whoever did that gets a moment
	case err != nil:
		typ, message := maintenanceError(err)
		m.failed(now, typ, message)
		r.log.Error("maintenance failed", "db", r.st.Spec.Name, "type", typ, "error", message)
	default:
		m.ended(k.since, now, k.txid, r.st.Progress.TXID, res, firstEnd(k.pins))
	}
}

// maintenanceError takes an error out of what Temporal wraps around it.
func maintenanceError(err error) (typ, message string) {
	var timeout *temporal.TimeoutError
	var app *temporal.ApplicationError
	switch {
	case errors.As(err, &timeout) && timeout.TimeoutType() == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START:
		return ErrNoMaintainer, fmt.Sprintf("no worker took it within %s; start a holdfast-worker with maintenance.slots above 0", maintainerWaits)
	case errors.As(err, &app):
		return app.Type(), app.Message()
	case errors.As(err, &timeout):
		return activities.Internal, cmp.Or(timeout.Message(), "the worker that made it was lost") + "; it is made again"
	}
	return activities.Internal, err.Error()
}

// outdate ends the run under way, as it was asked for what is not wanted any more.
func (r *replication) outdate() {
	if r.keeping != nil {
		r.keeping.outdated = true
	}
}
