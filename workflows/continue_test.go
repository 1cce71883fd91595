package workflows_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/workflows"
)

// mustSuccessor is the input with which the run continues as new.
func mustSuccessor(t *testing.T, env *testsuite.TestWorkflowEnvironment) (in workflows.Input) {
	t.Helper()
	var next *workflow.ContinueAsNewError
	if !errors.As(env.GetWorkflowError(), &next) {
		t.Fatalf("got %v, want Continue-As-New", env.GetWorkflowError())
	}
	if next.WorkflowType.Name != workflows.TypeReplicateDatabase {
		t.Errorf("continues as %s", next.WorkflowType.Name)
	}
	if err := converter.GetDefaultDataConverter().FromPayloads(next.Input, &in); err != nil {
		t.Fatal(err)
	}
	return in
}

func TestARunEndsAfterItsWindowsAndTheNextGoesOn(t *testing.T) {
	f := &fakeHost{script: []error{ok, ok, disk, disk, disk}}
	env := newEnv(t, f)
	in := minute()
	in.MaxWindows = 3
	at(env, 10*time.Second, func() { env.SignalWorkflow(workflows.SignalWake, workflows.Message{ID: "w1"}) })
	start(env, in)
	next := mustSuccessor(t, env)
	if next.State == nil || next.State.Failures != 3 || next.State.Windows != 3 || next.State.Progress.TXID != 2 || next.MaxWindows != 3 {
		t.Fatalf("got %+v", next)
	}
	ended := env.Now()

	g := &fakeHost{script: []error{ok}}
	env = newEnv(t, g)
	env.SetStartTime(ended.Add(time.Second))
	g.done = env.CancelWorkflow
	at(env, 2*time.Second, func() { env.SignalWorkflow(workflows.SignalPause, workflows.Message{ID: "w1"}) })
	start(env, next)
	if wait := g.attempts[0].Sub(ended); wait != 4*time.Minute {
		t.Errorf("the backoff of 4 minutes became %s", wait)
	}
	if first := g.windows[0]; first.Failures != 3 || first.Head != 2 || first.Writer != next.State.Writer || first.Length != 0 {
		t.Errorf("first window of the next run: %+v", first)
	}
	if n := g.called("Check /shop.db after 0"); n != 0 {
		t.Errorf("checked again")
	}
	if s := mustStatus(t, env); s.Runs != 2 || s.Paused || !slices.Contains(s.Handled.Recent, "w1") || s.Windows < 4 {
		t.Errorf("got %+v", s)
	}
}

func TestTheServersSuggestionEndsARun(t *testing.T) {
	t.Run("while paused", func(t *testing.T) {
		f := &fakeHost{}
		env := newEnv(t, f)
		forever(f)
		at(env, 10*time.Second, func() { env.SignalWorkflow(workflows.SignalPause, workflows.Message{Reason: "rest"}) })
		at(env, 20*time.Second, func() {
			env.SetContinueAsNewSuggested(true)
			env.SignalWorkflow(workflows.SignalWake, nil)
		})
		start(env, minute())
		if next := mustSuccessor(t, env); !next.State.Paused || next.State.PauseReason != "rest" {
			t.Errorf("got %+v", next.State)
		}
	})
	t.Run("in the middle of a window", func(t *testing.T) {
		f := &fakeHost{}
		env := newEnv(t, f)
		f.sync = func(ctx context.Context, w host.Window, beat func(host.Progress)) (host.Result, error) {
			env.SetContinueAsNewSuggested(true)
			env.SignalWorkflow(workflows.SignalWake, nil)
			for f.called("StopSync after 0") == 0 && ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			return host.Result{Reason: host.Stopped}, nil
		}
		start(env, minute())
		mustSuccessor(t, env)
	})
}

func TestARunThatIsAboutToEndLetsNobodyIn(t *testing.T) {
	f := &fakeHost{}
	env := newEnv(t, f)
	var answers []*answer
	f.sync = func(ctx context.Context, _ host.Window, _ func(host.Progress)) (host.Result, error) {
		env.SetContinueAsNewSuggested(true)
		answers = append(answers,
			send(env, workflows.UpdateResume, "a", workflows.Message{}),
			send(env, workflows.UpdatePause, "b", workflows.Message{}),
			send(env, workflows.UpdateSync, "c", workflows.Message{}),
			send(env, workflows.UpdateStop, "d", workflows.StopRequest{}),
			send(env, workflows.UpdateRegister, "e", workflows.Registration{Spec: minute().Spec}),
			reconfigure(env, "f", `{"interval": "2m0s"}`),
		)
		for f.called("StopSync after 0") == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		return host.Result{Reason: host.Stopped}, nil
	}
	start(env, minute())
	for i, a := range answers {
		if a.mustType(t, workflows.ErrContinueAsNewPending); !a.rejected || !workflows.RetryLater(a.err) {
			t.Errorf("answer %d: got %+v", i, a)
		}
	}
	if next := mustSuccessor(t, env); next.State.Handled.Updates != 0 {
		t.Errorf("got %+v", next.State.Handled)
	}
}

// Whoever waits for a first pass must not keep the run from ending, as the first
// pass is the next run's.
func TestWaitingForAFirstPassDoesNotHoldUpTheEndOfARun(t *testing.T) {
	f := &fakeHost{script: []error{disk, disk, disk}}
	env := newEnv(t, f)
	in := minute()
	in.MaxWindows = 1
	a := register(env, workflows.Registration{Spec: in.Spec, Wait: true})
	start(env, in)
	mustSuccessor(t, env)
	a.mustType(t, workflows.ErrContinueAsNewPending)
}

func TestSignalsThatArriveWithTheDecisionAreHandled(t *testing.T) {
	f := &fakeHost{}
	env := newEnv(t, f)
	f.sync = func(context.Context, host.Window, func(host.Progress)) (host.Result, error) {
		env.SignalWorkflowSkippingWorkflowTask(workflows.SignalWake, workflows.Message{ID: "a"})
		env.SignalWorkflowSkippingWorkflowTask(workflows.SignalPause, workflows.Message{ID: "b"})
		env.SignalWorkflowSkippingWorkflowTask(workflows.SignalReport, workflows.Message{ID: "c"})
		return host.Result{Reason: host.WindowOver, Progress: host.Progress{Passes: 1}}, nil
	}
	in := minute()
	in.MaxWindows = 1
	start(env, in)
	next := mustSuccessor(t, env)
	if got, want := next.State.Handled.Recent, []string{"a", "b", "c"}; !slices.Equal(got, want) || !next.State.Paused {
		t.Errorf("got %q, paused %t; want %q and a pause", got, next.State.Paused, want)
	}
}

// An update that was let in has its answer before its run ends.
func TestARunWaitsForUpdatesThatItLetIn(t *testing.T) {
	f := &fakeHost{}
	env := newEnv(t, f)
	f.slowly = 50 * time.Millisecond
	var a *answer
	f.sync = func(context.Context, host.Window, func(host.Progress)) (host.Result, error) {
		a = send(env, workflows.UpdateSync, "u", workflows.Message{})
		for f.called("SyncOnce after 0") == 0 {
			time.Sleep(time.Millisecond)
		}
		return host.Result{Reason: host.WindowOver, Progress: host.Progress{Passes: 1}}, nil
	}
	in := minute()
	in.MaxWindows = 1
	start(env, in)
	mustSuccessor(t, env)
	if got, is := a.value.(workflows.Synced); !is || a.err != nil || got.TXID == 0 {
		t.Errorf("got %+v", a)
	}
}
