package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/workflows"
)

// answer is what an update led to.
type answer struct {
	value    any
	err      error
	rejected bool
	done     bool
}

// send sends an update and returns where its answer will be.
func send(env *testsuite.TestWorkflowEnvironment, update, id string, arg any) *answer {
	a := &answer{}
	env.UpdateWorkflow(update, id, &testsuite.TestUpdateCallback{
		OnAccept:   func() {},
		OnReject:   func(err error) { a.err, a.rejected, a.done = err, true, true },
		OnComplete: func(value any, err error) { a.value, a.err, a.done = value, err, true },
	}, arg)
	return a
}

func (a *answer) mustType(t *testing.T, typ string) string {
	t.Helper()
	var app *temporal.ApplicationError
	if !a.done || !errors.As(a.err, &app) || app.Type() != typ {
		t.Fatalf("got %+v, want an error of type %s", a, typ)
	}
	return app.Message()
}

// at lets do happen when virtual time has gone by.
func at(env *testsuite.TestWorkflowEnvironment, after time.Duration, do func()) {
	env.RegisterDelayedCallback(do, after)
}

// endAfter cancels the workflow.
func endAfter(env *testsuite.TestWorkflowEnvironment, after time.Duration) {
	at(env, after, env.CancelWorkflow)
}

// attemptsAt are the times of attempts since begin.
func (f *fakeHost) attemptsAt(begin time.Time) (all []time.Duration) {
	for _, t := range f.attempts {
		all = append(all, t.Sub(begin))
	}
	return all
}

// forever is a script that always succeeds.
func forever(f *fakeHost) {
	f.sync = func(_ context.Context, w host.Window, _ func(host.Progress)) (host.Result, error) {
		return host.Result{Reason: host.WindowOver, Progress: host.Progress{Passes: 1, TXID: 5, SyncedAt: f.now()}}, nil
	}
}

// minute is the plain form, with a pass a minute.
func minute() workflows.Input {
	in := workflows.Input{Spec: spec()}
	in.Settings.Interval, in.Settings.Window = time.Minute, 0
	in.Settings.BackoffCap = time.Hour
	return in
}

