package workflows_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/testsuite"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/workflows"
)

func seconds(all ...float64) (ds []time.Duration) {
	for _, s := range all {
		ds = append(ds, time.Duration(s*float64(time.Second)))
	}
	return ds
}

// TestBackoff plays what attempts meet and measures, in virtual time, the gaps
// between them. A row's script begins after a first window that went well; the
// next one, but for the plain form, begins at once.
func TestBackoff(t *testing.T) {
	for _, row := range []struct {
		name     string
		change   func(*workflows.Settings)
		script   []error
		gaps     []time.Duration // from the attempt before each of the script
		cleanUps []string
	}{
		{
			name:   "the script of the design",
			script: []error{disk, net, disk, disk, net, disk, ok, disk, ok},
			gaps:   seconds(0, 1, 2, 4, 8, 8, 8, 1, 1), cleanUps: []string{"CleanUp after 3", "CleanUp with folding after 4", "CleanUp with folding after 6"},
		},
		{
			name:   "the same in the plain form",
			change: func(s *workflows.Settings) { s.Window = 0 },
			script: []error{disk, net, disk, disk, net, disk, ok, disk, ok},
			gaps:   seconds(1, 1, 2, 4, 8, 8, 8, 1, 1), cleanUps: []string{"CleanUp after 3", "CleanUp with folding after 4", "CleanUp with folding after 6"},
		},
		{
			name:   "two kills and one full disk do not clean up",
			script: []error{kill, kill, disk, ok},
			gaps:   seconds(0, 1, 2, 4), // the policy's attempts count kills, the failures do not
		},
		{
			name:   "two full disks do not clean up",
			script: []error{disk, disk, ok},
			gaps:   seconds(0, 1, 2),
		},
		{
			name:   "kills between do not count",
			script: []error{disk, kill, net, kill, disk, ok},
			gaps:   seconds(0, 1, 2, 4, 8, 4), cleanUps: []string{"CleanUp after 3"},
		},
		{
			name:   "a pass that succeeds between starts the count again",
			script: []error{disk, disk, ok, disk, disk, ok},
			gaps:   seconds(0, 1, 2, 1, 1, 2),
		},
		{
			name:   "an interval of 0 backs off from a second",
			change: func(s *workflows.Settings) { s.Interval = 0 },
			script: []error{net, net, ok, ok},
			gaps:   seconds(0, 1, 2, 0),
		},
		{
			name:   "an interval above the cap waits the cap after failures",
			change: func(s *workflows.Settings) { s.Interval = time.Minute },
			script: []error{net, net, ok, ok},
			gaps:   seconds(0, 8, 8, 60),
		},
		{
			name:   "a missing database is looked for every cap",
			script: []error{missing, missing, ok, ok},
			gaps:   seconds(0, 8, 8, 1),
		},
		{
			name:   "a short interval doubles from itself",
			change: func(s *workflows.Settings) { s.Interval = 250 * time.Millisecond },
			script: []error{disk, disk, disk, disk, ok},
			gaps:   seconds(0, 0.25, 0.5, 1, 2), cleanUps: []string{"CleanUp after 3", "CleanUp with folding after 4"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &fakeHost{script: append([]error{ok}, row.script...)}
			env := newEnv(t, f)
			mortal(env, f)
			f.done = env.CancelWorkflow
			in := workflows.Input{Spec: spec()}
			if row.change != nil {
				row.change(&in.Settings)
			}
			start(env, in)
			if got := f.gaps()[:len(row.gaps)]; !slices.Equal(got, row.gaps) {
				t.Errorf("gaps: got %v, want %v", got, row.gaps)
			}
			if got := only(f.events, "CleanUp"); !slices.Equal(got, row.cleanUps) {
				t.Errorf("clean-ups: got %q, want %q", got, row.cleanUps)
			}
		})
	}
}

