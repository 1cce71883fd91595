// Package verify proves that a replica restores, and finds what in it is damaged.
//
// There are two ways. A proof restores a state into scratch space, compares the digest
// of the whole database with the one that its host shipped, lets SQLite check the file,
// and asks it a question of the user's. A survey reads the objects themselves: it names
// each one that is not what it should be, each gap, and what is lost for it.
//
// It never writes to the replica, except that SetAside takes damaged objects out of the
// way of restores, after keeping a copy. It never touches the database or its host.
//
// What counts as proof, and what a survey cannot see: docs/verification.md.
package verify

import (
	"errors"
	"fmt"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/plan"
)

// Why a state is not proven. They say whose fault it is.
var (
	// ErrReplica says that the replica does not lead to the state.
	ErrReplica = errors.New("the replica does not restore")
	// ErrDatabase says that the restored file is what was shipped, and that SQLite finds
	// fault with it: so it does with the source.
	ErrDatabase = errors.New("the database is not sound")
	// ErrCheck says that the user's own check did not give 1.
	ErrCheck = errors.New("the check did not pass")
)

// ErrBudget says that more bytes would have had to be read than may be.
var ErrBudget = errors.New("over the budget")

// Proof is what a restore has shown.
type Proof struct {
	TXID    ltx.TXID
	Created time.Time // of the state's newest content
	Digest  bool      // the file has the digest that its host shipped; false where none is known
	Checked bool      // the user's check gave 1
	Pages   uint32
	Bytes   int64 // length of the database
	Objects int   // that the restore read
	Read    int64 // bytes of those
	At      time.Time
	Took    time.Duration
}

// Damage is an object that is not what its name, its checksum or its digest says.
type Damage struct {
	File plan.File
	Key  string
	Why  string
	Sum  uint64 // XXH3 of its bytes; 0 where they could not be read

	// Certain says that it is this object that is wrong. Else it contradicts one before
	// it, and either may be.
	Certain bool
}

// Survey is what is in a replica.
type Survey struct {
	Objects int
	Bytes   int64

	Read       int // objects whose bytes were read and compared with their checksums
	ReadBytes  int64
	Digested   int      // of those, the ones whose pages were compared with a digest, too
	Since      ltx.TXID // those that end here or before were left out
	Through    ltx.TXID // no object that ends after Since, and here or before, was left out
	Unread     int      // objects left out, for Since or for want of budget
	UnreadSize int64

	Damaged []Damage
	Gaps    []plan.Gap
	Missing ltx.TXID // a TXID that had been put, after which and at which there is none; 0 for none

	Oldest, Newest plan.Point // of what sound objects lead to; zero for none
	Points         int        // states that they lead to
}

// Sound tells whether nothing is wrong with what was looked at.
func (s Survey) Sound() bool { return len(s.Damaged) == 0 && len(s.Gaps) == 0 && s.Missing == 0 }

// Files returns the files that are damaged for certain.
func (s Survey) Files() (files []plan.File) {
	for _, d := range s.Damaged {
		if d.Certain {
			files = append(files, d.File)
		}
	}
	return files
}

// Describe says in a line what a gap means.
func Describe(g plan.Gap) string {
	what := fmt.Sprintf("TXID %s is missing", g.Missing.Min)
	if g.Missing.Min != g.Missing.Max {
		what = fmt.Sprintf("TXIDs %s to %s are missing", g.Missing.Min, g.Missing.Max)
	}
	if g.Level >= 0 {
		what += fmt.Sprintf(" on level %d, beside a merge that has all of it", g.Level)
	}
	switch {
	case g.States.Max < g.States.Min:
		return what
	case g.States.Min == g.States.Max:
		return what + fmt.Sprintf(": the state at %s cannot be restored", g.States.Min)
	}
	return what + fmt.Sprintf(": the states from %s to %s cannot be restored", g.States.Min, g.States.Max)
}
