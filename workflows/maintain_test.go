package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/superfly/ltx"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/workflows"
)

// maintainer is asked to maintain. Each run takes some virtual time and then ends as end
// says; nil is a run that leaves nothing to do.
type maintainer struct {
	env   *testsuite.TestWorkflowEnvironment
	takes time.Duration
	end   func(n int, in activities.MaintainInput) (activities.MaintainResult, error)

	begun  []time.Time
	inputs []activities.MaintainInput
	active int
	most   int // at one time
}

// newMaintained is newEnv with a maintainer. The database gets puts of TXIDs in each
// window, and a window takes as long as its settings say.
func newMaintained(t *testing.T, f *fakeHost, puts ltx.TXID, in workflows.Input) (*testsuite.TestWorkflowEnvironment, *maintainer) {
	t.Helper()
	env := newEnv(t, f)
	m := &maintainer{env: env}
	env.RegisterActivityWithOptions((&activities.ReplicaActivities{}).Maintain, activity.RegisterOptions{Name: activities.NameMaintain})
	env.OnActivity(activities.NameMaintain, anything, anything).Return(m.maintain).AfterFn(func() time.Duration { m.begin(); return m.takes })
	acts := &activities.HostActivities{Host: f}
	env.OnActivity(activities.NameSync, anything, anything).Return(acts.Sync).After(in.Settings.Window)
	f.sync = func(_ context.Context, w host.Window, _ func(host.Progress)) (host.Result, error) {
		f.txid += puts
		return host.Result{Reason: host.WindowOver, Progress: host.Progress{Passes: 1, Puts: int(puts), TXID: f.txid, SyncedAt: f.now()}}, nil
	}
	return env, m
}

func (m *maintainer) begin() {
	m.begun = append(m.begun, m.env.Now())
	m.active++
	m.most = max(m.most, m.active)
}

func (m *maintainer) maintain(_ context.Context, in activities.MaintainInput) (activities.MaintainResult, error) {
	m.active--
	m.inputs = append(m.inputs, in)
	if m.end == nil {
		return activities.MaintainResult{Done: activities.Maintained{Merged: 1}}, nil
	}
	return m.end(len(m.inputs), in)
}

// windows is a database that is maintained and has windows of 10 minutes.
func windowed() workflows.Input {
	in := workflows.Input{Spec: spec(), Maintain: true, MaxWindows: 10_000}
	in.Settings.Window = 10 * time.Minute
	return in
}

// since are the times since the first.
func since(first time.Time, all []time.Time) (ds []time.Duration) {
	for _, t := range all {
		ds = append(ds, t.Sub(first))
	}
	return ds
}

// A day of a database with a put a second costs what docs/operations.md says.
func TestADayOfOnePutASecond(t *testing.T) {
	f := &fakeHost{}
	in := windowed()
	env, m := newMaintained(t, f, 600, in)
	m.takes = 20 * time.Second
	timers := 0
	env.SetOnTimerScheduledListener(func(string, time.Duration) { timers++ })
	endAfter(env, 24*time.Hour+time.Minute) // the last window ends just before
	start(env, in)
	if n := len(m.begun); n != 72 || timers > 2 {
		t.Errorf("%d runs and %d timers in a day, want 72 and none but the first window's", n, timers)
	}
	if n := len(f.attempts); n != 144 {
		t.Errorf("%d windows ended, want 144", n)
	}
}

// A run that takes long goes on beside the windows, and no other begins meanwhile.
func TestMaintenanceNeverDelaysAWindow(t *testing.T) {
	f := &fakeHost{}
	in := windowed()
	env, m := newMaintained(t, f, 600, in)
	m.takes = 35 * time.Minute
	endAfter(env, 4*time.Hour+time.Minute)
	start(env, in)
	for i, gap := range f.gaps() {
		if i > 0 && gap != 10*time.Minute {
			t.Errorf("window %d began %v after the one before", i, gap)
		}
	}
	if m.most != 1 || len(m.begun) != 7 {
		t.Errorf("%d runs, %d at one time; want 7, one at a time", len(m.begun), m.most)
	}
}

