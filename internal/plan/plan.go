// Package plan decides which objects of a replica to use. Its functions are
// pure: they take a list of files and a target and neither read a clock nor
// touch a store; carrying a decision out is for other packages.
//
// Facts that the choices rest on:
//
//   - A file Min-Max turns any state from TXID Min-1 to Max-1 into the state at
//     Max: it holds the newest version of every page that changed between. So two
//     files of a chain may overlap, but must not leave a gap.
//   - A file that begins at TXID 1, on whatever level, holds all pages and needs
//     nothing before it. Those on level 9 are called snapshots.
//   - Created is the time of the newest content, also for a merged file.
package plan

import (
	"time"

	"github.com/superfly/ltx"
)

// SnapshotLevel is the level whose files all begin at TXID 1.
const SnapshotLevel = 9

// File is one object of a replica.
type File struct {
	Level    int // 0 as shipped, 1 to 8 merged, 9 snapshots
	Min, Max ltx.TXID
	Size     int64 // bytes
	Created  time.Time
	Stored   time.Time // when the store took it, by its own clock; zero where it does not say
}

// Complete reports whether f holds all pages and so can begin a chain.
func (f File) Complete() bool { return f.Min == 1 }

// covers reports whether f takes part in the change made by txid.
func (f File) covers(txid ltx.TXID) bool { return f.Min <= txid && txid <= f.Max }

// Target says which state to restore. The zero Target is the latest.
type Target struct {
	TXID ltx.TXID  // the state at exactly this TXID
	At   time.Time // the last state strictly before this instant
}
