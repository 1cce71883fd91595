package plan_test

import (
	"slices"
	"testing"
	"time"

	"github.com/superfly/ltx"
	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast/internal/plan"
)

// drawHistory draws what may be left of a replica: a run of puts with merges and
// snapshots of them, some files gone.
func drawHistory(t *rapid.T) (files []plan.File) {
	head := ltx.TXID(rapid.IntRange(1, 20).Draw(t, "head"))
	add := func(level int, lo, hi ltx.TXID) {
		if rapid.IntRange(0, 9).Draw(t, "gone") > 0 {
			files = append(files, plan.File{Level: level, Min: lo, Max: hi, Size: int64(hi-lo) + 1, Created: at(float64(hi))})
		}
	}
	for txid := ltx.TXID(1); txid <= head; txid++ {
		add(0, txid, txid)
	}
	for lo := ltx.TXID(2); lo+3 <= head; lo += 4 {
		if rapid.Bool().Draw(t, "merged") {
			add(1, lo, lo+3)
		}
	}
	if rapid.Bool().Draw(t, "snapshot") {
		add(plan.SnapshotLevel, 1, ltx.TXID(rapid.IntRange(1, int(head)).Draw(t, "of")))
	}
	return files
}

// Law: what is set aside is damaged. Without it each state restores that sound files lead
// to, by sound ones where no other damaged one is left; the newest file stays; and what is
// told to be lost is just what sound files do not lead to.
func TestMendingLosesNothingSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		files := drawHistory(t)
		var damaged, sound []plan.File
		for _, f := range files {
			if rapid.IntRange(0, 4).Draw(t, "damaged") == 0 {
				damaged = append(damaged, f)
			} else {
				sound = append(sound, f)
			}
		}
		now := at(float64(rapid.IntRange(0, 30).Draw(t, "now"))).Add(plan.NameHeld)
		m := plan.Mend(files, damaged, now)
		left := without(files, m.Aside)
		if len(m.Aside)+len(m.Later) != len(damaged) || len(left) != len(files)-len(m.Aside) {
			t.Fatalf("%s: %d aside, %d later of %d", format(files), len(m.Aside), len(m.Later), len(damaged))
		}
		if highest(left) != highest(files) {
			t.Fatalf("%s: the newest was %d, and is %d", format(files), highest(files), highest(left))
		}
		for _, f := range m.Aside {
			if !slices.Contains(damaged, f) || (f.Level == 0 || f.Level == plan.SnapshotLevel) && now.Sub(f.Created) < plan.NameHeld {
				t.Fatalf("%s: %+v was set aside", format(files), f)
			}
		}
		mustRestoreWhatIsSound(t, left, sound, damaged, m)
	})
}

func mustRestoreWhatIsSound(t *rapid.T, left, sound, damaged []plan.File, m plan.Mending) {
	points, _ := plan.Points(sound)
	for _, p := range points {
		chain, err := plan.Restore(left, plan.Target{TXID: p.TXID})
		if err != nil {
			t.Fatalf("%s: TXID %d: %v", format(left), p.TXID, err)
		}
		if len(m.Later) == 0 && slices.ContainsFunc(chain, func(f plan.File) bool { return slices.Contains(damaged, f) }) {
			t.Fatalf("%s: TXID %d: %s has a damaged file", format(left), p.TXID, format(chain))
		}
	}
	chain, err := plan.Restore(left, plan.Target{})
	fails := err != nil || slices.ContainsFunc(chain, func(f plan.File) bool { return slices.Contains(damaged, f) })
	if m.Snapshot != fails {
		t.Fatalf("%s: a snapshot is needed: %v, the latest state fails: %v", format(left), m.Snapshot, fails)
	}
	for _, f := range append(slices.Clone(left), damaged...) {
		lost := slices.ContainsFunc(m.Lost, func(r plan.Range) bool { return r.Min <= f.Max && f.Max <= r.Max })
		kept := slices.ContainsFunc(points, func(p plan.Point) bool { return p.TXID == f.Max })
		if lost == kept {
			t.Fatalf("%s: TXID %d is lost: %v, can be restored: %v", format(left), f.Max, lost, kept)
		}
	}
}

func without(files, some []plan.File) []plan.File {
	return slices.DeleteFunc(slices.Clone(files), func(f plan.File) bool { return slices.Contains(some, f) })
}

