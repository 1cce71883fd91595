package plan_test

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/superfly/ltx"
	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast/internal/plan"
)

// Law: a chain begins with all pages, leaves no gap, goes forward, ends at the
// target and costs no more than any other chain; without a chain there is an
// error, and only then.
func TestRestoreIsContiguousAndCheapest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		files := rapid.SliceOfN(drawFile(8), 0, 9).Draw(t, "files")
		target := plan.Target{TXID: ltx.TXID(rapid.IntRange(0, 9).Draw(t, "target"))}
		chain, err := plan.Restore(files, target)

		want := target.TXID
		if want == 0 {
			want = highest(files)
		}
		best, possible := bruteForce(files, 0, want)
		if err != nil {
			if possible && want != 0 {
				t.Fatalf("%s to %d: %v, but there is a chain of %d bytes", format(files), want, err, best)
			}
			if !isPlanError(err) {
				t.Fatalf("%v matches no sentinel", err)
			}
			return
		}
		if fault := chainFault(chain, want); fault != "" {
			t.Fatalf("%s to %d: %s: %s", format(files), want, format(chain), fault)
		}
		if got := bytesOf(chain); !possible || got != best {
			t.Fatalf("%s to %d: %s has %d bytes, want %d", format(files), want, format(chain), got, best)
		}
	})
}

// Law: the state for a time is the one with the highest TXID among the files created
// before it, or there is an error. It is one too where the file that follows is
// missing, which may be of before that time, unless all is gone that a merge with it was
// made of; and where a lower TXID was created later.
func TestRestoreByTimeNeverFallsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		files := rapid.SliceOfN(drawFile(8), 1, 9).Draw(t, "files")
		when := at(rapid.Float64Range(0, 10).Draw(t, "at"))
		chain, err := plan.Restore(files, plan.Target{At: when})
		times := labels(files)
		var want ltx.TXID
		for txid, created := range times {
			if created.Before(when) {
				want = max(want, txid)
			}
		}
		if err == nil && chain[len(chain)-1].Max != want {
			t.Fatalf("%s before %v: %s, want it to end at %d", format(files), when, format(chain), want)
		}
		_, possible := bruteForce(files, 0, want)
		unclear := missing(files, want) || contradict(times, want, when)
		if unclear && err == nil {
			t.Fatalf("%s before %v: %s, though that is not clear", format(files), when, format(chain))
		}
		if err != nil && possible && want != 0 && !unclear {
			t.Fatalf("%s before %v: %v, but there is a chain to %d", format(files), when, err, want)
		}
	})
}

// labels returns when the states were created, as the lowest level has it.
func labels(files []plan.File) map[ltx.TXID]time.Time {
	times := make(map[ltx.TXID]time.Time)
	for level := 9; level >= 0; level-- {
		of := make(map[ltx.TXID]time.Time)
		for _, f := range files {
			if old, ok := of[f.Max]; f.Level == level && (!ok || f.Created.Before(old)) {
				of[f.Max] = f.Created
			}
		}
		maps.Copy(times, of)
	}
	return times
}

// contradict tells whether something before txid is not of before when, or the times do
// not rise from the state before txid to it, or from the next one to the one after it.
func contradict(times map[ltx.TXID]time.Time, txid ltx.TXID, when time.Time) bool {
	all := slices.Sorted(maps.Keys(times))
	at := slices.Index(all, txid)
	rises := func(i int) bool {
		return i < 0 || i+1 >= len(all) || times[all[i]].Before(times[all[i+1]])
	}
	for _, earlier := range all[:max(at, 0)] {
		if !times[earlier].Before(when) {
			return true
		}
	}
	return at >= 0 && !(rises(at-1) && rises(at+1))
}

func newestShipped(files []plan.File) (txid ltx.TXID) {
	for _, f := range files {
		if f.Level == 0 {
			txid = max(txid, f.Max)
		}
	}
	return txid
}

