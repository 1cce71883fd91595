package plan

import (
	"errors"
	"fmt"
	"sort"
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

// lastBefore returns the highest TXID whose file was created before at. Where that
// state is part of a merge, and what led to it is removed already, it is the state
// before the merge.
func lastBefore(files []File, at time.Time) (ltx.TXID, error) {
	points, _ := Points(files)
	reached := make(map[ltx.TXID]bool, len(points))
	for _, p := range points {
		reached[p.TXID] = true
	}
	var last, any ltx.TXID // of those that can be restored, and of all
	first := files[0].Created
	for _, f := range files {
		if f.Created.Before(at) {
			any = max(any, f.Max)
			if reached[f.Max] {
				last = max(last, f.Max)
			}
		}
		if f.Created.Before(first) {
			first = f.Created
		}
	}
	switch next := sort.Search(len(points), func(i int) bool { return points[i].TXID > last }); {
	case any == 0:
		return 0, fmt.Errorf("%w: nothing before %s; the first is of %s, so ask for a later time",
			ErrTarget, timestamp(at), timestamp(first))
	case any > last && last > 0 && next < len(points) && points[next].TXID >= any:
		return last, nil // what leads to the next state has all in between
	}
	return any, checkNext(files, any)
}

// checkNext finds that what follows last is missing: it may be of before the time
// that was asked for, and last not the answer. A merge of it with later ones says
// no more either, but was made on purpose.
func checkNext(files []File, last ltx.TXID) error {
	further := false
	for _, f := range files {
		if f.covers(last + 1) {
			return nil
		}
		further = further || f.Max > last
	}
	if !further {
		return nil
	}
	missing := nextAfter(files, last) - 1
	return fmt.Errorf("%w; one of them may be of before that time", &GapError{Min: last + 1, Max: missing, Target: missing})
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
