package plan_test

import (
	"errors"
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
// missing, which may be of before that time. Only where that state cannot be reached,
// and a file leads from an earlier one over it to a later, it is the earlier one.
func TestRestoreByTimeNeverFallsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		files := rapid.SliceOfN(drawFile(8), 1, 9).Draw(t, "files")
		when := at(rapid.Float64Range(0, 10).Draw(t, "at"))
		chain, err := plan.Restore(files, plan.Target{At: when})
		reachable := func(txid ltx.TXID) bool { _, ok := bruteForce(files, 0, txid); return ok }
		var want, before ltx.TXID // the second of those that can be reached
		for _, f := range files {
			if f.Created.Before(when) {
				want = max(want, f.Max)
				if reachable(f.Max) {
					before = max(before, f.Max)
				}
			}
		}
		if merged(files, before, want, reachable) {
			want = before
		}
		if err == nil && chain[len(chain)-1].Max != want {
			t.Fatalf("%s before %v: %s, want it to end at %d", format(files), when, format(chain), want)
		}
		missing := highest(files) > want && !slices.ContainsFunc(files, func(f plan.File) bool { return f.Min <= want+1 && want+1 <= f.Max })
		if missing && err == nil {
			t.Fatalf("%s before %v: %s, though %d is missing", format(files), when, format(chain), want+1)
		}
		if err != nil && reachable(want) && want != 0 && !missing {
			t.Fatalf("%s before %v: %v, but there is a chain to %d", format(files), when, err, want)
		}
	})
}

// merged tells whether the state at txid cannot be reached, and the one after before
// that can be has all in between.
func merged(files []plan.File, before, txid ltx.TXID, reachable func(ltx.TXID) bool) bool {
	if before == 0 || before == txid || reachable(txid) {
		return false
	}
	for next := before + 1; next <= highest(files); next++ {
		if reachable(next) {
			return next > txid
		}
	}
	return false
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
