package workflows_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/testsuite"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/workflows"
)

// reconfigure sends a change of settings, written as JSON.
func reconfigure(env *testsuite.TestWorkflowEnvironment, id, settings string) *answer {
	return send(env, workflows.UpdateReconfigure, id, workflows.Reconfiguration{Settings: json.RawMessage(settings)})
}

func TestReconfigure(t *testing.T) {
	for _, row := range []struct {
		name    string
		changes []string // all sent at once
		want    func(*workflows.Settings)
		changed bool // by the last of them
		says    string
	}{
		{name: "what is the same changes nothing", changes: []string{`{"interval": "1m"}`}, want: func(*workflows.Settings) {}},
		{
			name: "one setting", changes: []string{`{"interval": "2m0s"}`}, changed: true,
			want: func(s *workflows.Settings) { s.Interval = 2 * time.Minute },
		},
		{
			name: "never", changes: []string{`{"autonomy": "-1s"}`}, changed: true,
			want: func(s *workflows.Settings) { s.Autonomy = -time.Second },
		},
		{
			name: "two at once", changes: []string{`{"interval": "2m0s"}`, `{"retention_window": "72h"}`}, changed: true,
			want: func(s *workflows.Settings) { s.Interval, s.Retention = 2*time.Minute, 72*time.Hour },
		},
		{name: "one that cannot work", changes: []string{`{"heartbeat": "1ms"}`}, want: func(*workflows.Settings) {}, says: "heartbeat: got 1ms, want 1s"},
		{name: "one that is not there", changes: []string{`{"intervall": "1s"}`}, want: func(*workflows.Settings) {}, says: `"intervall"`},
		{name: "nothing where a duration belongs", changes: []string{`{"window": null}`}, want: func(*workflows.Settings) {}, says: "null"},
		{name: "no object", changes: []string{`3`}, want: func(*workflows.Settings) {}, says: "settings"},
		{
			name: "two that cannot work together", changes: []string{`{"retention_window": "3h"}`, `{"retention_level0": "4h"}`},
			want: func(s *workflows.Settings) { s.Retention = 3 * time.Hour }, says: "retention window: got 3h0m0s, want 4h0m0s",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &fakeHost{}
			env := newEnv(t, f)
			forever(f)
			in := minute()
			var answers []*answer
			at(env, 70*time.Second, func() {
				for i, c := range row.changes {
					answers = append(answers, reconfigure(env, "u"+string(rune('1'+i)), c))
				}
			})
			var s workflows.Status
			at(env, 75*time.Second, func() { s = mustStatus(t, env) })
			endAfter(env, 4*time.Minute)
			start(env, in)
			want := workflows.DefaultSettings()
			want.Interval, want.Window, want.BackoffCap = in.Spec.Settings.Interval, in.Spec.Settings.Window, in.Spec.Settings.BackoffCap
			row.want(&want)
			if s.Settings != want {
				t.Errorf("in force: %+v, want %+v", s.Settings, want)
			}
			if got := f.windows[len(f.windows)-1].Interval; got != want.Interval {
				t.Errorf("the last window has an interval of %v, want %v", got, want.Interval)
			}
			last := answers[len(answers)-1]
			if row.says != "" {
				if msg := last.mustType(t, workflows.ErrRefused); !strings.Contains(msg, row.says) {
					t.Errorf("%q does not say %s", msg, row.says)
				}
				return
			}
			if got, is := last.value.(workflows.Reconfigured); !is || got.Changed != row.changed {
				t.Errorf("got %+v, want changed %t", last, row.changed)
			}
		})
	}
}

// TestReconfigureLeavesWhatNeedsAPerson changes a setting of a database that is fenced.
func TestReconfigureLeavesWhatNeedsAPerson(t *testing.T) {
	f := &fakeHost{script: []error{ok, fenced}}
	env := newEnv(t, f)
	var windows int
	at(env, 5*time.Minute, func() {
		windows = len(f.windows)
		reconfigure(env, "u", `{"interval": "2m0s"}`)
	})
	at(env, 10*time.Minute, func() {
		if s := mustStatus(t, env); s.Phase != workflows.Fenced || s.Settings.Interval != 2*time.Minute || len(f.windows) != windows {
			t.Errorf("%s with interval %v after %d windows more", s.Phase, s.Settings.Interval, len(f.windows)-windows)
		}
	})
	endAfter(env, 11*time.Minute)
	start(env, minute())
	if windows == 0 {
		t.Error("no window was begun")
	}
}

