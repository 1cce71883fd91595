package plan

import (
	"slices"
	"time"

	"github.com/superfly/ltx"
)

// NameHeld is for how long the name of a file on level 0 or 9 stays taken, whatever the
// file is worth: a host that comes back with an old idea of where it left off asks for
// names from there on, and takes the first free one for the next.
const NameHeld = time.Hour

// Mending is what can be done about damaged files with nothing but the others.
type Mending struct {
	Aside []File // damaged, and nobody needs their names: restores go other ways once they are out of the way
	Later []File // damaged, and to be left where they are for now

	Newest   ltx.TXID // state that the sound files lead to; 0 for none
	Latest   ltx.TXID // state that a restore of the latest means
	Snapshot bool     // a restore of the latest state fails even then: only the database itself can help

	Lost []Range // states that were kept and cannot be restored any more
}

// Mend decides what to do about damaged files. Out of the way goes what is not the newest
// of all, by which its writer knows where to go on, and whose name is not needed.
func Mend(files, damaged []File, now time.Time) (m Mending) {
	isDamaged := func(f File) bool { return slices.Contains(damaged, f) }
	sound := slices.DeleteFunc(slices.Clone(files), isDamaged)
	top := newest(sound, func(File) bool { return true }).Max
	for _, f := range damaged {
		held := (f.Level == 0 || f.Level == SnapshotLevel) && now.Sub(f.Created) < NameHeld
		switch {
		case !slices.Contains(files, f): // gone meanwhile
		case held || f.Max > top:
			m.Later = append(m.Later, f)
		default:
			m.Aside = append(m.Aside, f)
		}
	}
	if points, _ := Points(sound); len(points) > 0 {
		m.Newest = points[len(points)-1].TXID
	}
	left := slices.DeleteFunc(slices.Clone(files), func(f File) bool { return slices.Contains(m.Aside, f) })
	m.Latest = newest(left, func(File) bool { return true }).Max
	chain, err := Restore(left, Target{})
	m.Snapshot = err != nil || slices.ContainsFunc(chain, isDamaged)
	m.Lost = lost(files, sound)
	return m
}

// lost returns the ends of files to which sound ones do not lead.
func lost(files, sound []File) (ranges []Range) {
	points, _ := Points(sound)
	kept := make(map[ltx.TXID]bool, len(points))
	for _, p := range points {
		kept[p.TXID] = true
	}
	for _, s := range created(files) {
		switch n := len(ranges); {
		case kept[s.TXID]:
		case n > 0 && ranges[n-1].Max+1 == s.TXID:
			ranges[n-1].Max = s.TXID
		default:
			ranges = append(ranges, Range{s.TXID, s.TXID})
		}
	}
	return ranges
}
