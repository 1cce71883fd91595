package plan

import (
	"cmp"
	"slices"
	"time"

	"github.com/superfly/ltx"
)

// Gap is a run of transactions that no file has, and what cannot be restored for it.
type Gap struct {
	Missing Range
	States  Range // none of them can be restored
	Level   int   // where files are missing that others there were merged with; -1 when no level has the transactions
}

// Gaps returns what is missing, ascending: transactions that no level has, so that what
// comes after them cannot be reached, and those that a merge has while only some of what
// it was made of is left, and all should be at now, as p says. Where it is due to go,
// removing it may be under way.
func Gaps(files []File, p Policy, now time.Time) []Gap {
	gaps := unreached(slices.Clone(files))
	gaps = append(gaps, holes(files, gaps)...)
	gaps = slices.DeleteFunc(gaps, func(g Gap) bool {
		return g.Level >= 0 && slices.ContainsFunc(files, func(f File) bool {
			return !f.Complete() && f.Level > g.Level && f.covers(g.Missing.Min) && now.Sub(f.Created) > p.grain(f.Level-1)
		})
	})
	slices.SortFunc(gaps, func(a, b Gap) int { return cmp.Compare(a.Missing.Min, b.Missing.Min) })
	return gaps
}

// unreached finds what is missing before the ends of files that cannot be reached.
func unreached(files []File) (gaps []Gap) {
	slices.SortFunc(files, compare)
	top, seen := ltx.TXID(0), ltx.TXID(0) // highest state reached, and highest end of all
	for len(files) > 0 {
		group := sameMax(files)
		first := slices.MinFunc(group, func(a, b File) int { return cmp.Compare(a.Min, b.Min) })
		merge := func() int {
			return slices.IndexFunc(files, func(f File) bool { return !f.Complete() && f.covers(seen+1) })
		}
		switch end := group[0].Max; {
		case end == 0:
		case first.Min-1 <= top:
			top = end
		case first.Min-1 <= seen, seen > top && merge() >= 0:
			gaps[len(gaps)-1].States.Max = end
		default:
			g := Gap{Missing: Range{seen + 1, nextAfter(files, seen) - 1}, States: Range{seen + 1, end}, Level: -1}
			if i := merge(); i >= 0 {
				g.Level = files[i].Level - 1
			}
			gaps = append(gaps, g)
		}
		seen = group[0].Max
		files = files[len(group):]
	}
	return gaps
}

// holes finds merges of which a part is left, but not all, where no gap is known yet. The
// newest file of level 0 stays when the others go.
func holes(files []File, known []Gap) (gaps []Gap) {
	head := newest(files, func(f File) bool { return f.Level == 0 })
	var taken []Range // states that can be restored, and those that are told of
	points, _ := Points(files)
	for _, p := range points {
		taken = append(taken, Range{p.TXID, p.TXID})
	}
	for _, g := range known {
		taken = append(taken, g.States)
	}
	slices.SortFunc(taken, func(a, b Range) int { return cmp.Compare(a.Min, b.Min) })
	for level := 1; level < SnapshotLevel; level++ {
		below := ofLevel(files, level-1)
		for _, merge := range ofLevel(files, level) {
			part := func(f File) bool {
				return (f != head || f.Max != merge.Max) && f.Level < level && f.Min >= merge.Min && f.Max <= merge.Max && f.Max-f.Min < merge.Max-merge.Min
			}
			if !slices.ContainsFunc(files, part) {
				continue
			}
			for _, missing := range without(merge, below) {
				for _, r := range missing.between(taken) {
					gaps = append(gaps, Gap{Missing: r, States: r, Level: level - 1})
				}
			}
		}
	}
	return gaps
}

// without returns what of merge none of the ascending files below it has.
func without(merge File, below []File) (holes []Range) {
	next := merge.Min
	for _, f := range append(slices.Clip(below), File{Min: merge.Max + 1, Max: merge.Max + 1}) {
		if f.Min < merge.Min || f.Min > merge.Max+1 {
			continue
		}
		if f.Min > next {
			holes = append(holes, Range{next, f.Min - 1})
		}
		next = f.Max + 1
	}
	return holes
}

// between returns the parts of r that none of others has, which are ascending.
func (r Range) between(others []Range) (parts []Range) {
	next := r.Min
	for _, o := range others {
		if o.Max < next || o.Min > r.Max {
			continue
		}
		if o.Min > next {
			parts = append(parts, Range{next, o.Min - 1})
		}
		if o.Max >= r.Max {
			return parts
		}
		next = o.Max + 1
	}
	return append(parts, Range{next, r.Max})
}
