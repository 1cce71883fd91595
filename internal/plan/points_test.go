package plan_test

import (
	"testing"
	"time"

	"github.com/superfly/ltx"
	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast/internal/plan"
)

// Law: the points are the TXIDs to which Restore finds a chain, and the ranges that
// are lost are the ends of all other files.
func TestPointsAreWhatRestoreReaches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var files []plan.File
		for range rapid.IntRange(0, 12).Draw(t, "files") {
			lo := ltx.TXID(rapid.IntRange(1, 10).Draw(t, "min"))
			hi := lo + ltx.TXID(rapid.IntRange(0, 4).Draw(t, "more"))
			files = append(files, plan.File{Level: rapid.IntRange(0, 9).Draw(t, "level"), Min: lo, Max: hi, Size: 1, Created: at(float64(hi))})
		}
		points, lost := plan.Points(files)
		got := map[ltx.TXID]bool{}
		for i, p := range points {
			got[p.TXID] = true
			if !p.Created.Equal(at(float64(p.TXID))) || i > 0 && p.TXID <= points[i-1].TXID {
				t.Errorf("point %d is %+v", i, p)
			}
		}
		for _, f := range files {
			_, err := plan.Restore(files, plan.Target{TXID: f.Max})
			if (err == nil) != got[f.Max] {
				t.Errorf("TXID %d: a point %v, restore says %v", f.Max, got[f.Max], err)
			}
			among := 0
			for _, r := range lost {
				if r.Min <= f.Max && f.Max <= r.Max {
					among++
				}
			}
			if wanted := map[bool]int{true: 0, false: 1}[err == nil]; among != wanted {
				t.Errorf("TXID %d is in %d of the lost ranges %v, want %d", f.Max, among, lost, wanted)
			}
		}
	})
}

// TestAPointHasTheTimeByWhichItIsFound: that of the object that was shipped. A snapshot of
// Litestream's has the time at which it was made.
func TestAPointHasTheTimeByWhichItIsFound(t *testing.T) {
	files := []plan.File{
		{Level: 0, Min: 1, Max: 1, Size: 9, Created: at(1)}, {Level: 0, Min: 2, Max: 2, Size: 1, Created: at(2)},
		{Level: 9, Min: 1, Max: 2, Size: 1, Created: at(7)}, {Level: 0, Min: 3, Max: 3, Size: 1, Created: at(3)},
	}
	points, _ := plan.Points(files)
	for _, p := range points {
		if !p.Created.Equal(at(float64(p.TXID))) {
			t.Errorf("TXID %d is of %v", p.TXID, p.Created)
		}
		if chain, err := plan.Restore(files, plan.Target{At: p.Created.Add(time.Millisecond)}); err != nil || chain[len(chain)-1].Max != p.TXID {
			t.Errorf("right after %v: %v, %v; want TXID %d", p.Created, chain, err, p.TXID)
		}
	}
}

func TestSpansSortStatesByAge(t *testing.T) {
	var points []plan.Point
	add := func(ago time.Duration) {
		points = append(points, plan.Point{TXID: ltx.TXID(len(points) + 1), Created: epoch.Add(-ago)})
	}
	add(90 * 24 * time.Hour)
	for h := 20; h >= 2; h -= 2 {
		add(time.Duration(h) * time.Hour)
	}
	add(time.Minute)
	add(59 * time.Second)
	add(-time.Second) // the clock of whoever asks is behind
	got := plan.Spans(points, epoch)
	want := []plan.Span{
		{Name: "last hour", Points: 3, First: points[11], Last: points[13], Typical: time.Minute},
		{Name: "last day", Points: 10, First: points[1], Last: points[10], Typical: 2 * time.Hour},
		{Name: "older", Points: 1, First: points[0], Last: points[0]},
	}
	if len(got) != len(want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %+v, want %+v", got[i], want[i])
		}
	}
}