func TestMaintenanceThatFailsIsRememberedAndStopsNothing(t *testing.T) {
	f := &fakeHost{}
	in := windowed()
	env, m := newMaintained(t, f, 600, in)
	m.end = func(n int, _ activities.MaintainInput) (activities.MaintainResult, error) {
		if n == 4 {
			return activities.MaintainResult{Damage: "ltx/0/7: rubbish", Objects: 9}, nil
		}
		return activities.MaintainResult{}, temporal.NewNonRetryableApplicationError("no right to delete", activities.Misconfigured, nil)
	}
	var failed, damaged workflows.Status
	at(env, 2*time.Hour-time.Second, func() { failed = mustStatus(t, env) })
	at(env, 2*time.Hour+10*time.Minute, func() { damaged = mustStatus(t, env) })
	endAfter(env, 4*time.Hour+time.Minute)
	start(env, in)
	if got, want := since(m.begun[0], m.begun)[:5], []time.Duration{0, 20 * time.Minute, 50 * time.Minute, 110 * time.Minute, 130 * time.Minute}; !slices.Equal(got, want) {
		t.Errorf("tries at %v, want %v", got, want)
	}
	p := failed.Maintenance.Problem
	if failed.Phase != workflows.Replicating || failed.Failures != 0 || failed.Maintenance.Failures != 3 || p == nil || p.Type != activities.Misconfigured || p.Message != "no right to delete" {
		t.Errorf("after failures: %s, %+v", failed.Phase, failed.Maintenance)
	}
	if p := damaged.Maintenance.Problem; damaged.Maintenance.Failures != 0 || p == nil || p.Type != activities.ReplicaDamaged || damaged.Maintenance.Objects != 9 {
		t.Errorf("after damage: %+v", damaged.Maintenance)
	}
	if n := len(f.attempts); n != 24 {
		t.Errorf("%d windows ended, want 24", n)
	}
}

func TestAResumeTriesMaintenanceThatFailedAgain(t *testing.T) {
	f := &fakeHost{}
	in := minute()
	in.Maintain = true
	in.MaxWindows = 1000
	env, m := newMaintained(t, f, 600, in)
	m.end = func(n int, _ activities.MaintainInput) (activities.MaintainResult, error) {
		return activities.MaintainResult{}, temporal.NewNonRetryableApplicationError("denied", activities.Misconfigured, nil)
	}
	at(env, 100*time.Second, func() { env.SignalWorkflow(workflows.SignalResume, nil) })
	endAfter(env, 10*time.Minute)
	start(env, in)
	if got, want := since(m.begun[0], m.begun), seconds(0, 100); !slices.Equal(got, want) {
		t.Errorf("tries at %v, want %v", got, want)
	}
}

// Paused after three puts, a database is maintained until nothing is left to expire, and
// then costs nothing.
func TestAPausedDatabaseIsMaintainedToItsEnd(t *testing.T) {
	f := &fakeHost{}
	in := minute()
	in.Maintain = true
	env, m := newMaintained(t, f, 1, in)
	m.end = func(n int, _ activities.MaintainInput) (activities.MaintainResult, error) {
		res := activities.MaintainResult{Oldest: env.Now()}
		if n < 3 {
			res.Next = env.Now().Add(7 * time.Hour)
		}
		return res, nil
	}
	timers := 0
	env.SetOnTimerScheduledListener(func(string, time.Duration) { timers++ })
	begin := env.Now()
	at(env, 150*time.Second, func() { env.SignalWorkflow(workflows.SignalPause, nil) })
	endAfter(env, 60*24*time.Hour)
	start(env, in)
	if n := len(f.attempts); n != 3 {
		t.Errorf("%d windows, want 3", n)
	}
	want := []time.Duration{time.Hour, 9*time.Hour + 120*time.Second, 18 * time.Hour}
	for i, got := range since(begin, m.begun) {
		if (got - want[i]).Abs() > 10*time.Minute {
			t.Errorf("run %d after %v, want %v", i, got, want[i])
		}
	}
	if len(m.begun) != 3 || timers != 6 {
		t.Errorf("%d runs and %d timers in two months, want three of each, and three for passes", len(m.begun), timers)
	}
}