// What is kept of the past changes while a run of maintenance is under way, then while
// none is, and then not at all.
func TestAReconfiguredRetentionHoldsAtOnce(t *testing.T) {
	const before = "168h0m0s 1h0m0s false"
	for _, row := range []struct {
		name         string
		change, undo string
		asked        []string // window, level0 and whether the store expires, of each run
		begun        []time.Duration
	}{
		{"the window", `{"retention_window": "720h"}`, `{"retention_window": "168h"}`, []string{"720h0m0s 1h0m0s false", before}, seconds(0, 30, 300)},
		{"that of each put", `{"retention_level0": "2h"}`, `{"retention_level0": "1h"}`, []string{"168h0m0s 2h0m0s false", before}, seconds(0, 30, 300)},
		{"who expires", `{"retention_store": true}`, `{"retention_store": false}`, []string{"168h0m0s 1h0m0s true", before}, seconds(0, 30, 300)},
		{"another setting is none of it", `{"interval": "2m0s"}`, `{"interval": "1m0s"}`, nil, seconds(0)},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &fakeHost{}
			in := minute()
			in.Maintain, in.MaxWindows = true, 1000
			env, m := newMaintained(t, f, 600, in)
			m.takes = 90 * time.Second
			var answers []*answer
			for i, c := range []string{row.change, row.undo, row.undo} {
				after := []time.Duration{30 * time.Second, 5 * time.Minute, 10 * time.Minute}[i]
				at(env, after, func() { answers = append(answers, reconfigure(env, fmt.Sprint(i), c)) })
			}
			endAfter(env, 12*time.Minute)
			start(env, in)
			var asked []string
			for _, in := range m.inputs {
				asked = append(asked, fmt.Sprintf("%v %v %t", time.Duration(in.Window), time.Duration(in.Level0), in.Keep))
			}
			if want := append([]string{before}, row.asked...); !slices.Equal(asked, want) {
				t.Errorf("asked for %q\nwant      %q", asked, want)
			}
			if got := since(m.begun[0], m.begun); !slices.Equal(got, row.begun) {
				t.Errorf("runs at %v, want %v", got, row.begun)
			}
			for i, want := range []bool{true, true, false} {
				if got, is := answers[i].value.(workflows.Reconfigured); !is || got.Changed != want {
					t.Errorf("answer %d: got %+v, want changed %t", i, answers[i], want)
				}
			}
			s := mustStatus(t, env)
			if want := max(1, len(row.asked)); s.Maintenance.Runs != want || s.Maintenance.Failures != 0 || s.Maintenance.Due {
				t.Errorf("%d runs are remembered, want %d without that which was overtaken: %+v", s.Maintenance.Runs, want, s.Maintenance)
			}
		})
	}
}

// A run that only waits for somebody's answer refuses a change, and the next one makes it.
func TestAReconfigurationAtTheEndOfARunIsTheNextOnes(t *testing.T) {
	f := &fakeHost{}
	env := newEnv(t, f)
	var synced, refused *answer
	f.sync = func(context.Context, host.Window, func(host.Progress)) (host.Result, error) {
		synced = send(env, workflows.UpdateSync, "s", workflows.Message{})
		return host.Result{Reason: host.WindowOver, Progress: host.Progress{Passes: 1}}, nil
	}
	env.OnActivity(activities.NameSyncOnce, anything, anything).Return((&activities.HostActivities{Host: f}).SyncOnce).
		AfterFn(func() time.Duration {
			if len(f.attempts) == 0 { // the check of a new database
				return 0
			}
			return time.Minute
		})
	at(env, 30*time.Second, func() { refused = reconfigure(env, "u", `{"interval": "2m0s"}`) })
	in := minute()
	in.MaxWindows = 1
	start(env, in)
	next := mustSuccessor(t, env)
	if refused.mustType(t, workflows.ErrContinueAsNewPending); !refused.rejected || !workflows.RetryLater(refused.err) {
		t.Errorf("got %+v, want a refusal", refused)
	}
	if got := next.State.Spec.Settings.Interval; got != time.Minute || next.State.Handled.Updates != 1 || synced.err != nil {
		t.Errorf("the next run has an interval of %v after %d updates, the first answered %v", got, next.State.Handled.Updates, synced.err)
	}

	g := &fakeHost{}
	env = newEnv(t, g)
	forever(g)
	var again *answer
	at(env, time.Second, func() { again = reconfigure(env, "u", `{"interval": "2m0s"}`) })
	next.MaxWindows = 1000
	endAfter(env, 10*time.Minute)
	start(env, next)
	got, is := again.value.(workflows.Reconfigured)
	if last := g.windows[len(g.windows)-1]; !is || !got.Changed || got.Status.Runs != 2 || last.Interval != 2*time.Minute {
		t.Errorf("sent again: got %+v, and an interval of %v", again, last.Interval)
	}
}

// A change that waits for the window under way holds in the run that begins after it.
func TestARunWaitsForAReconfigurationThatItLetIn(t *testing.T) {
	f := &fakeHost{}
	env := newEnv(t, f)
	var a *answer
	f.sync = func(ctx context.Context, _ host.Window, _ func(host.Progress)) (host.Result, error) {
		a = reconfigure(env, "u", `{"interval": "2m0s"}`)
		for f.called("StopSync after 0") == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		return host.Result{Reason: host.Stopped, Progress: host.Progress{Passes: 1}}, nil
	}
	in := minute()
	in.MaxWindows = 1
	start(env, in)
	next := mustSuccessor(t, env)
	if got, is := a.value.(workflows.Reconfigured); !is || !got.Changed || next.State.Spec.Settings.Interval != 2*time.Minute {
		t.Errorf("got %+v, and an interval of %v", a, next.State.Spec.Settings.Interval)
	}
}
