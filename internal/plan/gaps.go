package plan

import (
	"cmp"
	"slices"

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
// it was made of is left, which would have gone together.
func Gaps(files []File) []Gap {
	gaps := append(unreached(files), holes(files)...)
	slices.SortStableFunc(gaps, func(a, b Gap) int { return cmp.Compare(a.Missing.Min, b.Missing.Min) })
	return gaps
}

func unreached(files []File) (gaps []Gap) {
	files = slices.Clone(files)
	slices.SortFunc(files, compare)
	top, seen := ltx.TXID(0), ltx.TXID(0) // highest state reached, and highest end of all
	for len(files) > 0 {
		group := sameMax(files)
		files = files[len(group):]
		first := slices.MinFunc(group, func(a, b File) int { return cmp.Compare(a.Min, b.Min) })
		switch end := group[0].Max; {
		case end == 0:
			continue
		case first.Min-1 <= top:
			top = end
		case first.Min-1 <= seen:
			gaps[len(gaps)-1].States.Max = end
		default:
			gaps = append(gaps, Gap{Missing: Range{seen + 1, first.Min - 1}, States: Range{seen + 1, end}, Level: -1})
		}
		seen = group[0].Max
	}
	return gaps
}

// holes finds merges of which a part is left, but not all. The newest file of level 0
// stays when the others go.
func holes(files []File) (gaps []Gap) {
	head := newest(files, func(f File) bool { return f.Level == 0 })
	points, _ := Points(files)
	for level := 1; level < SnapshotLevel; level++ {
		below := ofLevel(files, level-1)
		for _, merge := range ofLevel(files, level) {
			part := func(f File) bool {
				return f != head && f.Level < level && f.Min >= merge.Min && f.Max <= merge.Max && f.Max-f.Min < merge.Max-merge.Min
			}
			if !slices.ContainsFunc(files, part) {
				continue
			}
			for _, hole := range without(merge, below) {
				for _, r := range hole.between(points) {
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

// between returns the parts of r that lie between points, which are ascending.
func (r Range) between(points []Point) (parts []Range) {
	next := r.Min
	for _, p := range points {
		if p.TXID < r.Min || p.TXID > r.Max {
			continue
		}
		if p.TXID > next {
			parts = append(parts, Range{next, p.TXID - 1})
		}
		next = p.TXID + 1
	}
	if next <= r.Max {
		parts = append(parts, Range{next, r.Max})
	}
	return parts
}
