package source

import (
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-db/holdfast/internal/wal"
)

// bound is what SQLite itself says of the log at one instant.
type bound struct {
	Header     wal.Header // zero while the log has none
	Frame      uint32     // number of the last committed frame; 0 when there is nothing to take
	Backfilled uint32     // frames that are in the database file already
}

// at tells whether pos is exactly this end of the log.
func (b bound) at(pos wal.Position) bool {
	if b.Frame == 0 {
		return true
	}
	return b.Header.Salts == pos.Salts && b.Frame == pos.Frame
}

// lock is a read transaction of ours.
//
// While one holds a read mark above 0, nobody can restart the log. One that
// holds mark 0 was granted because the whole log was in the database file:
// while it is held nobody can copy anything into that file, so at most one
// generation of the log with commits can begin. Which of the two it is need
// not be known for either to be relied upon.
type lock struct {
	conn  *conn
	bound bound // measured after the lock was taken: the lock's mark is not above it

	// light says that the whole log was in the database file when the lock was
	// taken, so that it most likely has mark 0 and keeps nobody from restarting
	// the log. Nothing but courtesy hangs on it.
	light bool

	// established says that all up to bound was shipped while the lock was held:
	// from then on nothing can be missing between what was shipped and the log.
	established bool

	// ahead says that this does not hold up to bound yet: the lock took over from an
	// established one so that the log is not restarted. The database file may have
	// all up to bound, whose last frame is last.
	ahead bool
	last  wal.Frame
}

// measureTries is how often a measurement may come to nothing, because a commit
// is being counted or the log is restarted within the same microseconds. The
// waits between them grow to a second in all.
const measureTries = 100

// measure asks SQLite for the end of the log. The header is read before and
// after, so that the end belongs to the generation it is said to.
func (db *DB) measure() (bound, error) {
	for try := range measureTries {
		time.Sleep(time.Duration(try/4) * time.Millisecond / 4)
		before, err := db.header()
		if err != nil {
			return bound{}, err
		}
		v, err := db.aux.row("PRAGMA wal_checkpoint(NOOP)", 3)
		if err != nil {
			return bound{}, err
		}
		after, err := db.header()
		if err != nil {
			return bound{}, err
		}
		busy, _ := v[0].(int64)
		frames, _ := v[1].(int64)
		backfilled, _ := v[2].(int64)
		if frames < 0 && busy != 0 {
			continue // a commit was being counted
		}
		if frames < 0 {
			return bound{}, fmt.Errorf("%w: %s left it while open", ErrNotWAL, db.path)
		}
		if before == after && (frames == 0 || before != wal.Header{}) {
			return bound{Header: before, Frame: uint32(frames), Backfilled: uint32(backfilled)}, nil
		}
	}
	return bound{}, fmt.Errorf("%w: the end of the log of %s could not be read in %d tries", ErrBusy, db.path, measureTries)
}

// measureTwice is measure with a count of backfilled frames that was read before
// the end of the log was. SQLite reads them the other way round: in between, a
// checkpoint may have seen a later end, and left out an older frame of a page that
// has a newer one there. What a checkpoint that knew no later end has counted is in
// the file by content.
func (db *DB) measureTwice() (bound, error) {
	before, err := db.measure()
	if err != nil {
		return bound{}, err
	}
	b, err := db.measure()
	if err != nil {
		return bound{}, err
	}
	if b.Header != before.Header {
		before.Backfilled = 0
	}
	b.Backfilled = min(b.Backfilled, before.Backfilled)
	return b, nil
}

// header reads the log's header; the zero Header when the log has none.
func (db *DB) header() (wal.Header, error) {
	h, err := wal.ReadHeader(db.wal)
	if errors.Is(err, wal.ErrNoHeader) {
		return wal.Header{}, nil
	}
	return h, err
}

// take begins a read lock on a connection that holds none.
func (db *DB) take() (*lock, error) {
	c := db.readers[0]
	if db.held != nil && db.held.conn == c {
		c = db.readers[1]
	}
	before, err := db.measure()
	if err != nil {
		return nil, err
	}
	if err := c.begin(); err != nil {
		return nil, fmt.Errorf("take read lock on %s: %w", db.path, err)
	}
	after, err := db.measure()
	if err != nil {
		return nil, errors.Join(err, c.end())
	}
	light := before.Backfilled == before.Frame && before.Frame == after.Frame && before.Header == after.Header
	return &lock{conn: c, bound: after, light: light}, nil
}

// newest returns the lock that was taken last.
func (db *DB) newest() *lock {
	if db.next != nil {
		return db.next
	}
	return db.held
}