func TestWhatIsNotMaintained(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(env *testsuite.TestWorkflowEnvironment, f *fakeHost, in *workflows.Input)
		runs   int
	}{
		{"a healthy one is", func(*testsuite.TestWorkflowEnvironment, *fakeHost, *workflows.Input) {}, 3},
		{"a run of an earlier version", func(_ *testsuite.TestWorkflowEnvironment, _ *fakeHost, in *workflows.Input) { in.Maintain = false }, 0},
		{"a replica that nothing was put into", func(_ *testsuite.TestWorkflowEnvironment, f *fakeHost, _ *workflows.Input) {
			f.sync = func(context.Context, host.Window, func(host.Progress)) (host.Result, error) {
				return host.Result{Reason: host.WindowOver, Progress: host.Progress{Passes: 1}}, nil
			}
		}, 0},
		{"one of which only its head is known", func(env *testsuite.TestWorkflowEnvironment, f *fakeHost, _ *workflows.Input) {
			f.sync = func(context.Context, host.Window, func(host.Progress)) (host.Result, error) {
				return host.Result{}, net
			}
			at(env, 90*time.Second, func() {
				env.SignalWorkflow(workflows.SignalReport, activities.Report{Window: 1, Failures: 1, Type: activities.StoreUnavailable, TXID: 9000})
			})
		}, 0},
		{"one that was stopped", func(env *testsuite.TestWorkflowEnvironment, _ *fakeHost, _ *workflows.Input) {
			at(env, 5*time.Minute, func() { send(env, workflows.UpdateStop, "s", workflows.StopRequest{}) })
		}, 1},
		{"one that another writer has taken", func(_ *testsuite.TestWorkflowEnvironment, f *fakeHost, _ *workflows.Input) {
			well := f.sync
			f.sync = func(ctx context.Context, w host.Window, beat func(host.Progress)) (host.Result, error) {
				if len(f.attempts) > 2 {
					return host.Result{}, fenced
				}
				return well(ctx, w, beat)
			}
		}, 1},
		{"one whose file is missing still is", func(_ *testsuite.TestWorkflowEnvironment, f *fakeHost, _ *workflows.Input) {
			well := f.sync
			f.sync = func(ctx context.Context, w host.Window, beat func(host.Progress)) (host.Result, error) {
				if len(f.attempts) > 2 {
					return host.Result{}, missing
				}
				return well(ctx, w, beat)
			}
		}, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &fakeHost{}
			in := minute()
			in.Maintain, in.MaxWindows = true, 1000
			in.Pace = workflows.Pace{Puts: 500}
			env, m := newMaintained(t, f, 600, in)
			row.change(env, f, &in)
			endAfter(env, 40*time.Minute+30*time.Second)
			start(env, in)
			if len(m.begun) != row.runs {
				t.Errorf("%d runs at %v, want %d", len(m.begun), since(m.begun[0], m.begun), row.runs)
			}
		})
	}
}

// A final pass may take long; no run begins beside it.
func TestNoMaintenanceBeginsWhileADatabaseIsStopped(t *testing.T) {
	f := &fakeHost{}
	in := minute()
	in.Maintain = true
	env, m := newMaintained(t, f, 600, in)
	env.OnActivity(activities.NameSyncOnce, anything, anything).Return((&activities.HostActivities{Host: f}).SyncOnce).
		AfterFn(func() time.Duration {
			if len(f.attempts) == 0 { // the check of a new database
				return 0
			}
			return time.Hour
		})
	at(env, 150*time.Second, func() { send(env, workflows.UpdateStop, "s", workflows.StopRequest{}) })
	start(env, in)
	if len(m.begun) != 1 || len(f.attempts) != 3 {
		t.Errorf("%d runs, want that of the first window alone; %d windows", len(m.begun), len(f.attempts))
	}
}

// The stop cancels the run under way and does not wait for it.
func TestAStopDoesNotWaitForMaintenance(t *testing.T) {
	f := &fakeHost{}
	in := minute()
	in.Maintain = true
	env, m := newMaintained(t, f, 600, in)
	m.takes = 10 * time.Hour
	begin := env.Now()
	at(env, 90*time.Second, func() { send(env, workflows.UpdateStop, "s", workflows.StopRequest{}) })
	start(env, in)
	if took := env.Now().Sub(begin); env.GetWorkflowError() != nil || took > 2*time.Minute || len(m.begun) != 1 {
		t.Errorf("it ended after %v, %v, with %d runs", took, env.GetWorkflowError(), len(m.begun))
	}
}

