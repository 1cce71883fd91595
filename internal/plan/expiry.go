package plan

import (
	"cmp"
	"slices"
	"time"
)

// Expiry is the next thing to be lost.
type Expiry struct {
	At      time.Time // from when on
	Files   int       // that go then, at least
	States  []Point   // that can be restored until then, ascending; may be none
	Shorter bool      // the window moves on beyond them; else one that is left stands for all of them
	Next    Point     // the first state after them that is left
}

// NextExpiry returns what Retention will return after now that it does not return yet,
// if nothing is put any more and each run of maintenance does what is due. ok is false
// when nothing ever expires.
func NextExpiry(files []File, p Policy, now time.Time) (e Expiry, ok bool) {
	files = remaining(files, Retention(files, p, nil, now))
	for level := 1; level < SnapshotLevel; level++ {
		for _, m := range Compaction(files) {
			if m.Level == level {
				files = append(files, File{Level: m.Level, Min: m.Min, Max: m.Max, Created: m.From[len(m.From)-1].Created})
			}
		}
	}
	files = remaining(files, Retention(files, p, nil, now)) // as a run after the one that merges removes it
	at, ok := NextRemoval(files, p, nil, now)
	if !ok {
		return Expiry{}, false
	}
	return loss(files, Retention(files, p, nil, at), at), true
}

func remaining(files []File, gone []Removal) []File {
	of := make(map[File]bool)
	for _, r := range gone {
		of[r.File] = true
	}
	return slices.DeleteFunc(slices.Clone(files), func(f File) bool { return of[f] })
}

// loss says what files no longer lead to when some are gone.
func loss(files []File, gone []Removal, at time.Time) Expiry {
	e := Expiry{At: at, Files: len(gone)}
	before, _ := Points(files)
	after, _ := Points(remaining(files, gone))
	for _, p := range before {
		i, kept := slices.BinarySearchFunc(after, p, func(a, b Point) int { return cmp.Compare(a.TXID, b.TXID) })
		if kept {
			continue
		}
		e.States = append(e.States, p)
		e.Shorter = i == 0
		if i < len(after) {
			e.Next = after[i]
		}
	}
	return e
}