// mortal makes the end kill look as the server makes it look: the attempt ends
// without a word, another one follows, and the heartbeat's details stay.
func mortal(env *testsuite.TestWorkflowEnvironment, f *fakeHost) {
	acts := &activities.HostActivities{Host: f}
	env.OnActivity(activities.NameSync, anything, anything).Return(
		func(ctx context.Context, in activities.SyncInput) (activities.SyncResult, error) {
			f.mu.Lock()
			dies := len(f.script) > 0 && f.script[0] == kill
			if dies {
				f.script = f.script[1:]
				f.attempts = append(f.attempts, f.now())
			}
			f.mu.Unlock()
			if dies {
				return activities.SyncResult{}, fmt.Errorf("heartbeat timeout of attempt %d", activity.GetInfo(ctx).Attempt)
			}
			return acts.Sync(ctx, in)
		})
}

func only(events []string, prefix string) (some []string) {
	for _, e := range events {
		if len(e) >= len(prefix) && e[:len(prefix)] == prefix {
			some = append(some, e)
		}
	}
	return some
}

func TestCleanUpsOwnFailureStopsNothing(t *testing.T) {
	f := &fakeHost{script: []error{ok, disk, disk, disk, disk, ok}, clean: net}
	env := newEnv(t, f)
	f.done = env.CancelWorkflow
	start(env, workflows.Input{Spec: spec()})
	if got, want := f.gaps()[:5], seconds(0, 1, 2, 4, 8); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	s := mustStatus(t, env)
	if s.CleanUps.Failed != 2 || s.CleanUps.Count != 0 || s.Failures != 0 {
		t.Errorf("got %+v, %d failures", s.CleanUps, s.Failures)
	}
}

func TestStatusSaysWhichStatesWereGivenUp(t *testing.T) {
	f := &fakeHost{script: []error{ok, disk, disk, disk, disk, ok, disk, disk, disk, ok}}
	env := newEnv(t, f)
	f.done = env.CancelWorkflow
	start(env, workflows.Input{Spec: spec()})
	got := only(f.events, "CleanUp")
	if want := []string{"CleanUp after 3", "CleanUp with folding after 4", "CleanUp after 7"}; !slices.Equal(got, want) {
		t.Errorf("clean-ups: got %q, want %q", got, want)
	}
	s := mustStatus(t, env)
	if g := s.CleanUps.Folded; g == nil || g.Files != 2 || g.Until.Sub(g.From) != time.Second {
		t.Errorf("given up: got %+v, want two files with a second between them", g)
	}
}

// The first window is one pass, as is one that may take over, so that the
// workflow knows soon and a permission is used once.
func TestLengthOfWindows(t *testing.T) {
	f := &fakeHost{script: []error{net, ok, ok, ok}}
	env := newEnv(t, f)
	f.done = env.CancelWorkflow
	in := workflows.Input{Spec: spec()}
	in.TakeOver = true
	start(env, in)
	var got []string
	for _, w := range f.windows[:4] {
		got = append(got, fmt.Sprintf("%s take-over %t failures %d", w.Length, w.TakeOver, w.Failures))
	}
	want := []string{
		"0s take-over true failures 0", "0s take-over true failures 1",
		"10m0s take-over false failures 0", "10m0s take-over false failures 0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// An interval that does not fit into a window makes it a plain one.
func TestLengthOfWindowsWithALongInterval(t *testing.T) {
	f := &fakeHost{script: []error{ok, ok, ok}}
	env := newEnv(t, f)
	f.done = env.CancelWorkflow
	in := workflows.Input{Spec: spec()}
	in.Settings.Interval = time.Hour
	start(env, in)
	if got, want := f.gaps()[:2], seconds(3600, 3600); !slices.Equal(got, want) || f.windows[2].Length != 0 {
		t.Errorf("got %v and windows of %s, want %v and single passes", got, f.windows[2].Length, want)
	}
}

func TestLostWindowIsFollowedAtOnceAndKeepsTheCount(t *testing.T) {
	ends := []host.Result{
		{Reason: host.WindowOver, Progress: host.Progress{Passes: 1}},
		{Reason: host.Lost},
		{Reason: host.WorkerStopping},
	}
	f := &fakeHost{}
	env := newEnv(t, f)
	f.sync = func(context.Context, host.Window, func(host.Progress)) (host.Result, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(ends) == 0 {
			env.CancelWorkflow()
			return host.Result{Reason: host.WindowOver}, nil
		}
		end := ends[0]
		ends = ends[1:]
		return end, nil
	}
	start(env, workflows.Input{Spec: spec()})
	if got, want := f.gaps()[:3], seconds(0, 0, 1); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
