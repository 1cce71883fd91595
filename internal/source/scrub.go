package source

import (
	"encoding/binary"
	"io/fs"
	"slices"

	"github.com/holdfast-db/holdfast/internal/wal"
)

// Scrub reads pages first to last as they are at the shipped position and returns
// those that same does not find to be what was shipped. looked is false when the
// database is further on than that, or moved meanwhile: ask again after a pass.
//
// While a lock is held the database file has nothing in it that is not shipped,
// and the log still has what the file lacks, so a page that differs was not
// written by SQLite.
func (db *DB) Scrub(first, last uint32, same func(page uint32, data []byte) (bool, error)) (differ []uint32, looked bool, err error) {
	c, ok, err := db.atRest()
	if err != nil || !ok {
		return nil, false, err
	}
	lock := lockPage(db.pageSize)
	data := make([]byte, db.pageSize)
	for page := first; page <= min(last, c.End.Commit); page++ {
		if page == lock {
			continue
		}
		if err := c.read(page, data); err != nil {
			return nil, false, err
		}
		equal, err := same(page, data)
		if err != nil {
			return nil, false, err
		}
		if !equal {
			differ = append(differ, page)
		}
	}
	return differ, !c.gone, nil
}

// atRest returns a changeset through which pages can be read at the shipped
// position; ok is false when the database is further on.
func (db *DB) atRest() (c *Changeset, ok bool, err error) {
	if db.held == nil || !db.held.established {
		return nil, false, nil
	}
	b, err := db.measureTwice()
	if err != nil || !b.at(db.shipped) {
		return nil, false, err
	}
	c = &Changeset{db: db, bound: b, End: db.shipped, Complete: true}
	if b.Frame > 0 {
		c.frames, err = c.index()
	}
	return c, err == nil, err
}

// Places in the database header and in a trunk page of the list of free pages.
// Source: https://www.sqlite.org/fileformat2.html#the_freelist
const (
	firstTrunkAt = 32
	trunkHeader  = 8
)

// FreeLeaves returns those of pages that are leaves of the list of free pages:
// SQLite need not write what is in them, so they may differ from what was shipped
// and nobody can tell. Ask after Scrub.
func (db *DB) FreeLeaves(pages []uint32) ([]uint32, error) {
	c, ok, err := db.atRest()
	if err != nil || !ok {
		return nil, err
	}
	var found []uint32
	data := make([]byte, db.pageSize)
	if err := c.read(1, data); err != nil {
		return nil, err
	}
	next := binary.BigEndian.Uint32(data[firstTrunkAt:])
	for trunks := uint32(0); next != 0 && next <= c.End.Commit && trunks <= c.End.Commit; trunks++ {
		if err := c.read(next, data); err != nil {
			return nil, err
		}
		count := min(binary.BigEndian.Uint32(data[4:]), (db.pageSize-trunkHeader)/4)
		for i := range count {
			if leaf := binary.BigEndian.Uint32(data[trunkHeader+4*i:]); slices.Contains(pages, leaf) {
				found = append(found, leaf)
			}
		}
		next = binary.BigEndian.Uint32(data)
	}
	return found, nil
}

// look is how the database file was last seen, and what SQLite had copied into it.
type look struct {
	salts      [2]uint32
	backfilled uint32
	size       int64
	modified   int64 // ns
}

// Touched tells whether somebody has written to the database file who is not a
// checkpoint: since the last call it changed, and SQLite has copied nothing. It
// may miss one, and take a checkpoint that was given up for one: it says when to
// look at the pages, not what is in them.
func (db *DB) Touched() (bool, error) {
	before, err := db.measure()
	if err != nil {
		return false, err
	}
	info, err := db.file.Stat()
	if err != nil {
		return false, err
	}
	after, err := db.measure()
	if err != nil || db.checkpointing() || before.Header != after.Header || before.Backfilled != after.Backfilled {
		return false, err
	}
	now := lookOf(after.Header, after.Backfilled, info)
	old := db.seen
	db.seen = now
	touched := old != look{} && old.salts == now.salts && old.backfilled == now.backfilled && old != now
	return touched, nil
}

func lookOf(h wal.Header, backfilled uint32, info fs.FileInfo) look {
	return look{salts: h.Salts, backfilled: backfilled, size: info.Size(), modified: info.ModTime().UnixNano()}
}
