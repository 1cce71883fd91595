package plan_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/superfly/ltx"
	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast/internal/plan"
)

// newHistory is one of some puts.
func newHistory(t *rapid.T) *history {
	h := &history{
		t: t, now: epoch, files: map[plan.File]pages{}, truth: map[ltx.TXID]pages{}, made: map[ltx.TXID]time.Time{},
		policy: plan.Policy{Window: time.Duration(rapid.IntRange(20, 300).Draw(t, "window")) * time.Second, Level0: time.Duration(rapid.IntRange(4, 20).Draw(t, "level0")) * time.Second},
	}
	h.behind = rapid.SampledFrom([]time.Duration{0, 0, h.policy.Level0}).Draw(t, "behind")
	for range rapid.IntRange(1, 80).Draw(t, "first puts") {
		h.put()
	}
	return h
}

// live lets some time go by, with puts, merges and, but for what is pinned, removals.
func (h *history) live(targets []plan.Target) {
	for range rapid.IntRange(1, 12).Draw(h.t, "steps") {
		switch rapid.IntRange(0, 3).Draw(h.t, "step") {
		case 0:
			h.now = h.now.Add(time.Duration(rapid.IntRange(1, 200).Draw(h.t, "idle")) * time.Second)
		case 1:
			for range rapid.IntRange(1, 20).Draw(h.t, "puts") {
				h.put()
			}
		default:
			h.compact()
			for _, r := range plan.Retention(h.list(), h.policy, plan.Pinned(h.list(), targets), h.now) {
				delete(h.files, r.File)
			}
			h.check()
		}
	}
}

// Law: whatever chain a restore has chosen, its files are there until its pin is gone,
// and no moment is lost meanwhile.
func TestPinsKeepWhatARestoreReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(t)
		h.live(nil)
		var target plan.Target
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			points, _ := plan.Points(h.list())
			target.TXID = rapid.SampledFrom(points).Draw(t, "point").TXID
		case 1:
			target.At = h.now.Add(-time.Duration(rapid.IntRange(0, 100).Draw(t, "ago")) * time.Second)
		}
		chain, err := plan.Restore(h.list(), target)
		if err != nil {
			return // nothing of that time is kept
		}
		h.live([]plan.Target{target, {TXID: 1}})
		for _, f := range chain {
			if _, ok := h.files[f]; !ok {
				t.Fatalf("%v is gone, of the chain %s to %+v", f, format(chain), target)
			}
		}
	})
}

func TestPinsAreNoMoreThanNeeded(t *testing.T) {
	of := func(level, lo, hi int) plan.File {
		return plan.File{Level: level, Min: ltx.TXID(lo), Max: ltx.TXID(hi), Size: 1, Created: at(float64(hi))}
	}
	files := []plan.File{of(9, 1, 1), of(0, 2, 2), of(0, 3, 3), of(0, 4, 4), of(0, 5, 5), of(1, 2, 3), of(9, 1, 4)}
	for _, row := range []struct {
		name    string
		targets []plan.Target
		want    []plan.File
	}{
		{name: "no restore, no pin"},
		{"what a merge is made of stays together", []plan.Target{{TXID: 2}}, []plan.File{files[0], files[1], files[2], files[5]}},
		{"a time pins what is before it", []plan.Target{{At: at(2)}}, files[:1]},
		{"the last of several", []plan.Target{{TXID: 1}, {TXID: 4}}, slices.Concat(files[:4], files[5:])},
		{"the latest pins all", []plan.Target{{}}, files},
	} {
		if got := plan.Pinned(files, row.targets); !slices.Equal(got, row.want) {
			t.Errorf("%s: got %s, want %s", row.name, format(got), format(row.want))
		}
	}
}

// Law: before that instant nothing more goes, from it on something does. Where none is
// named, nothing ever goes.
func TestNextRemovalIsWhenMoreGoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(t)
		h.live(nil)
		h.compact()
		files := slices.Collect(maps.Keys(h.files))
		goes := func(now time.Time) int { return len(plan.Retention(files, h.policy, nil, now)) }
		have, end := goes(h.now), h.now.Add(2*h.policy.Window)
		at, ok := plan.NextRemoval(files, h.policy, nil, h.now)
		if !ok {
			at = end
		}
		for now := h.now; now.Before(at); now = now.Add(time.Second) {
			if n := goes(now); n != have {
				t.Fatalf("%d files go after %v, %d now; the answer was %v, %t", n, now.Sub(h.now), have, at.Sub(h.now), ok)
			}
		}
		if n := goes(at.Add(-time.Millisecond)); n != have {
			t.Fatalf("%d files go a moment before %v, %d now", n, at.Sub(h.now), have)
		}
		if n := goes(at); ok && n <= have {
			t.Fatalf("%d files go after %v, %d now", n, at.Sub(h.now), have)
		}
	})
}

func TestNextRemovalOfASingleFile(t *testing.T) {
	files := []plan.File{
		{Level: plan.SnapshotLevel, Min: 1, Max: 1, Size: 1, Created: at(0)},
		{Min: 1, Max: 1, Size: 1, Created: at(0)},
		{Min: 2, Max: 2, Size: 1, Created: at(5)},
	}
	policy := plan.Policy{Window: 100 * time.Second, Level0: 10 * time.Second}
	if when, ok := plan.NextRemoval(files, policy, nil, at(20)); !ok || !when.Equal(at(100).Add(time.Millisecond)) {
		t.Errorf("got %v, %t; want when the first state is as old as the window", when, ok)
	}
	if when, ok := plan.NextRemoval(files, policy, files[1:2], at(20)); ok {
		t.Errorf("got %v for what is pinned", when)
	}
}