func TestARunOfTheWorkflowEndsInSpiteOfMaintenance(t *testing.T) {
	for _, row := range []struct {
		name    string
		takes   time.Duration
		suggest bool
		windows int // of the workflow's run
		runs    int // that are remembered
	}{
		{"one that comes to its end is waited for", 5 * time.Minute, false, 8, 1},
		{"one that does not is cancelled after as many windows again", 100 * time.Hour, false, 10, 0},
		{"and at once when the server suggests it", 100 * time.Hour, true, 6, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &fakeHost{}
			in := minute()
			in.Maintain, in.MaxWindows = true, 5
			env, m := newMaintained(t, f, 200, in)
			m.takes = row.takes
			if row.suggest {
				at(env, 330*time.Second, func() {
					env.SetContinueAsNewSuggested(true)
					env.SignalWorkflow(workflows.SignalWake, nil)
				})
			}
			start(env, in)
			next := mustSuccessor(t, env)
			st := next.State.Maintenance
			if next.State.Windows != row.windows || st.Runs != row.runs || !next.Maintain || len(m.begun) != 1 {
				t.Errorf("after %d windows and %d runs of maintenance of which %d are remembered: %+v", next.State.Windows, len(m.begun), st.Runs, st)
			}
			if row.runs == 0 && (st.Failures != 0 || st.Problem != nil) {
				t.Errorf("being cancelled counts as a failure: %+v", st)
			}
			env, m = newMaintained(t, f, 0, next)
			env.SetStartTime(f.attempts[len(f.attempts)-1].Add(time.Minute))
			endAfter(env, 10*time.Minute)
			start(env, next)
			if again := len(m.begun) == 1; again != (row.runs == 0) {
				t.Errorf("%d runs by the next run of the workflow, after %d that are remembered", len(m.begun), row.runs)
			}
		})
	}
}

// Runs that were begun by an earlier version are followed by some that maintain.
func TestTheRunAfterOneOfAnEarlierVersionMaintains(t *testing.T) {
	f := &fakeHost{}
	in := minute()
	in.MaxWindows = 2
	env, m := newMaintained(t, f, 600, in)
	start(env, in)
	if next := mustSuccessor(t, env); !next.Maintain || len(m.begun) != 0 {
		t.Errorf("got %+v after %d runs", next, len(m.begun))
	}
}

func TestAnotherRetentionHoldsAtOnce(t *testing.T) {
	f := &fakeHost{}
	in := minute()
	in.Maintain, in.MaxWindows = true, 1000
	env, m := newMaintained(t, f, 600, in)
	m.takes = 90 * time.Second // so that it is under way when the change comes
	changed := in.Spec
	changed.Settings.Retention, changed.Settings.Level0, changed.Settings.StoreExpires = 720*time.Hour, 2*time.Hour, true
	at(env, 30*time.Second, func() { send(env, workflows.UpdateRegister, "r1", workflows.Registration{Spec: changed}) })
	at(env, 5*time.Minute, func() { send(env, workflows.UpdateRegister, "r2", workflows.Registration{Spec: in.Spec}) })
	at(env, 10*time.Minute, func() { send(env, workflows.UpdateRegister, "r3", workflows.Registration{Spec: in.Spec}) })
	endAfter(env, 12*time.Minute)
	start(env, in)
	var got []string
	for _, in := range m.inputs {
		got = append(got, fmt.Sprintf("%v %v %t", time.Duration(in.Window), time.Duration(in.Level0), in.Keep))
	}
	want := []string{"168h0m0s 1h0m0s false", "720h0m0s 2h0m0s true", "168h0m0s 1h0m0s false"}
	if !slices.Equal(got, want) {
		t.Errorf("asked for %q\nwant      %q", got, want)
	}
	if gaps := since(m.begun[0], m.begun); !slices.Equal(gaps, seconds(0, 30, 300)) {
		t.Errorf("runs at %v, want at once after each change", gaps)
	}
	if s := mustStatus(t, env); s.Maintenance.Runs != 2 || s.Maintenance.Failures != 0 {
		t.Errorf("got %+v, want that the run that was overtaken is not remembered", s.Maintenance)
	}
}

