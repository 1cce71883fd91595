package plan

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/superfly/ltx"
)

const (
	// FanIn is how many neighbouring files of one level become one of the next.
	FanIn = 8

	// mergeLevels is how many levels are merged into the next one: what is on the last
	// but one, of 8^8 transactions a file, is left to snapshots.
	mergeLevels = SnapshotLevel - 1
)

// Merge is a file to be made of others.
type Merge struct {
	Level    int
	Min, Max ltx.TXID
	From     []File // in the order in which they are applied, without a gap
}

// Compaction returns the merges that are due, the lowest level first. What they make
// belongs into those of the next level: ask again before making these.
//
// FanIn neighbours of a level become one file of the next, so each byte is rewritten
// at most once for each level, and no more than FanIn-1 files of a level wait. Where
// nothing can follow any more, because a transaction is missing or begins another page
// size, two will do; one alone stays where it is. A file with all pages is never
// rewritten.
func Compaction(files []File) (due []Merge) {
	for level := range mergeLevels {
		due = append(due, compact(files, level)...)
	}
	return due
}

func compact(files []File, level int) (due []Merge) {
	var run []File // neighbours that nothing on the next level covers
	cut := func(n int) {
		if n == 1 {
			run = nil
			return
		}
		due = append(due, Merge{Level: level + 1, Min: run[0].Min, Max: run[n-1].Max, From: slices.Clone(run[:n])})
		run = run[n:]
	}
	by := covering(files, level+1)
	for _, f := range ofLevel(files, level) {
		_, covered := by(f)
		if len(run) > 0 && (covered || f.Min != run[len(run)-1].Max+1) {
			cut(len(run)) // nothing will come in between
		}
		if covered {
			continue
		}
		if run = append(run, f); len(run) == FanIn {
			cut(FanIn)
		}
	}
	return due
}

// ofLevel returns the files of a level that do not hold all pages, ascending and
// without those that are part of another.
func ofLevel(files []File, level int) (of []File) {
	for _, f := range files {
		if f.Level == level && !f.Complete() && f.Min >= 1 && f.Min <= f.Max {
			of = append(of, f)
		}
	}
	slices.SortFunc(of, func(a, b File) int { return cmp.Or(cmp.Compare(a.Min, b.Min), cmp.Compare(b.Max, a.Max)) })
	end := ltx.TXID(0)
	return slices.DeleteFunc(of, func(f File) bool {
		part := f.Max <= end
		end = max(end, f.Max)
		return part
	})
}

// covering returns a function that finds the file of a level that has all of f.
func covering(files []File, level int) func(f File) (with File, ok bool) {
	in := ofLevel(files, level)
	return func(f File) (File, bool) {
		n := sort.Search(len(in), func(i int) bool { return in[i].Min > f.Min })
		if n == 0 || in[n-1].Max < f.Max {
			return File{}, false
		}
		return in[n-1], true
	}
}

const (
	// snapshotShare is the part of a snapshot that its followers may have, in bytes,
	// before a new one is due: a restore of the latest state reads half as much again
	// at most.
	snapshotShare = 2

	// snapshotLeast is how many bytes they may have at any rate.
	snapshotLeast = 1 << 20
)

// Snapshot returns the merge that makes a snapshot of the latest state; due is false
// when restores would gain too little.
func Snapshot(files []File) (m Merge, due bool) {
	chain, err := Restore(files, Target{})
	if err != nil || len(chain) < 2 {
		return Merge{}, false
	}
	var after int64
	for _, f := range chain[1:] {
		after += f.Size
	}
	if after < snapshotLeast || after < chain[0].Size/snapshotShare {
		return Merge{}, false
	}
	return Merge{Level: SnapshotLevel, Min: 1, Max: chain[len(chain)-1].Max, From: chain}, true
}

// Policy says what a replica is kept for.
type Policy struct {
	Window time.Duration // states of this age can be restored
	Level0 time.Duration // for this long each put is a state of its own
}

// LeastLevel0 is how long each put is kept at least: a writer that was away for less than
// half of that (ship.DefaultSilence) relies on its newest objects being there.
const LeastLevel0 = time.Hour

// grain is for how long the files of a level are kept though a higher one has their
// content. Each level holds FanIn times as many transactions a file, and is kept FanIn
// times as long, so that as many states are kept of each age.
func (p Policy) grain(level int) time.Duration {
	keep := p.Level0
	for range level {
		if keep >= p.Window {
			break
		}
		keep *= FanIn
	}
	return min(keep, p.Window)
}

