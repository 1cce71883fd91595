// Package workflows decides what happens to a database and when: order, waiting,
// retrying, remembering. It touches neither files nor the store; that is what
// activities on the database's host are for.
//
// ReplicateDatabase is one workflow per database, for ever. Its history holds
// names, positions and counts, never pages, and nothing that is secret.
//
// The contract with those who start, signal and ask is in api.go; every time-out
// and retry policy, with its reason, in policies.go. docs/workflows.md tells how
// it fits together.
package workflows

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast-db/holdfast/activities"
)

// ReplicateDatabase keeps one database replicated until it is stopped or
// cancelled. It never ends by itself, but for a database that is refused before
// anything was replicated: nothing is to be left behind then.
func ReplicateDatabase(ctx workflow.Context, in Input) (Status, error) {
	r, err := begin(ctx, in)
	if err != nil {
		return Status{}, err
	}
	return r.run(r.ctx)
}

// replication is one run of ReplicateDatabase. Its methods take the context of
// the coroutine that calls them; none of those is cancelled with the workflow,
// because what has begun on the host is always brought to an end.
type replication struct {
	ctx       workflow.Context // the main coroutine's
	cancelled func() bool      // whether the workflow was
	log       log.Logger
	in        Input
	st        State
	inbox     inbox
	windows   int // of this run that have ended
	window    int // number of the window under way, 0 for none
	reported  *failing
	nudged    bool     // go on now, whatever there is to wait for
	roused    bool     // the window under way was told of a change, so that it cannot have seen all
	telling   bool     // the host is being told of a pause
	forgiven  bool     // a pass beside the window has taken back its failures
	keeping   *keeping // the run of maintenance under way
	holds     int      // handlers that want no window to begin
	drained   bool     // the run is about to end, so nobody may be let in
	refusal   error
	stop      *stopping
}

// begin takes over from the run before, if there was one.
func begin(ctx workflow.Context, in Input) (*replication, error) {
	in.Settings = in.Settings.filled()
	if in.MaxWindows <= 0 {
		in.MaxWindows = maxWindows
	}
	if err := in.validate(); err != nil {
		return nil, temporal.NewNonRetryableApplicationError(err.Error(), ErrRefused, nil)
	}
	outer := ctx
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	r := &replication{ctx: ctx, in: in, log: workflow.GetLogger(ctx), cancelled: func() bool { return outer.Err() != nil }}
	if in.State != nil {
		r.st = *in.State
		r.st.Spec.Settings = r.st.Spec.Settings.filled() // what a later version has added, too
	} else {
		r.st = State{Spec: in.Spec, Writer: mint(ctx), Phase: Starting, Since: workflow.Now(ctx), Admitted: in.Judged} // as StartOptions says
	}
	r.st.Runs++
	r.inbox.open(ctx, r)
	if err := r.answer(ctx); err != nil {
		return nil, err
	}
	r.listen(ctx)
	if in.Maintain {
		workflow.GoNamed(ctx, "maintenance", r.maintain)
	}
	return r, nil
}

// mint returns a new writer's id: 128 random bits, in hex.
func mint(ctx workflow.Context) (id string) {
	options := workflow.SideEffectOptions{Summary: "mint the writer's id"}
	_ = workflow.SideEffectWithOptions(ctx, options, func(workflow.Context) any {
		var bits [16]byte
		_, _ = rand.Read(bits[:]) // never fails
		return hex.EncodeToString(bits[:])
	}).Get(&id)
	return id
}

// run is the story of a database.
func (r *replication) run(ctx workflow.Context) (Status, error) {
	if err := r.admit(ctx); err != nil {
		return r.leave(ctx, err)
	}
	for {
		r.awaitTurn(ctx)
		switch {
		case r.ending():
			if over, err := r.end(ctx); over {
				return r.leave(ctx, err)
			}
		case r.dueForNewRun():
			if r.drain(ctx) {
				return r.status(), workflow.NewContinueAsNewError(ctx, TypeReplicateDatabase, r.successor())
			}
		default:
			r.settle(ctx, r.syncWindow(ctx))
		}
	}
}

// awaitTurn returns when there is something to do: a window, the end, or a new
// run. It waits as long as the database is paused or needs a person, and until
// the next window is due.
func (r *replication) awaitTurn(ctx workflow.Context) {
	for {
		r.refresh(ctx)
		if r.ready(ctx) {
			return
		}
		if r.untold() {
			r.tellPause(ctx)
			continue
		}
		if r.blocked() {
			r.awaitRelease(ctx)
			continue
		}
		options := workflow.AwaitOptions{
			Timeout:      r.st.NotBefore.Sub(workflow.Now(ctx)),
			TimerOptions: workflow.TimerOptions{Summary: r.waitingFor(ctx)},
		}
		_, _ = workflow.AwaitWithOptions(ctx, options, func() bool { return r.blocked() || r.ready(ctx) })
	}
}