// handOver ends the held lock in favour of the next one, which is established:
// the caller has seen to it that all up to its bound is shipped.
func (db *DB) handOver() error {
	old := db.held
	db.held, db.next = db.next, nil
	db.held.established = true
	db.dropMark()
	return old.conn.end()
}

// dropNext gives up a lock that was begun for a handover that did not happen.
func (db *DB) dropNext() error {
	if db.next == nil {
		return nil
	}
	l := db.next
	db.next = nil
	return l.conn.end()
}

// Waiting is what a database needs of a pass.
type Waiting struct {
	Bytes      int64 // of log that wait to be shipped
	Checkpoint bool  // another process waits to copy them into the database file
}

// Tend renews the read lock when that is free of charge: all is shipped, and
// the lock would keep somebody from restarting the log that a new one would
// not. It tells what waits otherwise. Call it often between passes, so that an
// application's own checkpoint does not wait for the next one: while nothing happens,
// it costs two calls of the system.
func (db *DB) Tend() (Waiting, error) {
	if db.held == nil {
		return Waiting{}, nil
	}
	head, ok := db.head()
	if ok && db.still(head) {
		return Waiting{}, nil
	}
	begun := time.Now()
	waiting, err := db.tend()
	db.calm = calm{}
	if ok && err == nil && waiting == (Waiting{}) && db.held.established {
		db.calm = calm{head: head, since: begun}
	}
	return waiting, err
}

func (db *DB) tend() (Waiting, error) {
	if err := db.check(); err != nil || !db.held.established {
		return Waiting{}, err
	}
	b, err := db.measure()
	if err != nil {
		return Waiting{}, err
	}
	if db.held.ahead || !b.at(db.shipped) {
		return Waiting{Bytes: db.behind(b), Checkpoint: db.checkpointing()}, db.pin()
	}
	switch {
	case db.held.light && !db.checkpointing():
		return Waiting{}, nil
	case b.Backfilled == b.Frame:
		return Waiting{}, db.renew()
	case db.next == nil && db.checkpointing():
		return Waiting{}, db.stepAside()
	}
	return Waiting{}, nil
}

// renew replaces the held lock by a new one if nothing was committed before the
// new one began, and none is waiting to take over.
func (db *DB) renew() error {
	if db.next != nil || db.held == nil || !db.held.established {
		return nil
	}
	l, err := db.take()
	if err != nil {
		return err
	}
	db.next = l
	if l.bound.at(db.shipped) && !db.held.ahead {
		return db.handOver()
	}
	return db.dropNext()
}

// pin replaces a held lock that most likely has mark 0 by one with a mark, which
// keeps the log from being restarted as well: once something was committed, an
// application's own checkpoints sort all frames in vain, after each commit, while
// mark 0 is held.
//
// The new lock has a mark, for the reason that advance gives: while mark 0 is held
// nothing is copied, and a mark of the held lock is not above what was shipped.
func (db *DB) pin() error {
	if db.held == nil || !db.held.established || !db.held.light || db.next != nil {
		return nil
	}
	b, err := db.measure()
	if err != nil || b.at(db.shipped) || b.Backfilled == b.Frame {
		return err
	}
	return db.advance(b)
}

// goAhead notes that not all up to l's bound is shipped.
func (db *DB) goAhead(l *lock) (err error) {
	l.ahead = true
	if l.bound.Frame > 0 {
		l.last, _, err = wal.ReadFrame(db.wal, l.bound.Frame, db.pageSize)
	}
	return err
}

// Pin sees to it that the held lock keeps the log from being restarted, waiting for
// the next commit if need be, no longer than that.
func (db *DB) Pin(wait time.Duration) error {
	for end := time.Now().Add(wait); ; time.Sleep(askEvery) {
		if err := db.pin(); err != nil {
			return err
		}
		if db.held == nil || !db.held.light || time.Now().After(end) {
			return nil
		}
	}
}

// behind returns the bytes of log between what is shipped and b.
func (db *DB) behind(b bound) int64 {
	n := b.Frame
	if b.Header.Salts == db.shipped.Salts && n >= db.shipped.Frame {
		n -= db.shipped.Frame
	}
	return int64(n) * int64(wal.FrameHeaderSize+db.pageSize)
}

// LogSize returns the bytes of the log up to the last shipped frame: what a
// checkpoint could make room for.
func (db *DB) LogSize() int64 { return db.shipped.Offset() }

// Behind returns the bytes of log that wait to be shipped.
func (db *DB) Behind() (int64, error) {
	b, err := db.measure()
	if err != nil || b.at(db.shipped) {
		return 0, err
	}
	return db.behind(b), nil
}

