package workflows

import (
	"errors"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast-db/holdfast/activities"
)

// answer sets the handlers of the query and of all updates.
func (r *replication) answer(ctx workflow.Context) error {
	return errors.Join(
		workflow.SetQueryHandlerWithOptions(ctx, QueryStatus, func() (Status, error) { return r.status(), nil },
			workflow.QueryHandlerOptions{Description: "how the replication stands"}),
		handle(ctx, UpdateRegister, "register the database, or look whether it is", r.mayRegister, r.onRegister),
		handle(ctx, UpdateReconfigure, "change some settings of the database", r.mayReconfigure, r.onReconfigure),
		handle(ctx, UpdatePause, "pause, and return when nothing is being written any more", r.mayMessage, r.onPauseAndWait),
		handle(ctx, UpdateResume, "resume, and return when it goes on", r.mayMessage, r.onResumeAndWait),
		handle(ctx, UpdateSync, "make a pass now and return what is durable then", r.maySync, r.onSync),
		handle(ctx, UpdateSnapshot, "put a snapshot of the database that needs no object before it", r.maySnapshot, r.onSnapshot),
		handle(ctx, UpdateStop, "make a final pass, close the database and end", r.mayStop, r.onStop),
	)
}

// handle sets one update's handler. Handlers run to their end also when the
// workflow is cancelled.
func handle[In, Out any](ctx workflow.Context, name, description string, may func(In) error, do func(workflow.Context, In) (Out, error)) error {
	handler := func(ctx workflow.Context, in In) (Out, error) {
		ctx, _ = workflow.NewDisconnectedContext(ctx)
		return do(ctx, in)
	}
	return workflow.SetUpdateHandlerWithOptions(ctx, name, handler, workflow.UpdateHandlerOptions{
		Validator:   func(_ workflow.Context, in In) error { return may(in) },
		Description: description,
	})
}

// open refuses everybody when the run, or the replication, is about to end.
func (r *replication) open() error {
	switch {
	case r.drained || r.dueForNewRun():
		return temporal.NewApplicationError(fmt.Sprintf("%s is about to continue as new; send it again", r.st.Spec.Name), ErrContinueAsNewPending)
	case r.ending():
		return refuse(ErrStopping, "%s is being stopped; register it again afterwards", r.st.Spec.Name)
	}
	return nil
}

func refuse(typ, format string, args ...any) error {
	return temporal.NewNonRetryableApplicationError(fmt.Sprintf(format, args...), typ, nil)
}

// accept notes an update that has passed its validator, under its message's id
// where there is one: a sender that got no answer may have sent a signal, too.
// It returns false for one that is known.
func (r *replication) accept(ctx workflow.Context, id string) (fresh bool) {
	info := workflow.GetCurrentUpdateInfo(ctx)
	if id == "" {
		id = info.ID
	}
	fresh = r.catchUp(ctx, id)
	r.st.Handled.update(id)
	r.log.Info("update handled", "update", info.Name, "id", id)
	return fresh
}

// changeSignalsFirst is the change by which an update finds the signals before it dealt
// with, and does not do again what one of them has done.
const changeSignalsFirst = "signals-first"

// catchUp deals with the signals that came before an update: the SDK runs an update's
// handler before anything else in a workflow task, so that a resume and then an update
// that pauses would end up running. It reports whether the update's id is not among those
// that were handled.
func (r *replication) catchUp(ctx workflow.Context, id string) (fresh bool) {
	if r.inbox.unread() == 0 && !r.st.Handled.knows(id) {
		return true
	}
	if workflow.GetVersion(ctx, changeSignalsFirst, workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return true
	}
	r.inbox.read(ctx)
	return !r.st.Handled.knows(id)
}

func (r *replication) mayMessage(Message) error { return r.open() }

// onPauseAndWait returns when no window is under way.
func (r *replication) onPauseAndWait(ctx workflow.Context, m Message) (Status, error) {
	if r.accept(ctx, m.ID) {
		r.pause(m)
	}
	_ = workflow.Await(ctx, func() bool {
		return r.window == 0 && r.st.PauseTold && !r.telling || !r.paused() || r.ending() || r.drained
	})
	r.refresh(ctx)
	return r.status(), nil
}

// onResumeAndWait returns when a window is under way, or would be but for
// something else.
func (r *replication) onResumeAndWait(ctx workflow.Context, m Message) (Status, error) {
	if r.accept(ctx, m.ID) {
		r.resume(m)
	}
	_ = workflow.Await(ctx, func() bool {
		return r.window != 0 && !r.nudged || r.blocked() || r.ending() || r.drained || r.refusal != nil
	})
	r.refresh(ctx)
	return r.status(), nil
}

func (r *replication) maySync(Message) error {
	if err := r.open(); err != nil {
		return err
	}
	if r.inbox.unread() > 0 { // a resume, perhaps, which a validator may not read
		return nil
	}
	return r.running()
}

// running refuses while paused.
func (r *replication) running() error {
	if r.paused() {
		return refuse(ErrPaused, "%s is paused; resume it first", r.st.Spec.Name)
	}
	return nil
}

// onSync makes a pass beside the windows. It counts as no failure; a success
// ends a backoff.
func (r *replication) onSync(ctx workflow.Context, m Message) (Synced, error) {
	r.accept(ctx, m.ID)
	if err := r.running(); err != nil {
		return Synced{}, err
	}
	if err := r.admission(ctx); err != nil {
		return Synced{}, err
	}
	p, err := r.pass(ctx, "sync now, somebody waits")
	if err != nil {
		return Synced{}, err
	}
	r.refresh(ctx)
	return Synced{p}, nil
}

// pass makes one pass on the control queue.
func (r *replication) pass(ctx workflow.Context, why string) (p activities.Progress, err error) {
	return r.passAs(ctx, activities.SyncOnceInput{Database: r.database(), Head: r.st.Progress.TXID}, why)
}

func (r *replication) passAs(ctx workflow.Context, in activities.SyncOnceInput, why string) (p activities.Progress, err error) {
	err = workflow.ExecuteActivity(passOptions(ctx, r.st.Spec.Host, r.st.Spec.Settings, why), activities.NameSyncOnce, in).Get(ctx, &p)
	if err != nil {
		return activities.Progress{}, forPeople(err, r.st.Spec.Host)
	}
	r.proven(p)
	return p, nil
}

// forPeople takes an activity's error out of what Temporal wraps around it.
func forPeople(err error, host string) error {
	var timeout *temporal.TimeoutError
	var app *temporal.ApplicationError
	switch {
	case errors.As(err, &timeout) && timeout.TimeoutType() == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START:
		return refuse(ErrHostOffline, "host %s does not answer: no worker took the task within %s; start holdfast-worker there", host, personWaits)
	case errors.As(err, &timeout):
		return refuse(ErrHostOffline, "host %s does not answer: %s; look at its worker's log", host, timeout.Message())
	case errors.As(err, &app):
		return temporal.NewNonRetryableApplicationError(app.Message(), app.Type(), nil)
	}
	return err
}

// hasType tells whether err is an application error of typ.
func hasType(err error, types ...string) bool {
	var app *temporal.ApplicationError
	if !errors.As(err, &app) {
		return false
	}
	for _, typ := range types {
		if app.Type() == typ {
			return true
		}
	}
	return false
}

func asApplication(err error) *temporal.ApplicationError {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app
	}
	return nil
}

// message is err's own message, without the type that Temporal appends.
func message(err error) string {
	if app := asApplication(err); app != nil {
		return app.Message()
	}
	return err.Error()
}
