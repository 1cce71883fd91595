package main

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/workflows"
)

func TestStatusSaysWhatIsKept(t *testing.T) {
	s := healthy()
	s.Settings = workflows.DefaultSettings()
	if got := mustSucceed(t, invoke(t, &fakeFleet{status: s}, nil, "status", "shop")); strings.Contains(got, "restorable") || strings.Contains(got, "maint") {
		t.Errorf("before it was ever maintained:\n%s", got)
	}
	s.Maintenance = workflows.Maintenance{
		Runs: 7, Ended: now.Add(-time.Minute), Oldest: now.Add(-100 * time.Hour), Objects: 99, Bytes: 3 << 20, Left: 4, Failures: 2,
		Total:   activities.Maintained{Merged: 30, Expired: 200},
		Problem: &workflows.Problem{Type: activities.Misconfigured, Message: "no right\nto delete", At: now},
	}
	s.Maintaining, s.Pins = now, []workflows.Pin{{ID: "a"}}
	got := mustSucceed(t, invoke(t, &fakeFleet{status: s}, nil, "status", "shop"))
	for _, want := range []string{
		"restorable   from 2026-02-25T05:30:00Z; the window is 168h0m0s, each put of the last 1h0m0s is a state\n",
		"maintained   at 2026-03-01T09:29:00Z: 99 objects, 3.0 MiB; 30 made of others and 200 removed in 7 runs\n",
		"maintaining  or waiting for a worker since 2026-03-01T09:30:00Z\n",
		"maintenance  Misconfigured at 2026-03-01T09:30:00Z: no right to delete\n",
		"restores     1 under way; what they read is kept\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	doc := mustObject(t, invoke(t, &fakeFleet{status: s}, nil, "status", "shop", "-o", "json"))
	kept, _ := doc["retention"].(map[string]any)
	want := map[string]any{
		"restorable_from": "2026-02-25T05:30:00Z", "window_seconds": 604800.0, "level0_seconds": 3600.0, "maintained": "2026-03-01T09:29:00Z",
		"running_since": "2026-03-01T09:30:00Z", "runs": 7.0, "objects": 99.0, "bytes": float64(3 << 20), "merged": 30.0, "expired": 200.0,
		"left": 4.0, "failures": 2.0, "restores": 1.0,
	}
	problem, _ := kept["problem"].(map[string]any)
	delete(kept, "problem")
	if !maps.Equal(kept, want) || problem["type"] != "Misconfigured" {
		t.Errorf("got  %v, %v\nwant %v", kept, problem, want)
	}
}