// pauses are messages to a database that is due once a minute.
var pauses = []struct {
	name string
	send func(env *testsuite.TestWorkflowEnvironment)
	want []time.Duration // attempts within 5 minutes
}{
	{
		name: "without messages, one a minute",
		send: func(*testsuite.TestWorkflowEnvironment) {},
		want: seconds(0, 60, 120, 180, 240),
	},
	{
		name: "a pause lasts until the resume, which goes on at once",
		send: func(env *testsuite.TestWorkflowEnvironment) {
			at(env, 70*time.Second, func() { env.SignalWorkflow(workflows.SignalPause, workflows.Message{Reason: "moving house"}) })
			at(env, 200*time.Second, func() { env.SignalWorkflow(workflows.SignalResume, nil) })
		},
		want: seconds(0, 60, 200, 260),
	},
	{
		name: "a pause with any payload is a pause",
		send: func(env *testsuite.TestWorkflowEnvironment) {
			at(env, 70*time.Second, func() { env.SignalWorkflow(workflows.SignalPause, []int{1, 2}) })
		},
		want: seconds(0, 60),
	},
	{
		name: "a pause delivered again after the resume is known",
		send: func(env *testsuite.TestWorkflowEnvironment) {
			for _, after := range []time.Duration{10, 30} {
				at(env, after*time.Second, func() { env.SignalWorkflow(workflows.SignalPause, workflows.Message{ID: "p1"}) })
			}
			at(env, 20*time.Second, func() { env.SignalWorkflow(workflows.SignalResume, workflows.Message{ID: "r1"}) })
		},
		want: seconds(0, 20, 80, 140, 200, 260),
	},
	{
		name: "a resume and then a pause in one task end paused",
		send: func(env *testsuite.TestWorkflowEnvironment) {
			at(env, 10*time.Second, func() {
				env.SignalWorkflowSkippingWorkflowTask(workflows.SignalResume, nil)
				env.SignalWorkflow(workflows.SignalPause, nil)
			})
		},
		want: seconds(0),
	},
	{
		name: "a pause and then a resume in one task end running",
		send: func(env *testsuite.TestWorkflowEnvironment) {
			at(env, 10*time.Second, func() {
				env.SignalWorkflowSkippingWorkflowTask(workflows.SignalPause, nil)
				env.SignalWorkflow(workflows.SignalResume, nil)
			})
		},
		want: seconds(0, 10, 70, 130, 190, 250),
	},
	{
		name: "a wake cuts the wait short",
		send: func(env *testsuite.TestWorkflowEnvironment) {
			at(env, 200*time.Second, func() { env.SignalWorkflow(workflows.SignalWake, nil) })
		},
		want: seconds(0, 60, 120, 180, 200, 260),
	},
	{
		name: "a wake does not resume",
		send: func(env *testsuite.TestWorkflowEnvironment) {
			at(env, 70*time.Second, func() { env.SignalWorkflow(workflows.SignalPause, nil) })
			at(env, 90*time.Second, func() { env.SignalWorkflow(workflows.SignalWake, nil) })
		},
		want: seconds(0, 60),
	},
	{
		name: "updates pause and resume, too",
		send: func(env *testsuite.TestWorkflowEnvironment) {
			at(env, 70*time.Second, func() { send(env, workflows.UpdatePause, "u1", workflows.Message{}) })
			at(env, 200*time.Second, func() { send(env, workflows.UpdateResume, "u2", workflows.Message{}) })
		},
		want: seconds(0, 60, 200, 260),
	},
	{
		name: "a resume and then an update that pauses, in one task, end paused",
		send: func(env *testsuite.TestWorkflowEnvironment) {
			at(env, 10*time.Second, func() {
				env.SignalWorkflowSkippingWorkflowTask(workflows.SignalResume, nil)
				send(env, workflows.UpdatePause, "u1", workflows.Message{})
			})
		},
		want: seconds(0),
	},
	{
		name: "a pause and then an update that resumes, in one task, end running",
		send: func(env *testsuite.TestWorkflowEnvironment) {
			at(env, 10*time.Second, func() {
				env.SignalWorkflowSkippingWorkflowTask(workflows.SignalPause, nil)
				send(env, workflows.UpdateResume, "u1", workflows.Message{})
			})
		},
		want: seconds(0, 10, 70, 130, 190, 250),
	},
	{
		name: "an update with the id of a signal that was handled is known",
		send: func(env *testsuite.TestWorkflowEnvironment) {
			at(env, 10*time.Second, func() { env.SignalWorkflow(workflows.SignalPause, workflows.Message{ID: "m1"}) })
			at(env, 20*time.Second, func() { env.SignalWorkflow(workflows.SignalResume, nil) })
			at(env, 30*time.Second, func() { send(env, workflows.UpdatePause, "u1", workflows.Message{ID: "m1"}) })
		},
		want: seconds(0, 20, 80, 140, 200, 260),
	},
	{
		name: "nor does an update undo what came after its signal, in one task",
		send: func(env *testsuite.TestWorkflowEnvironment) {
			at(env, 10*time.Second, func() {
				env.SignalWorkflowSkippingWorkflowTask(workflows.SignalResume, workflows.Message{ID: "m1"})
				env.SignalWorkflowSkippingWorkflowTask(workflows.SignalPause, nil)
				send(env, workflows.UpdateResume, "u1", workflows.Message{ID: "m1"})
			})
		},
		want: seconds(0),
	},
	{
		name: "a signal with the id of an update that was handled is known",
		send: func(env *testsuite.TestWorkflowEnvironment) {
			at(env, 10*time.Second, func() { send(env, workflows.UpdatePause, "u1", workflows.Message{ID: "m1"}) })
			at(env, 20*time.Second, func() { env.SignalWorkflow(workflows.SignalResume, nil) })
			at(env, 30*time.Second, func() { env.SignalWorkflow(workflows.SignalPause, workflows.Message{ID: "m1"}) })
		},
		want: seconds(0, 20, 80, 140, 200, 260),
	},
}