// changeTellAgain is the change by which a pause that follows a resume at once is told.
const changeTellAgain = "tell-again"

// awaitRelease returns when nothing keeps a window from beginning any more, when there is
// something else to do, or when another pause has followed a resume so soon that the
// database was never seen without one.
func (r *replication) awaitRelease(ctx workflow.Context) {
	released := func() bool { return !r.blocked() || r.ready(ctx) }
	_ = workflow.Await(ctx, func() bool { return released() || r.untold() })
	if !released() && workflow.GetVersion(ctx, changeTellAgain, workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		_ = workflow.Await(ctx, released)
	}
}

// untold tells whether the host has to be told of a pause.
func (r *replication) untold() bool { return r.paused() && !r.st.PauseTold }

// changeTellPause is the change by which a host is told of a pause also between windows.
const changeTellPause = "tell-pause"

// tellPause tells the host of a pause that began while no window was under way: while
// the service is away, or when a parked database changes, it goes on by itself. A host
// that does not answer asks when it is back.
func (r *replication) tellPause(ctx workflow.Context) {
	r.st.PauseTold = true
	if r.st.HostOffline || workflow.GetVersion(ctx, changeTellPause, workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return
	}
	r.telling = true
	err := workflow.ExecuteActivity(stopSyncOptions(ctx, r.st.Spec.Host), activities.NameStopSync,
		activities.StopSyncInput{Name: r.st.Spec.Name, Window: r.st.Windows, Hold: true}).Get(ctx, nil)
	r.telling = false
	if err != nil {
		r.log.Warn("host not told of the pause", "host", r.st.Spec.Host, "db", r.st.Spec.Name, "error", err)
	}
}

// ready tells whether awaitTurn has an end.
func (r *replication) ready(ctx workflow.Context) bool {
	due := r.nudged || !workflow.Now(ctx).Before(r.st.NotBefore)
	return r.ending() || r.dueForNewRun() || !r.blocked() && due
}

// blocked tells whether no window may begin, however late it is.
func (r *replication) blocked() bool { return r.paused() || r.st.Attention || r.holds > 0 }

// mustYield tells whether a window under way has to make room.
func (r *replication) mustYield() bool {
	return r.paused() || r.holds > 0 || r.nudged || r.ending() || r.dueForNewRun()
}

// dueForNewRun tells whether the history has grown long enough. It is decided
// between windows; the server's suggestion ends a window for it, so that it
// does not keep people waiting. A run of maintenance may come to its end first, for as
// many windows again; with the suggestion, it is made again by the next run.
func (r *replication) dueForNewRun() bool {
	most := r.in.MaxWindows
	if r.keeping != nil {
		most *= 2
	}
	return r.window == 0 && r.windows >= most || workflow.GetInfo(r.ctx).GetContinueAsNewSuggested()
}

// drain waits until no message is left that the end of the run would lose, and
// reports whether the run may end. From here on updates are refused, so that it
// comes to an end; no handler may wait for a window meanwhile.
func (r *replication) drain(ctx workflow.Context) bool {
	r.drained = true
	_ = workflow.Await(ctx, func() bool { return r.ending() || r.quiet(ctx) })
	r.drained = !r.ending()
	return r.drained
}

// quiet tells whether nobody waits for an answer and no signal is unread.
func (r *replication) quiet(ctx workflow.Context) bool {
	return workflow.AllHandlersFinished(ctx) && r.inbox.unread() == 0
}

// successor is the input of the next run.
func (r *replication) successor() Input {
	in := r.in
	in.Spec, in.State, in.Maintain = r.st.Spec, &r.st, true
	return in
}

// leave ends the run for good, once everybody has their answer.
func (r *replication) leave(ctx workflow.Context, err error) (Status, error) {
	_ = workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
	return r.status(), err
}

// waitingFor says in the UI what a timer is for.
func (r *replication) waitingFor(ctx workflow.Context) string {
	wait := r.st.NotBefore.Sub(workflow.Now(ctx)).Round(time.Millisecond)
	switch {
	case r.st.Parked:
		return fmt.Sprintf("idle; a pass in %s, unless the host tells of a change before", wait)
	case r.st.Problem == nil:
		return fmt.Sprintf("next window in %s", wait)
	}
	return fmt.Sprintf("backoff of %s after %d consecutive failures, last %s", wait, r.st.Failures, r.st.Problem.Type)
}

// validate says what in is lacking.
func (s Spec) validate() error {
	for _, f := range []struct{ name, have string }{
		{"name", s.Name}, {"host", s.Host}, {"path", s.Path}, {"replica", s.Replica},
	} {
		if f.have == "" {
			return fmt.Errorf("register %q: %s is missing", s.Name, f.name)
		}
	}
	if !filepath.IsAbs(s.Path) {
		return fmt.Errorf("register %s: path %q is not absolute", s.Name, s.Path)
	}
	if err := s.Settings.Validate(); err != nil {
		return fmt.Errorf("register %s: %w", s.Name, err)
	}
	return nil
}