// Law: no state in a gap can be restored, and each end of a file that cannot be is in
// one; a replica from which nothing was lost has none.
func TestGapsAreWhatCannotBeRestored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		files := drawHistory(t)
		gaps := plan.Gaps(files, everything, at(99))
		in := func(txid ltx.TXID) bool {
			return slices.ContainsFunc(gaps, func(g plan.Gap) bool { return g.States.Min <= txid && txid <= g.States.Max })
		}
		points, lost := plan.Points(files)
		for _, p := range points {
			if in(p.TXID) {
				t.Fatalf("%s: TXID %d can be restored, and is in one of %v", format(files), p.TXID, gaps)
			}
		}
		for _, r := range lost {
			if !in(r.Max) {
				t.Fatalf("%s: TXID %d cannot be restored, and is in none of %v", format(files), r.Max, gaps)
			}
		}
		for _, g := range gaps {
			for txid := g.Missing.Min; g.Level < 0 && txid <= g.Missing.Max; txid++ {
				if slices.ContainsFunc(files, func(f plan.File) bool { return f.Min <= txid && txid <= f.Max && (f.Min > 1 || f.Max == txid) }) {
					t.Fatalf("%s: TXID %d is not missing, %v", format(files), txid, g)
				}
			}
		}
	})
}

// everything is kept for longer than any test takes.
var everything = plan.Policy{Window: 1000 * time.Hour, Level0: 100 * time.Hour}

// What is due to go is not missed where some of it is gone: a run of maintenance is under
// way, or was cut off.
func TestWhatIsDueToGoIsNotMissed(t *testing.T) {
	files := mustParse(t, "0:1-1 0:2-2 0:3-3 0:5-5 1:2-5 0:6-6")
	keep := plan.Policy{Window: time.Hour, Level0: 10 * time.Second}
	if got := plan.Gaps(files, keep, at(15)); len(got) != 1 || got[0] != gap(4, 4, 4, 4, 0) {
		t.Errorf("10 s after it was made: %v", got)
	}
	if got := plan.Gaps(files, keep, at(15.1)); len(got) != 0 {
		t.Errorf("when it is due to go: %v", got)
	}
	if got := plan.Gaps(mustParse(t, "0:1-1 0:3-3"), keep, at(1000)); len(got) != 1 {
		t.Errorf("without a merge that has it: %v", got)
	}
}

func TestGapsAreNamed(t *testing.T) {
	for _, row := range []struct {
		name, have string
		want       []plan.Gap
	}{
		{name: "none", have: "s:1-4 0:5-5 0:6-6 1:2-4"},
		{name: "in the middle", have: "0:1-1 0:2-2 0:4-4 0:5-5", want: []plan.Gap{gap(3, 3, 3, 5, -1)}},
		{name: "two", have: "0:1-1 0:3-3 0:5-5", want: []plan.Gap{gap(2, 2, 2, 3, -1), gap(4, 4, 4, 5, -1)}},
		{name: "the beginning", have: "0:3-3 0:4-4", want: []plan.Gap{gap(1, 2, 1, 4, -1)}},
		{name: "up to a snapshot", have: "0:1-1 0:3-3 s:1-4 0:5-5", want: []plan.Gap{gap(2, 2, 2, 3, -1)}},
		{name: "part of a merge", have: "0:1-1 0:2-2 0:3-3 0:5-5 1:2-5", want: []plan.Gap{gap(4, 4, 4, 4, 0)}},
		{name: "all of a merge, but for the newest", have: "0:1-1 0:5-5 1:2-5"},
		{name: "two parts of a merge", have: "0:1-1 0:3-3 0:6-6 1:2-6 0:7-7", want: []plan.Gap{gap(2, 2, 2, 3, 0), gap(4, 5, 4, 5, 0)}},
		{name: "up to the last of all TXIDs", have: "0:1-1 0:18446744073709551615-18446744073709551615", want: []plan.Gap{gap(2, 1<<64-2, 2, 1<<64-1, -1)}},
		{name: "part of a merge whose state another has", have: "0:1-1 0:2-2 0:4-4 1:2-5 s:1-3 0:6-6", want: []plan.Gap{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := plan.Gaps(mustParse(t, row.have), everything, at(99)); !slices.Equal(got, row.want) {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}

func gap(missingMin, missingMax, from, to ltx.TXID, level int) plan.Gap {
	return plan.Gap{Missing: plan.Range{Min: missingMin, Max: missingMax}, States: plan.Range{Min: from, Max: to}, Level: level}
}