// The run of another replica says nothing of this one.
func TestAMovedReplicaIsMaintainedAnew(t *testing.T) {
	f := &fakeHost{}
	in := minute()
	in.Maintain, in.MaxWindows = true, 1000
	env, m := newMaintained(t, f, 600, in)
	moved := in.Spec
	moved.Replica = "file:///other"
	at(env, 30*time.Second, func() { env.SignalWorkflow(workflows.SignalPin, workflows.Pin{ID: "a"}) })
	at(env, 90*time.Second, func() {
		send(env, workflows.UpdateRegister, "r1", workflows.Registration{Spec: moved, Move: true})
	})
	endAfter(env, 10*time.Minute)
	start(env, in)
	s := mustStatus(t, env)
	if last := m.inputs[len(m.inputs)-1]; last.Replica != "file:///other" || len(last.Pins) != 0 || s.Maintenance.Runs != 1 || len(s.Pins) != 0 {
		t.Errorf("got %+v, %+v", last, s.Maintenance)
	}
}

func TestPinsAreHandedToMaintenance(t *testing.T) {
	f := &fakeHost{}
	in := minute()
	in.Maintain, in.MaxWindows = true, 10_000
	in.Pace = workflows.Pace{Puts: 500, Every: activities.Duration(4 * time.Minute), Late: activities.Duration(10 * time.Minute)}
	env, m := newMaintained(t, f, 600, in)
	begin := env.Now()
	moment := begin.Add(-time.Hour).UTC()
	pin := func(after time.Duration, name string, p any) { at(env, after, func() { env.SignalWorkflow(name, p) }) }
	pin(3*time.Minute, workflows.SignalPin, workflows.Pin{ID: "a", TXID: 7, Until: begin.Add(15 * time.Minute)})
	pin(3*time.Minute+time.Second, workflows.SignalPin, workflows.Pin{ID: "b", At: moment})
	pin(3*time.Minute+time.Second, workflows.SignalPin, "rubbish")
	pin(7*time.Minute, workflows.SignalPin, workflows.Pin{ID: "b", At: moment, TXID: 9})
	pin(11*time.Minute, workflows.SignalUnpin, workflows.Pin{ID: "b"})
	pin(11*time.Minute, workflows.SignalUnpin, workflows.Pin{ID: "nobody"})
	endAfter(env, 20*time.Minute+30*time.Second)
	start(env, in)
	var got []string
	for _, in := range m.inputs {
		var pins []string
		for _, p := range in.Pins {
			pins = append(pins, fmt.Sprintf("%d %t", p.TXID, p.At.Equal(moment)))
		}
		got = append(got, strings.Join(pins, ", "))
	}
	want := []string{"", "7 false, 0 true", "7 false, 9 true", "7 false", "", ""}
	if !slices.Equal(got, want) {
		t.Errorf("pins were %q\nwant      %q, at %v", got, want, since(begin, m.begun))
	}
}

// A pin is for the run under way, too: that one is made again.
func TestAPinReachesTheRunUnderWay(t *testing.T) {
	f := &fakeHost{}
	in := minute()
	in.Maintain, in.MaxWindows = true, 1000
	env, m := newMaintained(t, f, 600, in)
	m.takes = 50 * time.Second
	at(env, 30*time.Second, func() { env.SignalWorkflow(workflows.SignalPin, workflows.Pin{ID: "a", TXID: 7}) })
	endAfter(env, 10*time.Minute)
	start(env, in)
	last := m.inputs[len(m.inputs)-1]
	if got := since(m.begun[0], m.begun); !slices.Equal(got, seconds(0, 30)) || len(last.Pins) != 1 {
		t.Errorf("runs at %v, the last with %+v", got, last.Pins)
	}
}

// What a pin kept goes when it ends, by itself or because it is taken back, though nothing
// is put any more.
func TestWhatAPinKeptExpiresAfterIt(t *testing.T) {
	for _, row := range []struct {
		unpin time.Duration
		want  time.Duration // at least, and at most an hour and an eighth of its age later
	}{{30 * 24 * time.Hour, 24 * time.Hour}, {2 * time.Hour, 2 * time.Hour}} {
		f := &fakeHost{}
		in := minute()
		in.Maintain = true
		env, m := newMaintained(t, f, 600, in)
		begin := env.Now()
		at(env, 0, func() { env.SignalWorkflow(workflows.SignalPin, workflows.Pin{ID: "a"}) })
		at(env, 30*time.Second, func() { env.SignalWorkflow(workflows.SignalPause, nil) })
		at(env, row.unpin, func() { env.SignalWorkflow(workflows.SignalUnpin, workflows.Pin{ID: "a"}) })
		endAfter(env, 30*24*time.Hour)
		start(env, in)
		var pins []int
		for _, in := range m.inputs {
			pins = append(pins, len(in.Pins))
		}
		got := since(begin, m.begun)
		if !slices.Equal(pins, []int{1, 0}) || got[1] < row.want || got[1] > row.want*9/8+time.Hour {
			t.Errorf("taken back after %v: runs at %v with %v pins, want one beside the pin and one after it", row.unpin, got, pins)
		}
	}
}

