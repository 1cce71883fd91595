package workflows_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/testsuite"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/workflows"
)

// register starts a workflow with its registration, as UpdateWithStart does.
func register(env *testsuite.TestWorkflowEnvironment, in workflows.Registration) *answer {
	a := &answer{}
	at(env, 0, func() { *a = answer{}; a = sendInto(env, a, in) })
	return a
}

func sendInto(env *testsuite.TestWorkflowEnvironment, a *answer, in workflows.Registration) *answer {
	env.UpdateWorkflow(workflows.UpdateRegister, "first", &testsuite.TestUpdateCallback{
		OnReject:   func(err error) { a.err, a.rejected, a.done = err, true, true },
		OnComplete: func(value any, err error) { a.value, a.err, a.done = value, err, true },
	}, in)
	return a
}

func TestFirstRegistration(t *testing.T) {
	for _, row := range []struct {
		name    string
		checks  []error
		wait    bool
		script  []error
		refused string // type

		reported time.Duration // after which the workflow hears that the window fails; 0 for never
	}{
		{name: "is checked by the host", script: []error{ok}},
		{name: "is refused for a database that cannot be", checks: []error{notWAL}, refused: activities.Misconfigured},
		{name: "is refused for one that is not there", checks: []error{missing}, refused: activities.DatabaseMissing},
		{name: "is refused for a replica of another", checks: []error{fenced}, refused: activities.Fenced},
		{name: "holds when the store is away", checks: []error{net}, script: []error{net, net, ok}},
		{name: "is refused when the store is away and somebody waits", checks: []error{net}, wait: true, refused: activities.StoreUnavailable},
		{name: "waits for the first pass", wait: true, script: []error{net, net, ok}},
		{name: "waits for a first pass that fails for a moment", wait: true, reported: 55 * time.Second, script: []error{net, ok}},
		{name: "does not wait long for one that keeps failing", wait: true, reported: 45 * time.Second, script: []error{net, ok}, refused: activities.StoreUnavailable},
		{name: "waits for a first pass that needs a person", wait: true, script: []error{net, fenced}, refused: activities.Fenced},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &fakeHost{checks: row.checks, script: row.script}
			env := newEnv(t, f)
			f.done = env.CancelWorkflow
			in := minute()
			in.Wait = row.wait
			a := register(env, workflows.Registration{Spec: in.Spec, Wait: row.wait})
			if row.reported != 0 {
				at(env, row.reported, func() {
					env.SignalWorkflow(workflows.SignalReport, activities.Report{Window: 1, Failures: 1, Type: activities.StoreUnavailable, Error: "away"})
				})
			}
			endAfter(env, time.Hour)
			start(env, in)
			if row.refused != "" {
				a.mustType(t, row.refused)
			} else if got, is := a.value.(workflows.Registered); !is || a.err != nil || !got.Answering || row.wait && got.Status.TXID == 0 {
				t.Errorf("got %+v", a)
			}
			if refusedAtOnce := len(row.script) == 0; refusedAtOnce {
				if env.GetWorkflowError() == nil || len(f.attempts) != 0 {
					t.Errorf("something is left: error %v, %d windows", env.GetWorkflowError(), len(f.attempts))
				}
			}
		})
	}
}

func TestAWindowThatIsStoppedLeavesItsProblem(t *testing.T) {
	f := &fakeHost{}
	env := newEnv(t, f)
	ends := []error{net}
	f.sync = func(context.Context, host.Window, func(host.Progress)) (host.Result, error) {
		return host.Result{Reason: host.WorkerStopping}, pop(&ends)
	}
	at(env, time.Second, func() {
		env.SignalWorkflow(workflows.SignalReport, activities.Report{Window: 1, Failures: 1, Type: activities.StoreUnavailable, Error: "away"})
	})
	var s workflows.Status
	at(env, 125*time.Second, func() { s = mustStatus(t, env) })
	endAfter(env, 130*time.Second)
	start(env, minute())
	if s.Windows < 2 || s.Failures != 1 || s.Problem == nil || s.Problem.Message != "away" || s.Phase != workflows.StoreUnavailable {
		t.Errorf("after %d windows: %d failures, %+v, phase %s; want the one that was reported", s.Windows, s.Failures, s.Problem, s.Phase)
	}
}

