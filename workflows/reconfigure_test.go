package workflows_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/workflows"
)

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
					answers = append(answers, send(env, workflows.UpdateReconfigure, "u"+string(rune('1'+i)), workflows.Reconfiguration{Settings: json.RawMessage(c)}))
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
		send(env, workflows.UpdateReconfigure, "u", workflows.Reconfiguration{Settings: json.RawMessage(`{"interval": "2m0s"}`)})
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