// Removal is a file that nothing needs any more, with the one that has its content, or
// from which all states begin that are kept.
type Removal struct {
	File File
	For  File
}

// Retention returns what no restore of a state inside the window needs, in the order in
// which it may be removed: after each, all states that are kept can be restored.
//
// A file goes when another has its content and it is older than its level is kept, or
// when it only leads to states before the window. Never the newest file of level 0,
// which says where its writer goes on, nor what it was merged with; never one of pins, of a restore under way;
// never the newest file with all pages. Nor one of level 0 that the store took less than
// Level0 ago, whatever its writer's clock said then: a writer that was away for a while
// looks for the head from its own newest file on.
func Retention(files []File, p Policy, pins []File, now time.Time) (removals []Removal) {
	fresh := func(f File) bool { return f.Level == 0 && !f.Stored.Before(now.Add(-p.Level0)) }
	begin, ok := beginning(files, now.Add(-p.Window), fresh)
	if !ok {
		return nil // nothing can be restored: what is there is for a person to judge
	}
	head := newest(files, func(f File) bool { return f.Level == 0 })
	fixed := func(f File) bool {
		return f == head || f == begin || fresh(f) || slices.Contains(pins, f)
	}
	left := slices.Clone(files)
	holds := holding(files, func(f File) bool { return f == head || fresh(f) })
	for level := SnapshotLevel; level >= 0; level-- {
		instead := substitutes(left, level, p, now, holds)
		left = slices.DeleteFunc(left, func(f File) bool {
			if f.Level != level || fixed(f) {
				return false
			}
			with := begin
			if f.Max > begin.Max || !f.Created.Before(now.Add(-p.Window)) {
				var ok bool
				if with, ok = instead(f); !ok {
					return false
				}
			}
			removals = append(removals, Removal{f, with})
			return true
		})
	}
	slices.SortFunc(removals, func(a, b Removal) int {
		return cmp.Or(cmp.Compare(a.File.Level, b.File.Level), cmp.Compare(a.File.Max, b.File.Max))
	})
	return removals
}

// substitutes returns a function that finds a file above level which has all of f, and
// whose newest content is older than the level below it is kept: all that it was made of
// goes with f then, on each level, and none of that is left without what came before it.
// It is no file that holds some of what must stay.
func substitutes(files []File, level int, p Policy, now time.Time, holds func(File) bool) func(f File) (with File, ok bool) {
	var by []func(File) (File, bool)
	for above := level + 1; above < SnapshotLevel; above++ {
		by = append(by, covering(files, above))
	}
	return func(f File) (File, bool) {
		for i, covering := range by {
			if with, ok := covering(f); ok && !f.Complete() && now.Sub(with.Created) > p.grain(level+i) && !holds(with) {
				return with, true
			}
		}
		return File{}, false
	}
}

// holding returns a function that tells whether f has the content of a file that stays:
// what f was made of stays whole then, as what is left of it alone would look like a loss.
func holding(files []File, stays func(File) bool) func(f File) bool {
	var staying []ltx.TXID
	for _, f := range files {
		if stays(f) {
			staying = append(staying, f.Max)
		}
	}
	slices.Sort(staying)
	return func(f File) bool {
		n, _ := slices.BinarySearch(staying, f.Min)
		return n < len(staying) && staying[n] <= f.Max
	}
}

// beginning returns the file with all pages from which the states since from can be
// restored: the newest before from, or else the oldest. One that comes after a file of
// later is not of before from, whatever its time says, and none comes after a file that
// is fresh.
func beginning(files []File, from time.Time, fresh func(File) bool) (File, bool) {
	complete := func(f File) bool { return f.Complete() && f.Max >= 1 }
	limit := ltx.TXID(1<<64 - 1)
	for _, f := range files {
		if !f.Created.Before(from) {
			limit = min(limit, f.Max)
		}
		if fresh(f) {
			limit = min(limit, f.Max-1)
		}
	}
	before := newest(files, func(f File) bool { return complete(f) && f.Created.Before(from) && f.Max <= limit })
	if before.Max != 0 {
		return before, true
	}
	var first File
	for _, f := range files {
		if complete(f) && (first.Max == 0 || f.Max < first.Max) {
			first = f
		}
	}
	return first, first.Max != 0
}

// newest returns the file with the highest TXID of those that are wanted; of several,
// the one on the highest level.
func newest(files []File, wanted func(File) bool) (found File) {
	for _, f := range files {
		if wanted(f) && (f.Max > found.Max || f.Max == found.Max && f.Level > found.Level) {
			found = f
		}
	}
	return found
}
