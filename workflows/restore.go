package workflows

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast-db/holdfast/activities"
)

// RestoreDatabase restores a database to a path of a host, and tells registered
// databases that have to know: the one whose replica it reads, so that nothing of it
// expires meanwhile, and the one whose file it replaces, which is paused until then
// and goes on from the new file. However it ends, both are let go.
func RestoreDatabase(ctx workflow.Context, in RestoreRequest) (Restored, error) {
	r, err := beginRestore(ctx, in)
	if err != nil {
		return Restored{}, err
	}
	return r.run(ctx)
}

// restoration is one run of RestoreDatabase.
type restoration struct {
	apart workflow.Context // not cancelled with the workflow: for what has to be done all the same
	log   log.Logger
	id    string
	in    RestoreRequest
	st    RestoreStatus

	occupant string // registered database at the path
	held     bool   // and paused
	begun    bool   // an attempt may have left something on the host
}

func beginRestore(ctx workflow.Context, in RestoreRequest) (*restoration, error) {
	if err := in.validate(); err != nil {
		return nil, temporal.NewNonRetryableApplicationError(err.Error(), ErrRefused, nil)
	}
	r := &restoration{log: workflow.GetLogger(ctx), id: workflow.GetInfo(ctx).WorkflowExecution.ID, in: in}
	r.apart, _ = workflow.NewDisconnectedContext(ctx)
	r.st = RestoreStatus{ID: r.id, Request: in}
	r.enter(RestoreChecking)
	return r, workflow.SetQueryHandlerWithOptions(ctx, QueryStatus, func() (RestoreStatus, error) { return r.st, nil },
		workflow.QueryHandlerOptions{Description: "how the restore stands"})
}

// run is the story of a restore.
func (r *restoration) run(ctx workflow.Context) (Restored, error) {
	begun := workflow.Now(ctx)
	r.pin()
	err := r.examine(ctx)
	var done activities.RestoreResult
	if err == nil {
		done, err = r.bringBack(ctx)
	}
	if err != nil {
		r.undo()
	}
	r.resume()
	r.unpin()
	if err != nil {
		return Restored{}, r.fail(ctx, err)
	}
	return r.succeed(done, workflow.Now(ctx).Sub(begun)), nil
}

// pin has what is read kept, if there is somebody who lets it expire. Without it
// the restore can fail, and be made again, but not go wrong.
func (r *restoration) pin() {
	if r.in.Database == "" {
		return
	}
	var err error
	until := workflow.Now(r.apart).Add(pinLimit)
	r.st.Pinned, err = r.tell(r.in.Database, SignalPin, Pin{ID: r.id, TXID: r.in.TXID, At: r.in.At, Until: until})
	if err != nil {
		r.log.Warn("not pinned", "db", r.in.Database, "error", err)
	}
}

func (r *restoration) unpin() {
	if !r.st.Pinned {
		return
	}
	if _, err := r.tell(r.in.Database, SignalUnpin, Pin{ID: r.id}); err != nil {
		r.log.Warn("not unpinned; the pin ends by itself", "db", r.in.Database, "error", err)
	}
	r.st.Pinned = false
}

// tell signals a registered database's workflow. It returns false when there is none:
// the database is not registered any more.
func (r *restoration) tell(database, signal string, arg any) (there bool, err error) {
	err = workflow.SignalExternalWorkflow(r.apart, WorkflowID(database), "", signal, arg).Get(r.apart, nil)
	var unknown *temporal.UnknownExternalWorkflowExecutionError
	if errors.As(err, &unknown) {
		return false, nil
	}
	return err == nil, err
}

// examine lets the host judge before anything is begun, waits for a while for one that
// does not answer, and pauses what is to be replaced.
func (r *restoration) examine(ctx workflow.Context) error {
	patience := time.Duration(r.in.Patience)
	if patience <= 0 {
		patience = hostPatience
	}
	found, err := r.check(ctx, personWaits)
	if nobodyTookIt(err) {
		r.st.Until = workflow.Now(ctx).Add(patience)
		r.enter(RestoreHostOffline)
		found, err = r.check(ctx, patience)
	}
	if nobodyTookIt(err) {
		return refuse(ErrHostOffline, "host %s does not answer: no worker has looked at the restore for %s; start holdfast-worker there, then restore again", r.in.Host, patience)
	}
	r.st.Until = time.Time{}
	if err != nil {
		return err
	}
	if r.held {
		return nil
	}
	if r.occupant = found.Occupant; r.occupant == "" {
		r.occupant = r.in.Occupant
	}
	return r.pause()
}

func (r *restoration) check(ctx workflow.Context, within time.Duration) (found activities.RestoreResult, err error) {
	in := r.activity()
	in.Check = true
	err = workflow.ExecuteActivity(checkRestoreOptions(ctx, r.in.Host, within), activities.NameRestore, in).Get(ctx, &found)
	return found, err
}

// pause keeps the registered database at the path from being replicated while its file
// is replaced, which has to be wanted.
func (r *restoration) pause() error {
	if r.occupant == "" {
		return nil
	}
	signal, arg := SignalPause, any(Message{By: r.id, Reason: "its file is being replaced by " + r.id})
	if !r.in.Force {
		signal, arg = SignalUnpin, Pin{ID: r.id} // does nothing, but tells whether it is there
	}
	there, err := r.tell(r.occupant, signal, arg)
	switch {
	case err != nil:
		return refuse(activities.Internal, "pause %s, whose file is to be replaced: %v; restore again", r.occupant, err)
	case there && !r.in.Force:
		return refuse(activities.Registered, "restore to %s: it is the database %s on host %s; stop that one first, or replace its file with --force",
			r.in.Path, r.occupant, r.in.Host)
	case there:
		r.held, r.st.Held = true, r.occupant
	}
	return nil
}

