package plan

import (
	"slices"
	"sort"
	"time"

	"github.com/superfly/ltx"
)

// Pinned returns the files that a restore of one of targets may be reading, whatever
// chain it has chosen, and whenever: those that end no later than its state does, and
// what belongs to the same merges, so that no moment is left with half of them. The
// zero Target, the latest state, pins all files.
func Pinned(files []File, targets []Target) (pinned []File) {
	var end ltx.TXID
	for _, t := range targets {
		end = max(end, t.end(files))
	}
	for grew := true; grew; {
		grew = false
		for _, f := range files {
			if !f.Complete() && f.Min <= end && f.Max > end {
				end, grew = f.Max, true
			}
		}
	}
	for _, f := range files {
		if f.Max <= end {
			pinned = append(pinned, f)
		}
	}
	return pinned
}

// end is the last TXID that a chain to t may reach.
func (t Target) end(files []File) (end ltx.TXID) {
	if t.TXID != 0 {
		return t.TXID
	}
	for _, f := range files {
		if t.At.IsZero() || f.Created.Before(t.At) {
			end = max(end, f.Max)
		}
	}
	return end
}

// NextRemoval returns the first instant after now at which Retention has more to remove than
// at now, when nothing is put or merged until then. ok is false when that never comes.
func NextRemoval(files []File, p Policy, pins []File, now time.Time) (at time.Time, ok bool) {
	ages := []time.Duration{p.Window}
	for level := range SnapshotLevel {
		ages = append(ages, p.grain(level))
	}
	slices.Sort(ages)
	ages = slices.Compact(ages)
	var when []time.Time
	for _, f := range files {
		for _, age := range ages {
			if at := f.Created.Add(age + time.Millisecond); at.After(now) {
				when = append(when, at)
			}
		}
		if at := f.Stored.Add(p.Level0 + time.Millisecond); f.Level == 0 && at.After(now) {
			when = append(when, at)
		}
	}
	slices.SortFunc(when, time.Time.Compare)
	have := len(Retention(files, p, pins, now))
	n := sort.Search(len(when), func(i int) bool { return len(Retention(files, p, pins, when[i])) > have })
	if n == len(when) {
		return time.Time{}, false
	}
	return when[n], true
}
