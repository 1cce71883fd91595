package maintain_test

import (
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/maintain"
	"github.com/holdfast-db/holdfast/internal/plan"
)

// TestNothingGoesThatARestoreMayRead removes beside a restore of TXID 60, and after it.
func TestNothingGoesThatARestoreMayRead(t *testing.T) {
	h := newHistory(t)
	if _, err := h.maintain(t.Context(), h.store, time.Second); err != nil {
		t.Fatal(err)
	}
	o := h.options(h.store, time.Second)
	o.Pins = []plan.Target{{TXID: 60}}
	pinned, err := maintain.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range pinned.Expired {
		if f.Max <= 60 {
			t.Errorf("%v went, which a restore of TXID 60 may read", f)
		}
	}
	h.check(t, time.Second)
	o.Pins = nil
	after, err := maintain.Run(t.Context(), o)
	if err != nil || len(pinned.Expired) == 0 || len(after.Expired) < 40 {
		t.Errorf("%d objects went beside the restore, and %d after it, %v; want some and 40", len(pinned.Expired), len(after.Expired), err)
	}
	h.check(t, time.Second)
}

// TestProgressIsTold counts along with the merges of a run.
func TestProgressIsTold(t *testing.T) {
	h := newHistory(t)
	o := h.options(h.store, time.Second)
	var told []int
	o.Progress = func(r maintain.Report) { told = append(told, len(r.Merged)) }
	report, err := maintain.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(told) != len(report.Merged) || told[0] != 1 || told[len(told)-1] != len(report.Merged) {
		t.Errorf("told of %v merges, want each of %d", told, len(report.Merged))
	}
}
