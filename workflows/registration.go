package workflows

import (
	"cmp"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast-db/holdfast/activities"
)

// admit lets the host judge a database that was never judged. What is plainly
// wrong is refused; a host that does not answer is for the windows to wait for,
// and so is a store that cannot be reached, unless somebody looks on: a store
// that never answered is more often misspelt than away.
func (r *replication) admit(ctx workflow.Context) error {
	if r.st.Admitted {
		return nil
	}
	r.refresh(ctx)
	err := r.check(ctx, r.st.Spec)
	if refusing(err, r.in.Wait) {
		r.refusal = err
		return err
	}
	r.st.Admitted, r.st.HostOffline = true, hasType(err, ErrHostOffline)
	return nil
}

// admission waits for admit's verdict.
func (r *replication) admission(ctx workflow.Context) error {
	_ = workflow.Await(ctx, func() bool { return r.st.Admitted || r.refusal != nil })
	return r.refusal
}

// check asks the host whether spec can be replicated.
func (r *replication) check(ctx workflow.Context, spec Spec) error {
	err := workflow.ExecuteActivity(checkOptions(ctx, spec.Host), activities.NameSyncOnce,
		activities.SyncOnceInput{Database: spec.Database(r.st.Writer), Check: true}).Get(ctx, nil)
	if err == nil {
		return nil
	}
	return forPeople(err, spec.Host)
}

// Refuses tells whether an error of activities.Check is one that waiting does not mend.
func Refuses(err error) bool { return refusing(err, false) }

// refusing tells whether err, from check, is one that waiting does not mend, or
// not while somebody looks on.
func refusing(err error, watched bool) bool {
	return hasType(err, activities.Fenced, activities.Misconfigured, activities.DatabaseMissing, activities.ReplicaDamaged) ||
		watched && hasType(err, activities.StoreUnavailable)
}

func (r *replication) mayRegister(in Registration) error {
	if err := r.open(); err != nil {
		return err
	}
	if err := in.validate(); err != nil {
		return temporal.NewNonRetryableApplicationError(err.Error(), ErrRefused, nil)
	}
	have := r.st.Spec
	switch {
	case in.Name != have.Name:
		return refuse(ErrRefused, "register %s: this is the workflow of %s", in.Name, have.Name)
	case in.Move:
		return nil
	case in.Host != have.Host || in.Path != have.Path:
		return refuse(ErrRefused, "register %s: the name belongs to %s on host %s, not to %s on host %s; choose another name, or move it with --move",
			in.Name, have.Path, have.Host, in.Path, in.Host)
	case in.Replica != have.Replica && r.st.Synced && !r.st.Attention:
		return refuse(ErrRefused, "register %s: it is replicated to %s, not to %s; change it with --move", in.Name, have.Replica, in.Replica)
	}
	return nil
}

// onRegister answers at once for a database that is registered just so.
func (r *replication) onRegister(ctx workflow.Context, in Registration) (Registered, error) {
	r.accept(ctx, "")
	if err := r.admission(ctx); err != nil {
		return Registered{}, err
	}
	changed, err := r.amend(ctx, in)
	if err != nil {
		return Registered{}, err
	}
	if in.Wait {
		if err := r.firstPass(ctx); err != nil {
			return Registered{}, err
		}
	}
	r.refresh(ctx)
	return Registered{Status: r.status(), Changed: changed, Answering: !r.st.HostOffline}, nil
}

// amend makes a registration hold where it differs, or where something waits for
// a correction: then the host judges first, and what it refuses changes nothing.
func (r *replication) amend(ctx workflow.Context, in Registration) (changed bool, err error) {
	have, want := r.st.Spec, in.Spec
	want.Settings = want.Settings.filled()
	if sameReplica(have, want) {
		untaken := !r.st.Synced || r.st.Attention // else there is nothing to take
		want.Adopt = have.Adopt || want.Adopt && untaken
		want.TakeOver = have.TakeOver || want.TakeOver && untaken
	}
	changed = have != want
	if !changed && !r.st.Attention {
		return false, nil
	}
	offline := r.st.HostOffline
	if r.st.Attention || !samePlace(have, want) || !sameReplica(have, want) {
		err := r.check(ctx, want)
		if refusing(err, in.Wait) {
			return false, err
		}
		offline = hasType(err, ErrHostOffline)
	}
	r.adopt(ctx, want)
	r.st.HostOffline = offline
	return changed, nil
}

