package main

import (
	"strings"
	"time"

	"github.com/holdfast-db/holdfast/workflows/control"
)

// keptView is what is kept of a replica, and how its last maintenance went.
type keptView struct {
	From         *time.Time   `json:"restorable_from"` // the first state; null until it was maintained
	Window       float64      `json:"window_seconds"`
	Level0       float64      `json:"level0_seconds"`
	StoreExpires bool         `json:"store,omitempty"`
	Maintained   *time.Time   `json:"maintained"`    // when the last run ended
	Running      *time.Time   `json:"running_since"` // or waiting for a worker
	Runs         int          `json:"runs"`
	Objects      int          `json:"objects"` // in the replica, after the last run
	Bytes        int64        `json:"bytes"`
	Merged       int          `json:"merged"` // by all runs
	Expired      int          `json:"expired"`
	Left         int          `json:"left"` // that nothing needs, not removed yet
	Failures     int          `json:"failures"`
	Problem      *problemView `json:"problem"`
	Restores     int          `json:"restores"` // under way, which keep what they read
}

func seeKept(s control.Status) *keptView {
	m := s.Maintenance
	v := &keptView{
		From: instant(m.Oldest), Window: s.Settings.Retention.Seconds(), Level0: s.Settings.Level0.Seconds(), StoreExpires: s.Settings.StoreExpires,
		Maintained: instant(m.Ended), Running: instant(s.Maintaining), Runs: m.Runs, Objects: m.Objects, Bytes: m.Bytes,
		Merged: m.Total.Merged, Expired: m.Total.Expired, Left: m.Left, Failures: m.Failures, Restores: len(s.Pins),
	}
	if p := m.Problem; p != nil {
		v.Problem = &problemView{p.Type, p.Message, instant(p.At)}
	}
	return v
}

// text prints what can be restored, once that is known, and how it is kept so.
func (v keptView) text(line func(name, format string, args ...any)) {
	span := func(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
	if v.From != nil {
		line("restorable", "from %s; the window is %v, each put of the last %v is a state", pointed(v.From), span(v.Window), span(v.Level0))
	}
	if v.Maintained != nil {
		line("maintained", "at %s: %d objects, %s; %d made of others and %d removed in %d runs", pointed(v.Maintained), v.Objects, mebibytes(v.Bytes), v.Merged, v.Expired, v.Runs)
	}
	if v.Running != nil {
		line("maintaining", "or waiting for a worker since %s", pointed(v.Running))
	}
	if p := v.Problem; p != nil {
		line("maintenance", "%s at %s: %s", p.Type, pointed(p.At), strings.Join(strings.Fields(p.Message), " "))
	}
	if v.Restores > 0 {
		line("restores", "%d under way; what they read is kept", v.Restores)
	}
}
