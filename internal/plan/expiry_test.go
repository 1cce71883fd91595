package plan_test

import (
	"slices"
	"testing"
	"time"

	"github.com/superfly/ltx"
	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast/internal/plan"
)

var week = plan.Policy{Window: 7 * 24 * time.Hour, Level0: time.Hour}

// shippedAt are files of level 0, one a minute, the first with all pages.
func shippedAt(n int) (files []plan.File) {
	for i := 1; i <= n; i++ {
		files = append(files, plan.File{Min: ltx.TXID(i), Max: ltx.TXID(i), Size: 1, Created: at(float64(60 * i))})
	}
	return files
}

// tookLate has the store take files so much later than they are labelled.
func tookLate(files []plan.File, by time.Duration) []plan.File {
	for i := range files {
		files[i].Stored = files[i].Created.Add(by)
	}
	return files
}

func TestNextExpiry(t *testing.T) {
	for _, row := range []struct {
		name    string
		files   []plan.File
		now     time.Duration // after the epoch
		at      time.Duration
		states  []ltx.TXID
		shorter bool
		next    ltx.TXID
	}{
		{name: "eight puts become one, an hour after the last of them", files: shippedAt(12), now: 12 * time.Minute,
			at: 69 * time.Minute, states: []ltx.TXID{2, 3, 4, 5, 6, 7, 8}, next: 9},
		{name: "one that was due is not the next", files: shippedAt(20), now: 70 * time.Minute,
			at: 77 * time.Minute, states: []ltx.TXID{10, 11, 12, 13, 14, 15, 16}, next: 17},
		{name: "a snapshot ends the window", files: append(shippedAt(3), plan.File{Level: 9, Min: 1, Max: 3, Size: 1, Created: at(180)}), now: time.Hour,
			at: 7*24*time.Hour + 3*time.Minute, states: []ltx.TXID{1, 2}, shorter: true, next: 3},
		{name: "eight puts of a writer whose clock is behind, an hour after the store took the last of them", files: tookLate(shippedAt(12), 2*time.Hour), now: 3 * time.Hour,
			at: 189 * time.Minute, states: []ltx.TXID{2, 3, 4, 5, 6, 7, 8}, next: 9},
		{name: "seven that wait stay", files: shippedAt(7), now: time.Hour},
		{name: "nothing", files: nil, now: time.Hour},
	} {
		e, ok := plan.NextExpiry(row.files, week, epoch.Add(row.now))
		if ok != (row.at != 0) {
			t.Errorf("%s: got %+v, %v", row.name, e, ok)
		}
		if !ok {
			continue
		}
		var states []ltx.TXID
		for _, p := range e.States {
			states = append(states, p.TXID)
		}
		if !e.At.Equal(epoch.Add(row.at).Add(time.Millisecond)) || e.Shorter != row.shorter || e.Next.TXID != row.next || !slices.Equal(states, row.states) {
			t.Errorf("%s: got %+v; want %v, %v, shorter %v, %d", row.name, e, epoch.Add(row.at), row.states, row.shorter, row.next)
		}
	}
}

// Law: nothing that is due changes between now and the next expiry, and something does
// then.
func TestNextExpiryIsTheNext(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		files := rapid.SliceOfN(drawFile(40), 1, 30).Draw(t, "files")
		files[0] = plan.File{Min: 1, Max: 1, Size: 1, Created: at(0)}
		policy := plan.Policy{Window: time.Duration(rapid.IntRange(3, 20).Draw(t, "window")) * time.Second, Level0: 2 * time.Second}
		now := at(rapid.Float64Range(0, 10).Draw(t, "now"))
		files = settled(files, policy, now)
		e, ok := plan.NextExpiry(files, policy, now)
		if far := plan.Retention(files, policy, nil, now.Add(time.Hour)); !ok {
			if len(far) > 0 {
				t.Fatalf("%s: nothing will expire, but %v does", format(files), far)
			}
			return
		}
		if early := plan.Retention(files, policy, nil, e.At.Add(-time.Millisecond)); len(early) > 0 {
			t.Fatalf("%s: %v goes before %v", format(files), early, e.At)
		}
		if then := plan.Retention(files, policy, nil, e.At); len(then) != e.Files || len(then) == 0 {
			t.Fatalf("%s: %v go at %v, want %d", format(files), then, e.At, e.Files)
		}
	})
}

// settled is files when nothing is due any more.
func settled(files []plan.File, p plan.Policy, now time.Time) []plan.File {
	for {
		due, gone := plan.Compaction(files), plan.Retention(files, p, nil, now)
		if len(due)+len(gone) == 0 {
			return files
		}
		for _, m := range due[:min(1, len(due))] {
			files = append(files, plan.File{Level: m.Level, Min: m.Min, Max: m.Max, Size: 1, Created: m.From[len(m.From)-1].Created})
		}
		for _, r := range gone {
			files = slices.DeleteFunc(files, func(f plan.File) bool { return f == r.File })
		}
	}
}