func TestPauseAndResume(t *testing.T) {
	for _, row := range pauses {
		t.Run(row.name, func(t *testing.T) {
			f := &fakeHost{}
			env := newEnv(t, f)
			forever(f)
			begin := env.Now()
			row.send(env)
			endAfter(env, 290*time.Second)
			start(env, minute())
			if got := f.attemptsAt(begin); !slices.Equal(got, row.want) {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}

func TestPausedIsShown(t *testing.T) {
	f := &fakeHost{}
	env := newEnv(t, f)
	forever(f)
	at(env, 70*time.Second, func() { env.SignalWorkflow(workflows.SignalPause, workflows.Message{ID: "p", Reason: "moving house"}) })
	var s workflows.Status
	at(env, 100*time.Second, func() { s = mustStatus(t, env) })
	endAfter(env, 200*time.Second)
	begin := env.Now()
	start(env, minute())
	if s.Phase != workflows.Paused || !s.Paused || s.PauseReason != "moving house" || s.Since.Sub(begin) != 70*time.Second {
		t.Errorf("got %+v", s)
	}
	if s.Handled.Signals != 1 || !slices.Equal(s.Handled.Recent, []string{"p"}) {
		t.Errorf("got %+v", s.Handled)
	}
}

// A resume and a pause that come with one task leave a paused database paused, and whoever
// pauses it once more has an answer.
func TestAPauseThatFollowsAResumeAtOnceIsAnswered(t *testing.T) {
	for _, row := range []struct {
		name  string
		pause func(env *testsuite.TestWorkflowEnvironment)
	}{
		{"by signal", func(env *testsuite.TestWorkflowEnvironment) { env.SignalWorkflow(workflows.SignalPause, nil) }},
		{"by update", func(env *testsuite.TestWorkflowEnvironment) {
			send(env, workflows.UpdatePause, "u", workflows.Message{})
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &fakeHost{}
			env := newEnv(t, f)
			forever(f)
			var a *answer
			at(env, 10*time.Second, func() { env.SignalWorkflow(workflows.SignalPause, nil) })
			at(env, 20*time.Second, func() {
				env.SignalWorkflowSkippingWorkflowTask(workflows.SignalResume, nil)
				row.pause(env)
			})
			at(env, 30*time.Second, func() { a = send(env, workflows.UpdatePause, "once more", workflows.Message{}) })
			at(env, 40*time.Second, func() {
				if s, is := a.value.(workflows.Status); !is || s.Phase != workflows.Paused {
					t.Errorf("got %+v", a)
				}
			})
			endAfter(env, time.Hour)
			start(env, minute())
			if len(f.attempts) != 1 {
				t.Errorf("got %d windows, want 1", len(f.attempts))
			}
		})
	}
}

// A pause ends the window under way by StopSync, and no other begins.
func TestPauseInMidWindow(t *testing.T) {
	f := &fakeHost{}
	env := newEnv(t, f)
	f.sync = func(ctx context.Context, w host.Window, beat func(host.Progress)) (host.Result, error) {
		env.SignalWorkflow(workflows.SignalPause, nil)
		for i := 0; f.called("StopSync after 0") == 0; i++ {
			if i > 1000 {
				return host.Result{}, errors.New("nobody stops the window")
			}
			time.Sleep(time.Millisecond)
		}
		return host.Result{Reason: host.Stopped, Progress: host.Progress{Passes: 1, TXID: 4}}, nil
	}
	endAfter(env, time.Hour)
	start(env, workflows.Input{Spec: spec()})
	if len(f.attempts) != 1 {
		t.Errorf("got %d windows, want 1", len(f.attempts))
	}
}

func TestResumeEndsABackoffAndKeepsTheCount(t *testing.T) {
	for _, signal := range []string{workflows.SignalResume, workflows.SignalWake} {
		t.Run(signal, func(t *testing.T) {
			f := &fakeHost{script: []error{ok, disk, disk, disk, disk, ok}}
			env := newEnv(t, f)
			f.done = env.CancelWorkflow
			begin := env.Now()
			in := minute() // 0 ok; 60, 120, 240 disk: then a wait of 240 s
			at(env, 250*time.Second, func() { env.SignalWorkflow(signal, nil) })
			start(env, in)
			if got, want := f.attemptsAt(begin)[:6], seconds(0, 60, 120, 240, 250, 250+480); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestReportsAreShown(t *testing.T) {
	f := &fakeHost{script: []error{ok, net, net, net, ok}}
	env := newEnv(t, f)
	f.done = env.CancelWorkflow
	report := func(window, failures int, typ string) func() {
		return func() {
			env.SignalWorkflow(workflows.SignalReport, activities.Report{Window: window, Failures: failures, Type: typ, Error: "what the host met"})
		}
	}
	var seen []string
	look := func() {
		s := mustStatus(t, env)
		seen = append(seen, fmt.Sprintf("%s with %d failures, problem %t", s.Phase, s.Failures, s.Problem != nil))
	}
	at(env, 70*time.Second, look) // the second window has failed once, but nobody has said so
	at(env, 80*time.Second, report(2, 1, activities.StoreUnavailable))
	at(env, 81*time.Second, look)
	at(env, 82*time.Second, report(1, 7, activities.DiskFull)) // of a window that has ended
	at(env, 83*time.Second, look)
	at(env, 190*time.Second, report(2, 2, activities.DatabaseBusy))
	at(env, 191*time.Second, look)
	at(env, 500*time.Second, report(2, 3, activities.StoreUnavailable)) // it has recovered since
	at(env, 501*time.Second, look)
	start(env, minute())
	want := []string{
		"Replicating with 0 failures, problem false",
		"StoreUnavailable with 1 failures, problem true",
		"StoreUnavailable with 1 failures, problem true",
		"BackingOff with 2 failures, problem true",
		"Replicating with 0 failures, problem false",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("got %q\nwant %q", seen, want)
	}
}

func TestSync(t *testing.T) {
	t.Run("returns what is durable", func(t *testing.T) {
		f := &fakeHost{}
		env := newEnv(t, f)
		forever(f)
		f.txid = 41
		var a *answer
		at(env, 70*time.Second, func() { a = send(env, workflows.UpdateSync, "u", workflows.Message{}) })
		endAfter(env, 100*time.Second)
		start(env, minute())
		if got, is := a.value.(workflows.Synced); !is || a.err != nil || got.TXID != 42 {
			t.Errorf("got %+v", a)
		}
		if s := mustStatus(t, env); s.TXID != 42 || s.Handled.Updates != 1 {
			t.Errorf("status does not know: %+v", s)
		}
	})
	t.Run("is refused while paused", func(t *testing.T) {
		f := &fakeHost{}
		env := newEnv(t, f)
		forever(f)
		var a *answer
		at(env, 60*time.Second, func() { env.SignalWorkflow(workflows.SignalPause, nil) })
		at(env, 70*time.Second, func() { a = send(env, workflows.UpdateSync, "u", workflows.Message{}) })
		endAfter(env, 100*time.Second)
		start(env, minute())
		a.mustType(t, workflows.ErrPaused)
		if n := f.called("SyncOnce after 0"); n != 0 {
			t.Errorf("made %d passes", n)
		}
	})
	t.Run("is refused after a pause in the same task", func(t *testing.T) {
		f := &fakeHost{}
		env := newEnv(t, f)
		forever(f)
		var a *answer
		at(env, 70*time.Second, func() {
			env.SignalWorkflowSkippingWorkflowTask(workflows.SignalPause, nil)
			a = send(env, workflows.UpdateSync, "u", workflows.Message{})
		})
		endAfter(env, 100*time.Second)
		start(env, minute())
		a.mustType(t, workflows.ErrPaused)
	})
	t.Run("is made after a resume in the same task", func(t *testing.T) {
		f := &fakeHost{}
		env := newEnv(t, f)
		forever(f)
		var a *answer
		at(env, 60*time.Second, func() { env.SignalWorkflow(workflows.SignalPause, nil) })
		at(env, 70*time.Second, func() {
			env.SignalWorkflowSkippingWorkflowTask(workflows.SignalResume, nil)
			a = send(env, workflows.UpdateSync, "u", workflows.Message{})
		})
		endAfter(env, 100*time.Second)
		start(env, minute())
		if _, is := a.value.(workflows.Synced); !is || a.err != nil {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("a success ends a backoff and its count", func(t *testing.T) {
		f := &fakeHost{script: []error{ok, disk, disk, disk, disk, ok}}
		env := newEnv(t, f)
		f.done = env.CancelWorkflow
		begin := env.Now()
		at(env, 250*time.Second, func() { send(env, workflows.UpdateSync, "u", workflows.Message{}) })
		start(env, minute())
		if got, want := f.attemptsAt(begin)[:6], seconds(0, 60, 120, 240, 250, 310); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	t.Run("a failure is the answer and counts for nothing", func(t *testing.T) {
		f := &fakeHost{once: []error{fenced}}
		env := newEnv(t, f)
		forever(f)
		var a *answer
		at(env, 70*time.Second, func() { a = send(env, workflows.UpdateSync, "u", workflows.Message{}) })
		endAfter(env, 100*time.Second)
		start(env, minute())
		if msg := a.mustType(t, activities.Fenced); msg != fenced.Error() {
			t.Errorf("got %q, want %q", msg, fenced)
		}
		if s := mustStatus(t, env); s.Failures != 0 || s.Problem != nil {
			t.Errorf("got %+v", s)
		}
	})
}

func TestAPersonIsWaitedFor(t *testing.T) {
	for _, row := range []struct {
		name  string
		end   error
		phase workflows.Phase
		call  func(env *testsuite.TestWorkflowEnvironment)
		goes  bool
	}{
		{"fenced, and nobody comes", fenced, workflows.Fenced, func(*testsuite.TestWorkflowEnvironment) {}, false},
		{"a wake is nobody", fenced, workflows.Fenced, func(env *testsuite.TestWorkflowEnvironment) { env.SignalWorkflow(workflows.SignalWake, nil) }, false},
		{"a resume", fenced, workflows.Fenced, func(env *testsuite.TestWorkflowEnvironment) { env.SignalWorkflow(workflows.SignalResume, nil) }, true},
		{"a sync that succeeds", notWAL, workflows.Misconfigured, func(env *testsuite.TestWorkflowEnvironment) {
			send(env, workflows.UpdateSync, "u", workflows.Message{})
		}, true},
		{"the same registration again", notWAL, workflows.Misconfigured, func(env *testsuite.TestWorkflowEnvironment) {
			send(env, workflows.UpdateRegister, "u", workflows.Registration{Spec: minute().Spec})
		}, true},
		{"a corrected registration", notWAL, workflows.Misconfigured, func(env *testsuite.TestWorkflowEnvironment) {
			corrected := minute().Spec
			corrected.Replica = "file:///other"
			send(env, workflows.UpdateRegister, "u", workflows.Registration{Spec: corrected})
		}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &fakeHost{script: []error{ok, row.end, ok}}
			env := newEnv(t, f)
			f.done = env.CancelWorkflow
			var waiting workflows.Status
			at(env, time.Hour, func() { waiting = mustStatus(t, env) })
			at(env, 2*time.Hour, func() { row.call(env) })
			endAfter(env, 3*time.Hour)
			start(env, minute())
			if waiting.Phase != row.phase || waiting.Failures != 1 || waiting.Problem.Message != row.end.Error() {
				t.Errorf("got %+v", waiting)
			}
			if goes := len(f.attempts) > 2; goes != row.goes {
				t.Errorf("goes on: %t, want %t", goes, row.goes)
			}
		})
	}
}

// hostAway makes the first n windows time out for want of a worker.
func hostAway(env *testsuite.TestWorkflowEnvironment, f *fakeHost, n int) {
	acts := &activities.HostActivities{Host: f}
	env.OnActivity(activities.NameSync, anything, anything).Return(
		func(ctx context.Context, in activities.SyncInput) (activities.SyncResult, error) {
			if n > 0 {
				n--
				f.attempts = append(f.attempts, f.now())
				return activities.SyncResult{}, temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
			}
			return acts.Sync(ctx, in)
		})
}

func TestHostThatDoesNotAnswerIsNoFailure(t *testing.T) {
	f := &fakeHost{}
	env := newEnv(t, f)
	hostAway(env, f, 3)
	var phases []workflows.Phase
	f.sync = func(_ context.Context, w host.Window, _ func(host.Progress)) (host.Result, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if w.Failures != 0 {
			t.Errorf("got %d failures", w.Failures)
		}
		if len(phases) == 0 {
			at(env, time.Second, func() { phases = append(phases, mustStatus(t, env).Phase) })
		}
		return host.Result{Reason: host.WindowOver, Progress: host.Progress{Passes: 1, TXID: 5}}, nil
	}
	endAfter(env, 90*time.Second)
	start(env, minute())
	if !slices.Equal(phases, []workflows.Phase{workflows.Replicating}) {
		t.Errorf("after it answered: got %v", phases)
	}
	if n := f.called("CleanUp after 0"); n != 0 {
		t.Errorf("%d clean-ups", n)
	}
	if len(f.attempts) < 4 {
		t.Errorf("tried %d times", len(f.attempts))
	}
}

func TestCancelledWorkflowClosesTheDatabase(t *testing.T) {
	f := &fakeHost{}
	env := newEnv(t, f)
	forever(f)
	endAfter(env, 70*time.Second)
	start(env, minute())
	var canceled *temporal.CanceledError
	if err := env.GetWorkflowError(); !errors.As(err, &canceled) {
		t.Errorf("got %v, want a cancellation", err)
	}
	if f.called("Release /shop.db after 0") != 1 || f.called("SyncOnce after 0") != 0 {
		t.Errorf("got %q", f.events)
	}
}

func TestStop(t *testing.T) {
	for _, row := range []struct {
		name    string
		request workflows.StopRequest
		once    []error
		ends    bool
		events  []string
	}{
		{"makes a final pass and closes", workflows.StopRequest{}, nil, true, []string{"Check /shop.db after 0", "SyncOnce after 0", "Release /shop.db after 0"}},
		{"without a final pass", workflows.StopRequest{SkipFinalPass: true}, nil, true, []string{"Check /shop.db after 0", "Release /shop.db after 0"}},
		{"goes on when the final pass fails", workflows.StopRequest{}, []error{fenced}, false, []string{"Check /shop.db after 0", "SyncOnce after 0"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &fakeHost{once: row.once}
			env := newEnv(t, f)
			forever(f)
			var a *answer
			at(env, 70*time.Second, func() { a = send(env, workflows.UpdateStop, "u", row.request) })
			var events []string
			at(env, 130*time.Second, func() { events = slices.Clone(f.events) })
			endAfter(env, 140*time.Second)
			start(env, minute())
			if events == nil {
				events = f.events
			}
			if !slices.Equal(events, row.events) {
				t.Errorf("got %q, want %q", events, row.events)
			}
			if !row.ends {
				a.mustType(t, activities.Fenced)
				if len(f.attempts) < 3 {
					t.Errorf("does not go on")
				}
				return
			}
			var s workflows.Status
			if err := env.GetWorkflowResult(&s); err != nil || s.Phase != workflows.Stopping {
				t.Errorf("workflow: got %+v, %v", s, err)
			}
			if got, is := a.value.(workflows.Stopped); !is || a.err != nil || !got.Released {
				t.Errorf("got %+v", a)
			}
		})
	}
}

func TestUpdatesAreRefusedWhileStopping(t *testing.T) {
	f := &fakeHost{}
	env := newEnv(t, f)
	forever(f)
	var second *answer
	at(env, 70*time.Second, func() {
		send(env, workflows.UpdateStop, "u1", workflows.StopRequest{})
		second = send(env, workflows.UpdatePause, "u2", workflows.Message{})
	})
	endAfter(env, time.Hour)
	start(env, minute())
	second.mustType(t, workflows.ErrStopping)
}

func TestSearchAttributesAreWrittenOnAChangeOfPhaseOnly(t *testing.T) {
	for _, use := range []bool{true, false} {
		t.Run(fmt.Sprint("in use: ", use), func(t *testing.T) {
			f := &fakeHost{}
			env := newEnv(t, f)
			forever(f)
			var phases []string
			env.OnUpsertTypedSearchAttributes(anything).Run(func(args mock.Arguments) {
				v, _ := args.Get(0).(temporal.SearchAttributes).GetKeyword(workflows.AttributePhase)
				phases = append(phases, v)
			}).Return(nil).Maybe()
			at(env, 600*time.Second, func() { env.SignalWorkflow(workflows.SignalPause, nil) })
			endAfter(env, 700*time.Second)
			in := minute()
			in.UseSearchAttributes = use
			start(env, in)
			var want []string
			if use {
				want = []string{"Replicating", "Paused", "Stopping"} // it starts with Starting
			}
			if !slices.Equal(phases, want) {
				t.Errorf("got %q, want %q", phases, want)
			}
		})
	}
}
