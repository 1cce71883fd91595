package source

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-db/holdfast/internal/wal"
	"github.com/superfly/ltx"
)

// captureTries is how often a capture starts over because the log's header
// changed while it was read, which a lock that is held makes all but impossible.
const captureTries = 3

// Changeset is a set of pages at a consistent end point: those that the log
// changed, or all of them, or those of all that Narrow left. Its pages are read
// when Pages is called, so it must be used before the next call of its DB.
type Changeset struct {
	Start        int64        // offset in the log where its frames begin, in bytes; 0 without any
	End          wal.Position // what the replica holds when the changeset is applied
	Full         bool         // all pages
	Rule         Rule         // why the log was not enough; empty for what the log changed
	Transactions int64
	Complete     bool      // nothing that was committed at Measured is missing from it
	Measured     time.Time // when the end of the log was asked for

	// Unvouched says that the log goes on where the replica ends, and that since
	// then all who had the database open may have died: the file may have pages of
	// transactions that recovery took out of the log. Compare finds them.
	Unvouched bool

	db     *DB
	bound  bound
	from   verdict
	frames map[uint32]uint32 // page number to frame; pages that are not here are in the file
	pages  []uint32          // ascending; nil when Full
	gone   bool              // the log was restarted: all of it is in the file
}

// Empty tells whether there is nothing to ship.
func (c *Changeset) Empty() bool {
	return !c.Full && len(c.pages) == 0 && c.End.Commit == c.db.shipped.Commit
}

// PageCount returns how many pages the changeset has.
func (c *Changeset) PageCount() int {
	if !c.Full {
		return len(c.pages)
	}
	n := int(c.End.Commit)
	if c.End.Commit >= lockPage(c.End.PageSize) {
		n--
	}
	return n
}

// Capture returns what was committed after the shipped position, stopping at a
// commit once limit pages are reached (0: no limit), or all pages if the log
// does not provably continue that position. Report its fate with Shipped or
// Dropped before the next Capture.
//
// A rule in force asks for all pages, whatever the log says, and is given as the
// reason.
func (db *DB) Capture(limit int, force Rule) (*Changeset, error) {
	if err := db.check(); err != nil {
		return nil, err
	}
	if err := db.checkContent(); err != nil {
		return nil, err
	}
	if err := db.lockForCapture(force); err != nil {
		return nil, err
	}
	for try := range captureTries + 1 {
		c, err := db.capture(limit, force)
		if (errors.Is(err, wal.ErrShort) || errors.Is(err, wal.ErrCorrupt)) && try < captureTries {
			continue // most likely it was emptied, or begun anew, meanwhile
		}
		if err != nil {
			return nil, err
		}
		if after, err := db.header(); err != nil {
			return nil, err
		} else if after == c.bound.Header {
			return c, nil
		}
	}
	return nil, fmt.Errorf("%w: the log of %s was restarted during %d captures", ErrBusy, db.path, captureTries)
}

// lockForCapture takes the first read lock, or the one that will take over from
// the held one if there is something to capture.
func (db *DB) lockForCapture(force Rule) error {
	if db.held == nil {
		l, err := db.take()
		db.held = l
		return err
	}
	if db.next != nil {
		return nil
	}
	if err := db.pin(); err != nil {
		return err
	}
	b, err := db.measure()
	if err != nil || db.held.established && !db.held.ahead && b.at(db.shipped) && force == "" {
		return err
	}
	db.next, err = db.take()
	return err
}

func (db *DB) capture(limit int, force Rule) (*Changeset, error) {
	measured := time.Now()
	b, err := db.measureTwice()
	if err != nil {
		return nil, err
	}
	v, err := db.judge(b, force)
	if err != nil {
		return nil, err
	}
	c := &Changeset{db: db, bound: b, from: v, Measured: measured, Unvouched: v.unvouched}
	if v.resync != "" {
		c.Full, c.Rule = true, v.resync
		return c, c.all()
	}
	if db.held.ahead {
		limit = 0 // the file may be further on than where the limit would end it
	}
	return c, c.increment(limit)
}

// increment takes the frames that follow what was shipped.
func (c *Changeset) increment(limit int) error {
	db, b, v := c.db, c.bound, c.from
	if b.Frame == v.after || b.Frame == 0 {
		c.End, c.Complete = db.shipped, true
		return nil
	}
	changes, err := wal.Scan(db.wal, b.Header, v.after, v.chain, b.Frame, limit)
	if err != nil {
		return fmt.Errorf("scan the log of %s: %w", db.path, err)
	}
	c.describe(changes)
	c.Start = wal.FrameOffset(v.after+1, db.pageSize)
	if err := c.addGrowth(changes.Least); err != nil {
		return err
	}
	lock := lockPage(db.pageSize)
	maps.DeleteFunc(c.frames, func(page, _ uint32) bool { return page > c.End.Commit || page == lock })
	c.pages = append(c.pages, slices.Collect(maps.Keys(c.frames))...)
	slices.Sort(c.pages)
	return nil
}

// describe takes over what a scan found.
func (c *Changeset) describe(ch wal.Changes) {
	db := c.db
	c.frames = ch.Pages
	c.Transactions = ch.Transactions
	c.Complete = ch.Frame == c.bound.Frame
	c.End = wal.Position{
		PageSize: db.pageSize, Commit: ch.Commit,
		Salts: c.bound.Header.Salts, Frame: ch.Frame, Chain: ch.Chain, Boot: db.boot,
	}
	if ch.Broken {
		db.log.Warn("the log cannot be recovered after a crash: its application should use a newer SQLite", "path", db.path)
	}
}