// resume lets the database go on, from the new file or the old one.
func (r *restoration) resume() {
	if !r.held {
		return
	}
	if _, err := r.tell(r.occupant, SignalResume, Message{By: r.id}); err != nil {
		r.log.Error("not resumed; holdfast resume does it", "db", r.occupant, "error", err)
	}
	r.held, r.st.Held = false, ""
}

// bringBack restores. An attempt that no worker takes may wait for other restores, or
// for its host.
func (r *restoration) bringBack(ctx workflow.Context) (done activities.RestoreResult, err error) {
	for {
		r.enter(RestoreRestoring)
		r.begun = true
		err = workflow.ExecuteActivity(restoreOptions(ctx, r.in), activities.NameRestore, r.activity()).Get(ctx, &done)
		if !nobodyTookIt(err) {
			return done, err
		}
		r.enter(RestoreWaiting)
		if err := r.examine(ctx); err != nil {
			return done, err
		}
	}
}

// undo removes what attempts may have left that did not live to do so.
func (r *restoration) undo() {
	if !r.begun {
		return
	}
	r.enter(RestoreUndoing)
	in := r.activity()
	in.Discard = true
	if err := workflow.ExecuteActivity(discardOptions(r.apart, r.in.Host), activities.NameRestore, in).Get(r.apart, nil); err != nil {
		r.log.Warn("host did not look for leftovers; the next restore to the path removes them", "host", r.in.Host, "path", r.in.Path, "error", err)
	}
}

func (r *restoration) activity() activities.RestoreInput {
	return activities.RestoreInput{
		ID: r.id, Replica: r.in.Replica, Path: r.in.Path, TXID: r.in.TXID, At: r.in.At, Force: r.in.Force, Replace: r.occupant,
		Integrity: r.in.Integrity, Mode: r.in.Mode, Owner: r.in.Owner,
	}
}

func (r *restoration) succeed(done activities.RestoreResult, took time.Duration) Restored {
	result := Restored{
		Host: r.in.Host, Path: r.in.Path, Replica: r.in.Replica,
		TXID: done.TXID, Created: done.Created, Bytes: done.Bytes, Objects: done.Objects, Fetched: done.Fetched, Digested: done.Digested,
		Took: activities.Duration(took),
	}
	if r.in.Force {
		result.Replaced = r.occupant
	}
	r.st.Result = &result
	r.enter(RestoreDone)
	return result
}

// fail returns err as whoever waits is to see it. What an attempt met that is not made
// again because somebody has cancelled is nobody's problem.
func (r *restoration) fail(ctx workflow.Context, err error) error {
	if ctx.Err() != nil || temporal.IsCanceledError(err) {
		r.enter(RestoreCancelled)
		return temporal.NewCanceledError()
	}
	err = r.forPeople(err)
	typ := activities.Internal
	if app := asApplication(err); app != nil {
		typ = app.Type()
	}
	r.st.Problem = &Problem{Type: typ, Message: message(err), At: workflow.Now(r.apart)}
	r.enter(RestoreFailed)
	return err
}

// forPeople takes an activity's error out of what Temporal wraps around it.
func (r *restoration) forPeople(err error) error {
	var timeout *temporal.TimeoutError
	app := asApplication(err)
	switch {
	case errors.As(err, &timeout) && app != nil:
		return refuse(app.Type(), "given up after %s: %s", restoreLimit, app.Message())
	case errors.As(err, &timeout):
		return refuse(ErrHostOffline, "host %s does not answer: %s; look at its worker's log", r.in.Host, timeout.Message())
	case app != nil:
		return temporal.NewNonRetryableApplicationError(app.Message(), app.Type(), nil)
	}
	return err
}

// nobodyTookIt tells whether err says that no worker took an activity in time.
func nobodyTookIt(err error) bool {
	var timeout *temporal.TimeoutError
	return errors.As(err, &timeout) && timeout.TimeoutType() == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START
}

// enter makes p the phase.
func (r *restoration) enter(p RestorePhase) {
	if p != r.st.Phase {
		r.st.Phase, r.st.Since = p, workflow.Now(r.apart)
		r.log.Info("restore phase", "phase", string(p), "host", r.in.Host, "path", r.in.Path)
	}
	workflow.SetCurrentDetails(r.apart, r.st.Markdown())
}

// validate says what r is lacking.
func (r RestoreRequest) validate() error {
	for _, f := range []struct{ name, have string }{
		{"name", r.Name}, {"host", r.Host}, {"path", r.Path}, {"replica", r.Replica},
	} {
		if f.have == "" {
			return fmt.Errorf("restore %q: %s is missing", r.Name, f.name)
		}
	}
	if !filepath.IsAbs(r.Path) {
		return fmt.Errorf("restore %s: path %q is not absolute", r.Name, r.Path)
	}
	if r.TXID != 0 && !r.At.IsZero() {
		return fmt.Errorf("restore %s: both TXID %s and a time are wanted; name one of them", r.Name, r.TXID)
	}
	return nil
}
