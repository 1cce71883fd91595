package source

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"slices"

	"github.com/holdfast-db/holdfast/internal/wal"
)

// Same tells whether data, which is a page of the database, is what was shipped of
// it.
type Same func(page uint32, data []byte) (bool, error)

// Differing are pages that are not what was shipped of them.
type Differing struct {
	Pages []uint32 // ascending
	Free  []uint32 // leaves of the list of free pages, which SQLite need not write: they mean nothing
}

// Scrub compares pages first to last, as they are at the shipped position, with
// what was shipped. looked is false when the database is further on than that, or
// moved meanwhile: ask again after a pass.
//
// While a lock is held the database file has nothing in it that is not shipped,
// and the log still has what the file lacks, so a page that differs was not
// written by SQLite.
func (db *DB) Scrub(first, last uint32, same Same) (d Differing, looked bool, err error) {
	if db.held == nil || !db.held.established {
		return d, false, nil
	}
	b, err := db.measureTwice()
	if err != nil || !b.at(db.shipped) {
		return d, false, err
	}
	c, err := db.whole(b, db.shipped)
	if err != nil {
		return d, false, err
	}
	d, err = c.compare(first, min(last, c.End.Commit), same, nil)
	return d, err == nil && !c.gone, err
}

// Compare does the same with all pages that no frame after the shipped position
// holds: a capture that goes on from there leaves them out. Ask before its fate is
// decided.
func (c *Changeset) Compare(same Same) (Differing, error) {
	db, end, newer := c.db, c.db.shipped, wal.Changes{Least: c.db.shipped.Commit}
	if b := c.bound; b.Frame > c.from.after {
		var err error
		if newer, err = wal.Scan(db.wal, b.Header, c.from.after, c.from.chain, b.Frame, 0); err != nil {
			return Differing{}, fmt.Errorf("scan the log of %s: %w", db.path, err)
		}
		end.Salts, end.Frame, end.Commit = b.Header.Salts, newer.Frame, newer.Commit
	}
	whole, err := db.whole(c.bound, end)
	if err != nil {
		return Differing{}, err
	}
	return whole.compare(1, min(db.shipped.Commit, newer.Least), same, newer.Pages)
}

// whole returns a changeset through which each page can be read as it is at end,
// which is where the log ends.
func (db *DB) whole(b bound, end wal.Position) (c *Changeset, err error) {
	c = &Changeset{db: db, bound: b, End: end, Complete: true}
	if b.Frame > 0 {
		c.frames, err = c.index()
	}
	return c, err
}

// compare looks at pages first to last, but for those in without.
func (c *Changeset) compare(first, last uint32, same Same, without map[uint32]uint32) (d Differing, err error) {
	lock := lockPage(c.db.pageSize)
	data := make([]byte, c.db.pageSize)
	for page := first; page <= last; page++ {
		if _, ok := without[page]; ok || page == lock {
			continue
		}
		if err := c.read(page, data); err != nil {
			return d, err
		}
		equal, err := same(page, data)
		if err != nil {
			return d, err
		}
		if !equal {
			d.Pages = append(d.Pages, page)
		}
	}
	if len(d.Pages) == 0 {
		return d, nil
	}
	return d, c.setFreeAside(&d)
}

// Places in the database header and in a trunk page of the list of free pages.
// Source: https://www.sqlite.org/fileformat2.html#the_freelist
const (
	firstTrunkAt = 32
	trunkHeader  = 8
)

// setFreeAside finds those of d that are leaves of the list of free pages.
func (c *Changeset) setFreeAside(d *Differing) error {
	data := make([]byte, c.db.pageSize)
	if err := c.read(1, data); err != nil {
		return err
	}
	next := binary.BigEndian.Uint32(data[firstTrunkAt:])
	for trunks := uint32(0); next != 0 && next <= c.End.Commit && trunks <= c.End.Commit; trunks++ {
		if err := c.read(next, data); err != nil {
			return err
		}
		count := min(binary.BigEndian.Uint32(data[4:]), (c.db.pageSize-trunkHeader)/4)
		for i := range count {
			leaf := binary.BigEndian.Uint32(data[trunkHeader+4*i:])
			if at, ok := slices.BinarySearch(d.Pages, leaf); ok {
				d.Pages = slices.Delete(d.Pages, at, at+1)
				d.Free = append(d.Free, leaf)
			}
		}
		next = binary.BigEndian.Uint32(data)
	}
	return nil
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
