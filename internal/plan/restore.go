package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/superfly/ltx"
)

// Restore returns the chain of files with the fewest bytes that leads to
// target, in the order in which they are applied; of chains with equally many
// bytes, one with the fewest files. It never settles for another state: an
// error that matches ErrEmpty, ErrTarget, ErrNoSnapshot or ErrGap says why
// target cannot be reached.
func Restore(files []File, target Target) ([]File, error) {
	last, err := target.resolve(files)
	if err != nil {
		return nil, err
	}
	usable := make([]File, 0, len(files))
	for _, f := range files {
		if f.Max <= last && f.Min >= 1 && f.Min <= f.Max {
			usable = append(usable, f)
		}
	}
	chain, reached := cheapest(usable)
	switch {
	case reached == last:
		return chain, nil
	case reached == 0:
		return nil, noSnapshot(files, last)
	default:
		return nil, &GapError{Min: reached + 1, Max: nextAfter(usable, reached) - 1, Target: last}
	}
}

// resolve returns the TXID that t means. A file ends there.
func (t Target) resolve(files []File) (ltx.TXID, error) {
	switch {
	case len(files) == 0:
		return 0, ErrEmpty
	case t.TXID != 0 && !t.At.IsZero():
		return 0, errors.New("restore target: both a TXID and a time; give one of them")
	case t.TXID != 0:
		return t.TXID, checkTXID(files, t.TXID)
	case !t.At.IsZero():
		return lastBefore(files, t.At)
	}
	var last ltx.TXID
	for _, f := range files {
		last = max(last, f.Max)
	}
	return last, nil
}

// checkTXID explains why txid is not a state that the replica keeps.
func checkTXID(files []File, txid ltx.TXID) error {
	var below, above ltx.TXID // nearest states kept; 0 for none
	covered := false
	for _, f := range files {
		switch {
		case f.Max == txid:
			return nil
		case f.Max < txid:
			below = max(below, f.Max)
		case above == 0 || f.Max < above:
			above = f.Max
		}
		covered = covered || f.covers(txid)
	}
	switch {
	case above == 0:
		return fmt.Errorf("%w: TXID %s is after the last, %s; ask for that one or an earlier one", ErrTarget, txid, below)
	case below == 0:
		return fmt.Errorf("%w: TXID %s is before the first, %s; ask for that one or a later one", ErrTarget, txid, above)
	case covered:
		return fmt.Errorf("%w: TXID %s is merged with its neighbours; the nearest kept are %s and %s; ask for one of them",
			ErrTarget, txid, below, above)
	default:
		return &GapError{Min: below + 1, Max: nextAfter(files, below) - 1, Target: txid}
	}
}

// lastBefore returns the highest TXID that was created before at. Times that contradict
// the order of TXIDs there are an error: an object under the name of another, or a clock
// that went back, may have it that an older state is given, or a newer one.
func lastBefore(files []File, at time.Time) (ltx.TXID, error) {
	states := created(files)
	last := -1
	for i, s := range states {
		if s.Created.Before(at) {
			last = i
		}
	}
	if last < 0 {
		first := slices.MinFunc(states, func(a, b Point) int { return a.Created.Compare(b.Created) })
		return 0, fmt.Errorf("%w: nothing before %s; the first is of %s, so ask for a later time",
			ErrTarget, timestamp(at), timestamp(first.Created))
	}
	unclear := func(a, b Point) error {
		return fmt.Errorf("%w: which one %s means is not clear: TXID %s is of %s, %s after it of %s; ask for a TXID",
			ErrTarget, timestamp(at), a.TXID, timestamp(a.Created), b.TXID, timestamp(b.Created))
	}
	for _, s := range states[:last] {
		if !s.Created.Before(at) {
			return 0, unclear(s, states[last])
		}
	}
	for _, i := range []int{last - 1, last + 1} { // the labels of both sides of at are no lies
		if i >= 0 && i+1 < len(states) && !states[i].Created.Before(states[i+1].Created) {
			return 0, unclear(states[i], states[i+1])
		}
	}
	return states[last].TXID, checkNext(files, states[last].TXID)
}

// created returns the states at which files end, ascending, with the time that the file
// on the lowest level has it: one that was shipped knows best, and a snapshot of
// Litestream's is of when it was made.
func created(files []File) (states []Point) {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int {
		return cmp.Or(cmp.Compare(a.Max, b.Max), cmp.Compare(a.Level, b.Level), a.Created.Compare(b.Created))
	})
	for _, f := range files {
		if len(states) == 0 || states[len(states)-1].TXID != f.Max {
			states = append(states, Point{f.Max, f.Created})
		}
	}
	return states
}

// checkNext finds that what follows last is missing: it may be of before the time
// that was asked for, and last not the answer. Where it was merged with what comes after
// it, and all that the merge was made of is gone, it was removed on purpose.
func checkNext(files []File, last ltx.TXID) error {
	further, merged := false, false
	for _, f := range files {
		further = further || f.Max > last
		switch {
		case f.Complete() && f.Max == last+1: // another page size begins with it
			return nil
		case f.Complete() || !f.covers(last+1): // one with all pages says nothing of what is before its end
		case alone(files, f):
			return nil
		default:
			merged = true
		}
	}
	if !further {
		return nil
	}
	missing := nextAfter(files, last) - 1
	if merged {
		missing = last + 1
	}
	return fmt.Errorf("%w; one of them may be of before that time", &GapError{Min: last + 1, Max: missing, Target: missing})
}

// alone tells whether nothing is left of what merge was made of, but for the newest file
// of level 0, which is never removed.
func alone(files []File, merge File) bool {
	head := newest(files, func(f File) bool { return f.Level == 0 }).Max
	return !slices.ContainsFunc(files, func(f File) bool {
		kept := f.Level == 0 && f.Max == head && f.Max == merge.Max
		return !kept && f.Level < merge.Level && merge.Min <= f.Min && f.Max <= merge.Max && f.Max-f.Min < merge.Max-merge.Min
	})
}

// noSnapshot says from where on states can be restored.
func noSnapshot(files []File, last ltx.TXID) error {
	var first File
	for _, f := range files {
		if f.Complete() && (first.Max == 0 || f.Max < first.Max) {
			first = f
		}
	}
	if first.Max == 0 {
		return fmt.Errorf("%w: no file with all pages, needed to reach %s", ErrNoSnapshot, last)
	}
	return fmt.Errorf("%w at or before TXID %s; the first state that can be restored is %s of %s",
		ErrNoSnapshot, last, first.Max, timestamp(first.Created))
}

// nextAfter returns where the files that lie wholly after reached+1 begin.
func nextAfter(files []File, reached ltx.TXID) ltx.TXID {
	var next ltx.TXID
	for _, f := range files {
		if f.Min > reached+1 && (next == 0 || f.Min < next) {
			next = f.Min
		}
	}
	return next
}

func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
