package source

import (
	"github.com/holdfast-db/holdfast/internal/wal"
)

// Rule names why a capture could not go on after what was shipped and looked at
// all pages instead; empty for one that did.
type Rule string

// The rules, in the order in which they are tried.
const (
	RuleFirst     Rule = "first"     // nothing was shipped before
	RulePageSize  Rule = "page_size" // the database's page size changed
	RuleReplaced  Rule = "replaced"  // the file is another than the one that was shipped
	RuleNoLog     Rule = "no_log"    // the log is empty, and no lock vouches for what it held
	RuleShortLog  Rule = "short_log" // the log ends before the last shipped frame
	RuleChain     Rule = "chain"     // the log's frames are not the ones that were shipped
	RuleRestarted Rule = "restarted" // the log was restarted and its end before that is unknown
	RuleUnknown   Rule = "unknown"   // the replica does not say where in a log it ends
	RuleDigests   Rule = "digests"   // what the replica holds is not known page by page, or never was
	RuleSpool     Rule = "spool"     // what waited in the spool was damaged, or lost
	RuleFolded    Rule = "folded"    // the spool was given up for want of disk space
	RuleScrub     Rule = "scrub"     // a page of the file is not what was shipped
	RuleRepair    Rule = "repair"    // a snapshot was asked for, which needs no object before it
)

// verdict says from where a capture may go on.
type verdict struct {
	after  uint32    // number of the last frame that is shipped already
	chain  [2]uint32 // that frame's, or the header's for 0
	resync Rule      // set when nothing in the log may be appended

	// unvouched says that the log goes on, and that nobody has watched the file: see
	// Changeset.Unvouched.
	unvouched bool
}

// judge decides whether the log up to b continues what was shipped. It must be
// called while a read lock is held that was taken before b was measured.
func (db *DB) judge(b bound, force Rule) (verdict, error) {
	at := db.shipped
	fresh := verdict{chain: b.Header.Chain}
	switch {
	case at == wal.Position{}:
		return verdict{resync: RuleFirst}, nil
	case at.PageSize != db.pageSize || b.Frame > 0 && b.Header.PageSize != db.pageSize:
		return verdict{resync: RulePageSize}, nil
	case !db.from.IsZero() && !db.id.Succeeds(db.from):
		return verdict{resync: RuleReplaced}, nil
	case force != "":
		return verdict{resync: force}, nil
	}
	if db.held.established {
		if gone, err := db.recovered(b); err != nil || gone {
			return verdict{resync: RuleChain}, err
		}
	}
	switch {
	case db.held.established && (b.Frame == 0 || b.Header.Salts != at.Salts):
		return fresh, nil
	case db.held.established && b.Frame == at.Frame:
		// The log may be emptied right now, as all of it is shipped. But recovery may
		// have taken that out of it, and others filled it up again.
		f, whole, err := wal.ReadFrame(db.wal, at.Frame, db.pageSize)
		if err != nil || whole && f.Salts == at.Salts && f.Chain != at.Chain {
			return verdict{resync: RuleChain}, err
		}
		return verdict{after: at.Frame, chain: at.Chain}, nil
	case db.held.established && b.Frame > at.Frame:
		stands, err := db.stands(at)
		if err != nil || !stands {
			return verdict{resync: RuleChain}, err
		}
		return verdict{after: at.Frame, chain: at.Chain}, nil
	}
	if clean, err := db.closedCleanly(); err != nil || clean {
		return fresh, err
	}
	switch {
	case at.Frame == 0:
		return verdict{resync: RuleUnknown}, nil
	case b.Frame == 0:
		return verdict{resync: RuleNoLog}, nil
	case b.Header.Salts != at.Salts:
		return db.judgeRestart(b)
	case b.Frame < at.Frame:
		return verdict{resync: RuleShortLog}, nil
	}
	stands, err := db.stands(at)
	if err != nil || !stands {
		return verdict{resync: RuleChain}, err
	}
	return verdict{after: at.Frame, chain: at.Chain, unvouched: !db.watched}, nil
}

// recovered tells whether SQLite has recovered the log since the held lock went
// ahead of what was shipped, which it does under our lock too where a writer dies
// while it counts a commit: frames that recovery takes out of a broken log may be
// in the file already.
func (db *DB) recovered(b bound) (bool, error) {
	switch {
	case !db.held.ahead || db.held.bound.Frame == 0:
		return false, nil
	case b.Frame < db.held.bound.Frame:
		return true, nil
	}
	f, whole, err := wal.ReadFrame(db.wal, db.held.bound.Frame, db.pageSize)
	return !whole || f.Salts != db.held.last.Salts || f.Chain != db.held.last.Chain, err
}

// closedCleanly tells whether the file is still as it was left by a clean close
// at the shipped position. Every change since then is in the log: a log that was
// ever restarted would have been copied into the file first.
func (db *DB) closedCleanly() (bool, error) {
	if db.clean.IsZero() {
		return false, nil
	}
	stamp, err := stampOf(db.file, db.boot)
	return err == nil && stamp.equal(db.clean), err
}

// stands tells whether the last shipped frame is in the log, with its chain.
func (db *DB) stands(at wal.Position) (bool, error) {
	f, whole, err := wal.ReadFrame(db.wal, at.Frame, db.pageSize)
	return whole && f.Commit != 0 && f.Salts == at.Salts && f.Chain == at.Chain, err
}

// judgeRestart decides whether a log that was restarted once, without any lock
// of ours, held nothing after the last shipped frame: that frame still stands,
// and the slot behind it holds a whole frame of an older generation, so that
// the shipped one ended there. A file that merely ends there proves nothing.
func (db *DB) judgeRestart(b bound) (verdict, error) {
	at := db.shipped
	if b.Header.Salts[0] != at.Salts[0]+1 || at.Boot != db.boot {
		return verdict{resync: RuleRestarted}, nil
	}
	stands, err := db.stands(at)
	if err != nil || !stands {
		return verdict{resync: RuleRestarted}, err
	}
	f, whole, err := wal.ReadFrame(db.wal, at.Frame+1, db.pageSize)
	older := whole && f.Page != 0 && f.Salts != at.Salts && f.Salts != b.Header.Salts && f.Salts != [2]uint32{}
	if err != nil || !older {
		return verdict{resync: RuleRestarted}, err
	}
	return verdict{chain: b.Header.Chain, unvouched: !db.watched}, nil
}
