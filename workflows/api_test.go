package workflows_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/workflows"
)

func TestSettingsInHistories(t *testing.T) {
	defaults := workflows.DefaultSettings()
	for _, row := range []struct {
		name, text string
		want       workflows.Settings
	}{
		{"what is missing has its default", `{}`, workflows.Settings{Interval: defaults.Interval, Window: defaults.Window}},
		{"zero means zero", `{"interval": "0s", "window": "0s"}`, workflows.Settings{}},
		{"durations are text", `{"interval": "250ms", "window": "1h", "heartbeat": "30s", "wal_limit_bytes": 7}`,
			workflows.Settings{Interval: 250 * time.Millisecond, Window: time.Hour, Heartbeat: 30 * time.Second, WALLimit: 7}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var got workflows.Settings
			if err := json.Unmarshal([]byte(row.text), &got); err != nil || got != row.want {
				t.Fatalf("got %+v, %v; want %+v", got, err, row.want)
			}
			text, err := json.Marshal(got)
			var again workflows.Settings
			if err == nil {
				err = json.Unmarshal(text, &again)
			}
			if err != nil || again != got {
				t.Errorf("%s became %+v, %v; want %+v", text, again, err, got)
			}
		})
	}
}

func TestInputWithoutSettingsHasTheDefaults(t *testing.T) {
	text, err := json.Marshal(workflows.Input{Spec: workflows.Spec{Name: "shop"}})
	if err != nil || strings.Contains(string(text), "settings") {
		t.Errorf("got %s, %v; want no settings at all", text, err)
	}
}

// The memory for ids is bounded, and the oldest go first.
func TestRecentIDsAreBounded(t *testing.T) {
	f := &fakeHost{}
	env := newEnv(t, f)
	forever(f)
	at(env, 10*time.Second, func() {
		for i := range 100 {
			env.SignalWorkflow(workflows.SignalWake, workflows.Message{ID: fmt.Sprint("w", i)})
		}
	})
	endAfter(env, 100*time.Second)
	start(env, minute())
	s := mustStatus(t, env)
	if n := len(s.Handled.Recent); n != 64 || s.Handled.Recent[63] != "w99" || s.Handled.Signals != 100 {
		t.Errorf("got %d ids of %d signals: %v", n, s.Handled.Signals, s.Handled.Recent)
	}
}

func TestStatusReadsWell(t *testing.T) {
	since := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	s := workflows.Status{
		Name: "shop", Host: "web-1", Path: "/shop.db", Replica: "file:///replica", Phase: workflows.DiskFull, Since: since, Failures: 3,
		Problem:  &workflows.Problem{Type: activities.DiskFull, Message: "ship shop:\n disk full"},
		Progress: activities.Progress{TXID: 12, SyncedAt: since, Puts: 12, Transactions: 80},
	}
	for _, want := range []string{
		"### DiskFull since 2026-03-01T10:00:00Z\n", "The disk of the database, or of its state, is full.", "*What to do:* Make room", "TXID **000000000000000c**", "**3 consecutive failures**, last DiskFull: ship shop: disk full\n",
		"80 transactions in 12 objects", "/shop.db on host web-1", "holdfast restore file:///replica",
	} {
		if !strings.Contains(s.Markdown(), want) {
			t.Errorf("%q is not in\n%s", want, s.Markdown())
		}
	}
}

func TestStartOptions(t *testing.T) {
	in := workflows.Input{Spec: spec(), UseSearchAttributes: true}
	o := workflows.StartOptions(in)
	if phase, _ := o.TypedSearchAttributes.GetKeyword(workflows.AttributePhase); o.ID != "holdfast/db/shop" || o.TaskQueue != "holdfast" || phase != "Starting" {
		t.Errorf("got %+v", o)
	}
	in.UseSearchAttributes = false
	if o := workflows.StartOptions(in); o.TypedSearchAttributes.Size() != 0 {
		t.Errorf("search attributes that the namespace has not: %+v", o.TypedSearchAttributes)
	}
	if workflows.SyncQueue("web-1") != "holdfast-sync/web-1" || workflows.ControlQueue("web-1") != "holdfast-control/web-1" {
		t.Error("queues have other names")
	}
	if workflows.RetryLater(temporal.NewApplicationError("", workflows.ErrRefused)) {
		t.Error("a refusal is not to be sent again")
	}
}