// Checkpoint copies what is shipped from the log into the database file, as far
// as other readers let it, without waiting for anybody, and renews the lock.
func (db *DB) Checkpoint() (Room, error) {
	if db.held == nil {
		return Blocked, nil // by nobody, but nothing is shipped
	}
	if err := db.renew(); err != nil {
		return Blocked, err
	}
	room, err := db.passive()
	if err != nil {
		return Blocked, err
	}
	if err := db.renew(); err != nil {
		return Blocked, err
	}
	switch {
	case db.held.light:
		return Emptied, nil
	case room == Blocked:
		return Blocked, nil
	}
	return Overtaken, nil
}

// CheckpointAhead is Checkpoint of all that is committed, shipped or not. Copied says
// that all of it is in the database file. The lock keeps the log from being restarted
// until a changeset that Empties it is Shipped.
func (db *DB) CheckpointAhead() (Room, error) {
	b, err := db.measure()
	switch {
	case err != nil:
		return Blocked, err
	case b.at(db.shipped) || db.held == nil || !db.held.established || db.next != nil:
		return db.Checkpoint()
	}
	if err := db.advance(b); err != nil {
		return Blocked, err
	}
	return db.passive()
}

// passive copies from the log what no reader needs there.
func (db *DB) passive() (Room, error) {
	v, err := db.aux.row("PRAGMA wal_checkpoint(PASSIVE)", 3)
	if errors.Is(err, ErrBusy) {
		return Blocked, nil
	}
	if err != nil {
		return Blocked, fmt.Errorf("checkpoint %s: %w", db.path, err)
	}
	frames, _ := v[1].(int64)
	copied, _ := v[2].(int64)
	switch {
	case frames < 0:
		return Blocked, nil // somebody else's checkpoint is under way
	case copied < min(frames, int64(db.held.bound.Frame)):
		return Blocked, nil
	case copied < frames:
		return Overtaken, nil
	}
	return Copied, nil
}

// advance replaces the held lock, which is established, by one at the end of the log,
// which was at b, though not all up to there is shipped.
//
// The new lock has a mark, and so keeps the log from being restarted: one without is
// granted only when the whole log is in the file. Nobody can copy what was committed
// after the held lock was taken.
func (db *DB) advance(b bound) error {
	if b.Frame == 0 || b.Header == db.held.bound.Header && b.Frame <= db.held.bound.Frame {
		return nil
	}
	l, err := db.take()
	if err != nil {
		return err
	}
	recovered, err := db.recovered(l.bound)
	if err == nil && !recovered {
		err = db.goAhead(l)
	}
	if err != nil || recovered {
		return errors.Join(err, l.conn.end()) // which the next capture finds
	}
	old := db.held
	l.established = true
	db.held = l
	return old.conn.end()
}

// Empties tells whether the next writer can start the log over once c is Shipped, so
// that its pages cannot be had again from there.
func (c *Changeset) Empties() bool {
	next := c.db.next
	return c.Complete && next != nil && next.light && next.bound == c.bound
}

// Settle makes the held lock one that is in nobody's way for as long as nothing is
// committed: with all that is shipped in the database file. It reports whether it is
// one; another reader may keep it from that.
func (db *DB) Settle() (light bool, err error) {
	if db.held == nil || !db.held.established {
		return false, nil
	}
	if !db.held.light {
		_, err = db.Checkpoint()
	}
	return db.held.light, err
}

// Room is what a checkpoint came to.
type Room int

// What a checkpoint can come to.
const (
	Blocked   Room = iota // somebody else's transaction, or checkpoint, is in the way
	Overtaken             // something was committed meanwhile
	Copied                // all is in the file
	Emptied               // and the next writer can start the log over
)

// The write lock goes to whoever asks in the moment when it is free, and between
// the transactions of a writer that never pauses those are short: SQLite's own
// busy handler, which sleeps for ever longer, would hardly meet one.
const (
	askEvery = 20 * time.Microsecond
	askFor   = time.Second
)

// HoldWriters runs f while nobody else can commit. It is for the one case in
// which a log cannot be emptied otherwise: f must be short. ErrBusy says that
// the write lock was not to be had.
func (db *DB) HoldWriters(f func() error) (err error) {
	c, err := connectWith(db.path, "PRAGMA wal_autocheckpoint=0", "PRAGMA busy_timeout=0")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.end(), c.close()) }()
	for end := time.Now().Add(askFor); ; time.Sleep(askEvery) {
		err := c.exec("BEGIN IMMEDIATE")
		if err == nil {
			return f()
		}
		if !errors.Is(err, ErrBusy) || time.Now().After(end) {
			return err
		}
	}
}