// A state that an earlier version handed on knows no retention; what has its defaults is
// registered just so.
func TestARegistrationIsTheSameAfterAnEarlierVersion(t *testing.T) {
	f := &fakeHost{}
	in := minute()
	in.MaxWindows = 1
	env, _ := newMaintained(t, f, 1, in)
	start(env, in)
	next := mustSuccessor(t, env)
	next.State.Spec.Settings.Retention, next.State.Spec.Settings.Level0 = 0, 0
	env, _ = newMaintained(t, f, 1, next)
	var a *answer
	at(env, 10*time.Second, func() { a = send(env, workflows.UpdateRegister, "r", workflows.Registration{Spec: in.Spec}) })
	start(env, next)
	if res, is := a.value.(workflows.Registered); !is || res.Changed || res.Status.Settings.Retention != 168*time.Hour {
		t.Errorf("got %+v", a)
	}
}

func TestARunCutShortByItsWorkersEndIsMadeAgain(t *testing.T) {
	f := &fakeHost{}
	in := minute()
	in.Maintain, in.MaxWindows = true, 1000
	env, m := newMaintained(t, f, 600, in)
	m.end = func(n int, _ activities.MaintainInput) (activities.MaintainResult, error) {
		return activities.MaintainResult{Stopped: n == 1, Done: activities.Maintained{Merged: n}}, nil
	}
	endAfter(env, 10*time.Minute)
	start(env, in)
	s := mustStatus(t, env)
	if got := since(m.begun[0], m.begun); !slices.Equal(got, seconds(0, 60)) || s.Maintenance.Runs != 1 || s.Maintenance.Total.Merged != 3 {
		t.Errorf("runs at %v, %+v", got, s.Maintenance)
	}
}

func TestNobodyToMaintainIsSaid(t *testing.T) {
	f := &fakeHost{}
	in := windowed()
	env, m := newMaintained(t, f, 600, in)
	m.end = func(n int, _ activities.MaintainInput) (activities.MaintainResult, error) {
		return activities.MaintainResult{}, temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, errors.New("nobody"))
	}
	endAfter(env, time.Hour)
	start(env, in)
	if s := mustStatus(t, env); s.Maintenance.Problem == nil || s.Maintenance.Problem.Type != workflows.ErrNoMaintainer {
		t.Errorf("got %+v", s.Maintenance.Problem)
	}
}

func TestStatusSaysWhatCanBeRestored(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := workflows.Status{Settings: workflows.DefaultSettings(), Maintaining: noon.Add(time.Minute), Pins: []workflows.Pin{{ID: "a"}}}
	s.Maintenance = workflows.Maintenance{
		Runs: 2, Ended: noon, Oldest: noon.Add(-168 * time.Hour), Objects: 99, Bytes: 12345, Last: activities.Maintained{Merged: 3, Expired: 20},
		Problem: &workflows.Problem{Type: activities.ReplicaDamaged, Message: "an\nobject", At: noon},
	}
	text := s.Markdown()
	for _, want := range []string{
		"- restorable from **2026-02-22T12:00:00Z** on; the window is 168h0m0s, and each put of the last 1h0m0s is a state\n",
		"- maintained at 2026-03-01T12:00:00Z: 3 objects made of others, 20 removed; 99 objects, 12345 bytes are there\n",
		"- **maintenance**: ReplicaDamaged at 2026-03-01T12:00:00Z: an object\n",
		"- maintenance is under way, or waits for a worker, since 2026-03-01T12:01:00Z\n",
		"- 1 restores under way keep what they read\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if quiet := (workflows.Status{}).Markdown(); strings.Contains(quiet, "restorable") || strings.Contains(quiet, "maint") {
		t.Errorf("one that was never maintained says\n%s", quiet)
	}
}