func samePlace(a, b Spec) bool   { return a.Host == b.Host && a.Path == b.Path }
func sameReplica(a, b Spec) bool { return a.Replica == b.Replica }

// adopt puts want in force, between windows. A database that moves is closed
// where it was, if anybody answers there.
func (r *replication) adopt(ctx workflow.Context, want Spec) {
	r.betweenWindows(ctx, func() { r.become(ctx, want) })
}

// betweenWindows ends the window under way, does what is to be done, and lets the next
// one begin.
func (r *replication) betweenWindows(ctx workflow.Context, do func()) {
	r.holds++
	_ = workflow.Await(ctx, func() bool { return r.window == 0 })
	do()
	r.holds--
}

func (r *replication) become(ctx workflow.Context, want Spec) {
	if !samePlace(r.st.Spec, want) || !sameReplica(r.st.Spec, want) {
		r.release(ctx)
	}
	if !sameReplica(r.st.Spec, want) {
		r.st.Progress = activities.Progress{}
		r.st.Verified = activities.Verification{}
		r.st.Synced = false
		r.st.Maintenance, r.st.Pins = Maintenance{}, nil
		r.outdate()
	}
	r.retain(want.Settings)
	moved := !samePlace(r.st.Spec, want) || !sameReplica(r.st.Spec, want)
	r.st.Spec = want
	if moved {
		r.relabel(ctx)
	}
	r.st.Attention, r.nudged = false, true
}

// retain has the replica maintained at once if want keeps something else of the past
// than the settings do.
func (r *replication) retain(want Settings) {
	if !r.st.Spec.Settings.sameRetention(want) {
		r.st.Maintenance.Due, r.st.Maintenance.Rest = true, time.Time{}
		r.outdate()
	}
}

// relabel makes listings show where the database is now.
func (r *replication) relabel(ctx workflow.Context) {
	if err := workflow.UpsertMemo(ctx, Memo(r.st.Spec)); err != nil {
		r.log.Error("memo not written", "error", err)
	}
	r.st.Phase = "" // and with it the search attributes
}

// firstPass waits until a pass has succeeded, or until waiting makes no sense.
// Passes that failed before do not keep anybody waiting for the next one.
func (r *replication) firstPass(ctx workflow.Context) error {
	if !r.settled() && r.failing() {
		r.nudged = true
	}
	for !r.settled() {
		if !r.failing() {
			_ = workflow.Await(ctx, func() bool { return r.settled() || r.failing() })
			continue
		}
		if problem := r.keepsFailing(ctx); problem != nil {
			return refuse(problem.Type, "%s is registered, but no pass has succeeded yet: %s; it is tried again, see holdfast status %s",
				r.st.Spec.Name, cmp.Or(problem.Message, "the reason is not known yet"), r.st.Spec.Name)
		}
	}
	switch {
	case r.st.Synced || r.st.HostOffline || r.paused():
		return nil
	case r.drained:
		return temporal.NewApplicationError(fmt.Sprintf("%s is about to continue as new; send it again", r.st.Spec.Name), ErrContinueAsNewPending)
	case r.ending():
		return refuse(ErrStopping, "%s is being stopped", r.st.Spec.Name)
	}
	return refuse(r.st.Problem.Type, "%s", r.st.Problem.Message)
}

// keepsFailing gives passes that fail some more time, and returns what keeps
// them from succeeding if that was not enough.
func (r *replication) keepsFailing(ctx workflow.Context) *Problem {
	options := workflow.AwaitOptions{
		Timeout:      firstPassPatience,
		TimerOptions: workflow.TimerOptions{Summary: "somebody waits for a first pass that fails"},
	}
	if better, _ := workflow.AwaitWithOptions(ctx, options, func() bool { return r.settled() || !r.failing() }); better {
		return nil
	}
	return r.problem()
}

// settled tells whether there is nothing to wait for before a first pass has
// succeeded.
func (r *replication) settled() bool {
	missing := r.st.Problem != nil && r.st.Problem.Type == activities.DatabaseMissing
	return r.st.Synced || r.st.Attention || missing || r.st.HostOffline || r.paused() || r.drained || r.ending()
}