func TestRegistrationOfWhatIsRegistered(t *testing.T) {
	for _, row := range []struct {
		name    string
		change  func(*workflows.Registration)
		checks  []error
		refused string
		says    []string
		changed bool
		events  []string
	}{
		{name: "the same is harmless", change: func(*workflows.Registration) {}},
		{
			name: "another host is refused with both named", change: func(r *workflows.Registration) { r.Host = "web-2" },
			refused: workflows.ErrRefused, says: []string{"web-1", "web-2", "--move"},
		},
		{
			name: "another path is refused with both named", change: func(r *workflows.Registration) { r.Path = "/new.db" },
			refused: workflows.ErrRefused, says: []string{"/shop.db", "/new.db", "--move"},
		},
		{
			name: "another replica is refused with both named", change: func(r *workflows.Registration) { r.Replica = "file:///other" },
			refused: workflows.ErrRefused, says: []string{"file:///replica", "file:///other", "--move"},
		},
		{
			name: "another name is refused", change: func(r *workflows.Registration) { r.Name = "blog" },
			refused: workflows.ErrRefused, says: []string{"shop", "blog"},
		},
		{
			name: "a relative path is refused", change: func(r *workflows.Registration) { r.Path = "shop.db" },
			refused: workflows.ErrRefused, says: []string{"absolute"},
		},
		{
			name: "settings that cannot work are refused", change: func(r *workflows.Registration) { r.Settings.Heartbeat = time.Millisecond },
			refused: workflows.ErrRefused, says: []string{"heartbeat"},
		},
		{
			name: "a move is checked there and closed here", changed: true,
			change: func(r *workflows.Registration) { r.Path, r.Move = "/new.db", true },
			events: []string{"Check /new.db after 0", "Release /shop.db after 0"},
		},
		{
			name: "a move that cannot be changes nothing", refused: activities.Misconfigured,
			change: func(r *workflows.Registration) { r.Path, r.Move = "/new.db", true }, checks: []error{ok, notWAL},
			events: []string{"Check /new.db after 0"},
		},
		{
			name: "a move to a store that is away changes nothing while somebody waits", refused: activities.StoreUnavailable,
			change: func(r *workflows.Registration) { r.Replica, r.Move, r.Wait = "file:///other", true, true }, checks: []error{ok, net},
			events: []string{"Check /shop.db after 0"},
		},
		{
			name: "other settings are taken on", changed: true,
			change: func(r *workflows.Registration) { r.Settings.Interval = 2 * time.Minute },
		},
		{
			name:   "a take-over of what is its own changes nothing",
			change: func(r *workflows.Registration) { r.TakeOver = true },
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &fakeHost{checks: row.checks}
			env := newEnv(t, f)
			forever(f)
			in := minute()
			reg := workflows.Registration{Spec: in.Spec}
			row.change(&reg)
			var a *answer
			at(env, 70*time.Second, func() { a = send(env, workflows.UpdateRegister, "u", reg) })
			var s workflows.Status
			var events []string
			at(env, 75*time.Second, func() { s, events = mustStatus(t, env), f.events[1:] })
			endAfter(env, 80*time.Second)
			start(env, in)
			if strings.Join(events, "|") != strings.Join(row.events, "|") {
				t.Errorf("events: got %q, want %q", events, row.events)
			}
			if row.refused != "" {
				msg := a.mustType(t, row.refused)
				for _, says := range row.says {
					if !strings.Contains(msg, says) {
						t.Errorf("%q does not name %s", msg, says)
					}
				}
				reg = workflows.Registration{Spec: in.Spec}
			} else if got, is := a.value.(workflows.Registered); !is || got.Changed != row.changed || !got.Answering {
				t.Errorf("got %+v, want changed %t", a, row.changed)
			}
			if s.Host != reg.Host || s.Path != reg.Path || s.Replica != reg.Replica || s.Settings.Interval != reg.Settings.Interval {
				t.Errorf("in force: %+v", s)
			}
			if last := f.windows[len(f.windows)-1]; last.TakeOver || last.Path != reg.Path {
				t.Errorf("last window: %+v", last)
			}
		})
	}
}

func TestInputIsChecked(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*workflows.Input)
		says   string
	}{
		{"no name", func(in *workflows.Input) { in.Name = "" }, "name is missing"},
		{"no host", func(in *workflows.Input) { in.Host = "" }, "host is missing"},
		{"no replica", func(in *workflows.Input) { in.Replica = "" }, "replica is missing"},
		{"a negative interval", func(in *workflows.Input) { in.Settings.Interval = -1 }, "interval"},
		{"a negative window", func(in *workflows.Input) { in.Settings.Window = -1 }, "window"},
		{"a cap of nothing", func(in *workflows.Input) { in.Settings.BackoffCap = 1 }, "backoff cap"},
		{"a host time-out of nothing", func(in *workflows.Input) { in.Settings.HostTimeout = 1 }, "host timeout"},
		{"a negative limit", func(in *workflows.Input) { in.Settings.WALLimit = -1 }, "wal limit"},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &fakeHost{}
			env := newEnv(t, f)
			in := workflows.Input{Spec: spec()}
			row.change(&in)
			start(env, in)
			if err := env.GetWorkflowError(); err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("got %v, want one that says %q", err, row.says)
			}
		})
	}
}