// missing tells whether files lack the one after txid.
func missing(files []plan.File, txid ltx.TXID) bool {
	if highest(files) <= txid {
		return false
	}
	gone := true
	for _, f := range files {
		if f.Min == 1 {
			gone = gone && f.Max != txid+1
			continue
		}
		if f.Min > txid+1 || f.Max <= txid {
			continue
		}
		whole := true // or a part of it is left, but not that
		for _, part := range files {
			if part.Level == 0 && part.Max == f.Max && part.Max == newestShipped(files) {
				continue // which is never removed
			}
			whole = whole && (part.Level >= f.Level || part.Min < f.Min || part.Max > f.Max || part.Min == f.Min && part.Max == f.Max)
		}
		gone = gone && !whole
	}
	return gone
}

func TestRestoreOfManyFilesIsQuick(t *testing.T) {
	const n = 100_000
	files := make([]plan.File, 0, n+n/16)
	for i := ltx.TXID(1); i <= n; i++ {
		files = append(files, plan.File{Min: i, Max: i, Size: 100})
		if i%16 == 0 {
			files = append(files, plan.File{Level: 1, Min: i - 15, Max: i, Size: 1000})
		}
	}
	began := time.Now()
	chain, err := plan.Restore(files, plan.Target{})
	if err != nil {
		t.Fatal(err)
	}
	if len(chain) != n/16 {
		t.Errorf("chain of %d files, want %d", len(chain), n/16)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
}

// drawFile draws what a store may hold: level 0 of one TXID, snapshots from 1,
// merges between them.
func drawFile(last int) *rapid.Generator[plan.File] {
	return rapid.Custom(func(t *rapid.T) plan.File {
		f := plan.File{Level: rapid.SampledFrom([]int{0, 0, 0, 1, 2, 9}).Draw(t, "level")}
		hi := rapid.IntRange(1, last).Draw(t, "max")
		lo := hi
		switch {
		case f.Level == 9:
			lo = 1
		case f.Level > 0:
			lo = rapid.IntRange(1, hi).Draw(t, "min")
		}
		f.Min, f.Max = ltx.TXID(lo), ltx.TXID(hi)
		f.Size = rapid.Int64Range(0, 20).Draw(t, "size")
		f.Created = at(float64(hi) + rapid.Float64Range(-1.5, 1.5).Draw(t, "skew"))
		return f
	})
}

// bruteForce tries every chain from state on and returns the fewest bytes.
func bruteForce(files []plan.File, state, target ltx.TXID) (best int64, possible bool) {
	if state == target {
		return 0, true
	}
	for _, f := range files {
		if f.Min > state+1 || f.Max <= state || f.Max > target {
			continue
		}
		if rest, ok := bruteForce(files, f.Max, target); ok && (!possible || f.Size+rest < best) {
			best, possible = f.Size+rest, true
		}
	}
	return best, possible
}

func chainFault(chain []plan.File, want ltx.TXID) string {
	if len(chain) == 0 || !chain[0].Complete() {
		return "does not begin with all pages"
	}
	for i := 1; i < len(chain); i++ {
		if !ltx.IsContiguous(chain[i-1].Max, chain[i].Min, chain[i].Max) {
			return "is not contiguous"
		}
	}
	if chain[len(chain)-1].Max != want {
		return "ends elsewhere"
	}
	return ""
}

func highest(files []plan.File) (txid ltx.TXID) {
	for _, f := range files {
		txid = max(txid, f.Max)
	}
	return txid
}

func bytesOf(files []plan.File) (n int64) {
	for _, f := range files {
		n += f.Size
	}
	return n
}

func isPlanError(err error) bool {
	return errors.Is(err, plan.ErrEmpty) || errors.Is(err, plan.ErrTarget) ||
		errors.Is(err, plan.ErrNoSnapshot) || errors.Is(err, plan.ErrGap)
}