// addGrowth adds the pages by which the database grew, since what was shipped or
// since it was shortest, without a frame among the captured ones: SQLite leaves
// free pages unwritten.
func (c *Changeset) addGrowth(least uint32) error {
	var older map[uint32]uint32
	lock := lockPage(c.db.pageSize)
	for page := min(c.db.shipped.Commit, least) + 1; page <= c.End.Commit; page++ {
		if _, ok := c.frames[page]; ok || page == lock {
			continue
		}
		if older == nil {
			var err error
			if older, err = c.index(); err != nil {
				return err
			}
		}
		if frame, ok := older[page]; ok {
			c.frames[page] = frame
		} else {
			c.pages = append(c.pages, page)
		}
	}
	return nil
}

// index maps the pages that SQLite reads from the log at the changeset's end. At
// the very end of the log it does not look at frames that are in the database
// file: there the file counts, which may have been cut since.
func (c *Changeset) index() (map[uint32]uint32, error) {
	from := uint32(0)
	if c.End.Frame == c.bound.Frame {
		from = c.bound.Backfilled
	}
	pages, err := wal.Index(c.db.wal, c.bound.Header, from, c.End.Frame)
	if err != nil {
		return nil, fmt.Errorf("index the log of %s: %w", c.db.path, err)
	}
	return pages, nil
}

// all takes every page at the end of the log, whose bound is at or above the
// held lock's.
func (c *Changeset) all() error {
	db, b := c.db, c.bound
	if b.Frame == 0 {
		count, err := db.newest().conn.number("PRAGMA page_count")
		if err != nil {
			return err
		}
		c.End = wal.Position{PageSize: db.pageSize, Commit: uint32(count), Boot: db.boot}
		c.Complete = true
		return nil
	}
	changes, err := wal.Scan(db.wal, b.Header, 0, b.Header.Chain, b.Frame, 0)
	if err != nil {
		return fmt.Errorf("scan the log of %s: %w", db.path, err)
	}
	c.describe(changes)
	c.Start = wal.HeaderSize
	c.frames, err = c.index()
	return err
}

// Narrow reads all pages of a changeset that has them all and leaves in it those
// that keep wants.
func (c *Changeset) Narrow(keep func(page uint32, data []byte) (bool, error)) error {
	var kept []uint32
	err := c.Pages(func(page uint32, data []byte) error {
		want, err := keep(page, data)
		if want {
			kept = append(kept, page)
		}
		return err
	})
	c.Full, c.pages = false, kept
	return err
}

// Pages emits the changeset's pages, ascending, without the lock page. The data
// is valid until emit returns.
func (c *Changeset) Pages(emit func(page uint32, data []byte) error) error {
	data := make([]byte, c.db.pageSize)
	one := func(page uint32) error {
		if err := c.read(page, data); err != nil {
			return fmt.Errorf("read page %d of %s: %w", page, c.db.path, err)
		}
		return emit(page, data)
	}
	if !c.Full {
		for _, page := range c.pages {
			if err := one(page); err != nil {
				return err
			}
		}
		return nil
	}
	lock := lockPage(c.db.pageSize)
	for page := uint32(1); page <= c.End.Commit; page++ {
		if page == lock {
			continue
		}
		if err := one(page); err != nil {
			return err
		}
	}
	return nil
}

// read reads one page from its frame or from the file.
func (c *Changeset) read(page uint32, data []byte) error {
	frame, ok := c.frames[page]
	if !ok || c.gone {
		return c.readFile(page, data)
	}
	short := wal.ReadPage(c.db.wal, frame, data)
	if short != nil && !errors.Is(short, wal.ErrShort) {
		return short
	}
	h, err := c.db.header()
	switch {
	case err != nil:
		return err
	case h == c.bound.Header:
		return short
	case !c.db.held.conn.held():
		return fmt.Errorf("%w: the read lock was lost", ErrReplaced)
	case !c.Complete: // the file is further on than the changeset
		return fmt.Errorf("%w: %s", ErrMoved, c.db.path)
	}
	// The log was restarted, so our lock has mark 0 and the whole log was in the
	// file before that; nobody can change the file while the lock is held.
	c.gone = true
	return c.readFile(page, data)
}

// lockPage returns the number of the page at byte 2^30, which SQLite locks and
// never uses.
func lockPage(pageSize uint32) uint32 { return ltx.LockPgno(pageSize) }

// readFile reads one page from the database file. One beyond its end was never
// written, and is zero.
func (c *Changeset) readFile(page uint32, data []byte) error {
	n, err := c.db.file.ReadAt(data, int64(page-1)*int64(len(data)))
	if errors.Is(err, io.EOF) && n == 0 {
		clear(data)
		return nil
	}
	if n == len(data) {
		return nil
	}
	return err
}

// Shipped says that c is durable, in the replica or the spool: the lock that was
// begun for it takes over.
func (db *DB) Shipped(c *Changeset) error {
	idle := c.Empty()
	db.calm = calm{}
	db.shipped, db.clean, db.from = c.End, Stamp{}, db.id
	l := db.held
	if db.next != nil {
		l = db.next
	}
	if !c.Complete && (c.End.Salts != l.bound.Header.Salts || c.End.Frame < l.bound.Frame) {
		return nil // the lock's own end is not reached: the next capture goes on
	}
	if db.next != nil {
		if err := db.handOver(); err != nil {
			return err
		}
	}
	db.held.established, db.held.ahead, db.watched = true, false, true
	db.dropMark()
	switch {
	case !c.Complete:
		return nil
	case idle:
		_, err := db.tend()
		return err
	}
	return db.renew()
}

// Dropped says that c was not made durable: the held lock stays, and keeps what
// c would have shipped.
func (db *DB) Dropped() error { return db.dropNext() }
