// Package source reads a live SQLite database without getting in its way.
//
// A DB holds a read lock of its own at all times, so that SQLite can neither
// restart the write-ahead log nor overwrite what has not been captured, and
// hands that lock over to a fresh one after each capture that was shipped, so
// that the application's own checkpoints go through. It creates no table,
// writes nothing into the database and takes no write lock, but for the moments
// of HoldWriters; like any other
// connection it may move pages from the log into the database file
// (PRAGMA wal_checkpoint(PASSIVE)).
//
// It does not know where captured pages go: the caller asks for a Changeset,
// makes it durable, and says so with Shipped.
//
// Facts about locks, read marks and restarts: SQLite's wal.c, and docs/wal.md.
package source

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-db/holdfast/internal/wal"
)

// DB is a live database. It is not safe for concurrent use: a caller runs one
// pass at a time.
type DB struct {
	name string // that was given; may lead elsewhere by now
	path string // of the file that is open, without symbolic links
	log  *slog.Logger
	boot string

	// file is the one descriptor of the database file outside SQLite. It stays
	// open, and reachable, until all connections are closed: closing any
	// descriptor of the file drops the POSIX locks of the whole process on it.
	file     *os.File
	shm      *os.File // the same goes for the index
	id       FileID
	wal      *os.File
	walID    FileID
	shmID    FileID
	pageSize uint32

	readers [2]*conn
	aux     *conn // runs checkpoints and asks for bounds; never in a transaction
	held    *lock // nil before the first capture
	next    *lock // begun during a capture, takes over when it is shipped
	mark    int   // read mark that keeps the log from being restarted beside held; 0 for none

	shipped wal.Position // what held vouches for, when it is established
	clean   Stamp        // of the file when it was last closed cleanly at shipped
	from    FileID       // the file that shipped was read from; zero when that is not known
	watched bool         // a lock was established at some time since the database was opened

	opened     time.Time
	aside      time.Time // when the locks last stepped aside
	seen       look      // by Touched
	calm       calm      // Tend's
	rivalWrote time.Time // as Rival last saw it
}

// Open opens the database at path, which must exist and be in WAL mode.
func Open(path string, log *slog.Logger) (*DB, error) {
	if err := checkVersion(); err != nil {
		return nil, err
	}
	real, err := filepath.EvalSymlinks(path) // SQLite keeps the log beside the file, not beside a link
	if err != nil {
		return nil, missing(path, err)
	}
	name, path := path, real
	file, err := open(path)
	if err != nil {
		return nil, err
	}
	db := &DB{name: name, path: path, log: log, file: file, opened: time.Now()}
	if err := db.connectGuarded(); err != nil {
		err = errors.Join(fmt.Errorf("open %s: %w", path, err), db.disconnect())
		if _, gone := Identify(name); errors.Is(gone, ErrMissing) {
			return nil, gone // it went away meanwhile
		}
		return nil, err
	}
	return db, nil
}

// connectGuarded connects so that a failure changes nothing. A log that lies
// beside the file may be another one's, and make no sense with it: giving up
// must not copy it into the file. The guard of a failure ends with the file.
func (db *DB) connectGuarded() error {
	if db.orphaned() {
		return fmt.Errorf("%w: another process has it open with an index that was removed since; start that process again", ErrBusy)
	}
	if err := keepOthersOut(db.file); err != nil {
		return fmt.Errorf("%w: another process is opening or closing it: %w", ErrBusy, err)
	}
	if err := db.connect(); err != nil {
		return err
	}
	return letOthersIn(db.file)
}

func (db *DB) connect() error {
	var err error
	if db.boot, err = bootID(); err != nil {
		return err
	}
	stamp, err := stampOf(db.file, db.boot)
	if err != nil {
		return err
	}
	db.id = stamp.FileID
	for _, c := range []**conn{&db.readers[0], &db.readers[1], &db.aux} {
		if *c, err = connect(db.path); err != nil {
			return err
		}
	}
	mode, err := db.aux.row("PRAGMA journal_mode", 1)
	if err != nil {
		return err
	}
	if mode[0] != "wal" {
		return fmt.Errorf("%w: journal mode is %v; run once: sqlite3 %s 'PRAGMA journal_mode=WAL'", ErrNotWAL, mode[0], shellWord(db.path))
	}
	if _, err := db.aux.number("SELECT count(*) FROM sqlite_schema"); err != nil {
		return err // this opens the log, and creates it where there is none
	}
	if db.pageSize, err = pageSizeOf(db.file); err != nil {
		return err
	}
	return db.openLog()
}

func (db *DB) openLog() error {
	f, err := os.Open(db.path + "-wal")
	if err != nil {
		return fmt.Errorf("%w: %w; it was removed just now", ErrReplaced, err)
	}
	stamp, err := stampOf(f, db.boot)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	db.wal, db.walID = f, stamp.FileID
	if db.shm, err = os.Open(db.path + "-shm"); err != nil {
		return fmt.Errorf("%w: %w; it was removed just now", ErrReplaced, err)
	}
	if stamp, err = stampOf(db.shm, db.boot); err != nil {
		return err
	}
	db.shmID = stamp.FileID
	return nil
}

// ID returns the identity of the database file that is open.
func (db *DB) ID() FileID { return db.id }

// PageSize returns the database's page size in bytes.
func (db *DB) PageSize() uint32 { return db.pageSize }

// Place is where an earlier process, or an earlier attempt, left off.
type Place struct {
	Position wal.Position // of the replica's head
	Clean    Stamp        // of the file if it was closed cleanly at just that position; else zero
	File     FileID       // the file that it was read from; zero when that is not known
}

// Resume says where to go on. No lock vouches for a place, unless it is the very
// position that was shipped last.
func (db *DB) Resume(from Place) {
	if db.held != nil && from.Position == db.shipped {
		return
	}
	db.shipped, db.clean, db.from = from.Position, from.Clean, from.File
	if db.held != nil {
		db.held.established = false
	}
}

// racyTime is how long a file must have rested before its stamp tells any later
// write: the granularity of time stamps in the file system, amply.
const racyTime = 50 * time.Millisecond

// Close closes the database as any application would: the last connection copies the log into the database file and removes it. When all of the log was
// shipped, and provably nobody wrote in between, it returns the stamp by which
// Resume can tell later that nothing was missed; else a zero one.
//
// Files that were replaced or written over meanwhile are left alone, as Abandon
// does.
func (db *DB) Close() (Stamp, error) {
	if err := db.checkAll(); errors.Is(err, ErrReplaced) || errors.Is(err, ErrMissing) {
		return Stamp{}, db.Abandon()
	}
	before := db.restingStamp()
	err := db.closeConnections()
	after := db.finalStamp()
	err = errors.Join(err, db.disconnect())
	if before.IsZero() || !before.equal(after) {
		return Stamp{}, err
	}
	return before, err
}

// Abandon closes a database whose files were replaced or written over, leaving
// what is there now alone. The last connection to close would copy the log that
// it has into the file, and remove the log's name, whatever that is by now; it
// does so under an exclusive lock on the file, which ours prevents.
func (db *DB) Abandon() error {
	if db.file != nil {
		if err := keepOthersOut(db.file); err != nil {
			db.log.Warn("abandoned without a lock", "path", db.path, "err", err)
		}
	}
	return db.disconnect()
}

// restingStamp returns the file's stamp if all of the log is shipped and in the
// database file, so that closing has nothing left to write; else a zero one.
func (db *DB) restingStamp() Stamp {
	if db.held == nil || !db.held.established || !db.alone() {
		return Stamp{}
	}
	if _, err := db.Checkpoint(); err != nil {
		return Stamp{}
	}
	for range 2 {
		b, err := db.measure()
		if err != nil || !b.at(db.shipped) || b.Backfilled != b.Frame {
			return Stamp{}
		}
		stamp, err := stampOf(db.file, db.boot)
		if err != nil || stamp.coarse() {
			return Stamp{}
		}
		if time.Since(stamp.Modified) > racyTime {
			return stamp
		}
		time.Sleep(racyTime + racyTime/5)
	}
	return Stamp{}
}

// finalStamp returns the file's stamp after all connections were closed, if the
// log is gone and held nothing beyond what was shipped; else a zero one.
func (db *DB) finalStamp() Stamp {
	if _, err := os.Stat(db.path + "-wal"); !errors.Is(err, os.ErrNotExist) || db.wal == nil {
		return Stamp{}
	}
	// The descriptor still reads the removed log, which nobody can change now.
	if h, err := wal.ReadHeader(db.wal); err == nil {
		if h.Salts != db.shipped.Salts {
			return Stamp{}
		}
		f, whole, err := wal.ReadFrame(db.wal, db.shipped.Frame+1, db.pageSize)
		if err != nil || whole && f.Salts == h.Salts {
			return Stamp{}
		}
	}
	stamp, err := statx(unix.AT_FDCWD, db.path, 0)
	if err != nil {
		return Stamp{}
	}
	stamp.Boot = db.boot
	return stamp
}

func (db *DB) closeConnections() error {
	db.dropMark()
	var errs []error
	for _, c := range []**conn{&db.readers[0], &db.readers[1], &db.aux} {
		if *c != nil {
			errs = append(errs, (*c).close())
			*c = nil
		}
	}
	db.held, db.next = nil, nil
	return errors.Join(errs...)
}

// disconnect closes the connections and only then the descriptors.
func (db *DB) disconnect() error {
	errs := []error{db.closeConnections()}
	for _, f := range []**os.File{&db.wal, &db.shm, &db.file} {
		if *f != nil {
			errs = append(errs, (*f).Close())
			*f = nil
		}
	}
	return errors.Join(errs...)
}

// check tells whether the files under the database's names are still the ones
// that are open, and the lock still held. ErrReplaced says that they are not:
// Abandon the DB and open it again.
func (db *DB) check() error {
	id, err := Identify(db.name)
	if err != nil {
		return err
	}
	if id != db.id {
		return fmt.Errorf("%w: %s is another file than the one opened", ErrReplaced, db.path)
	}
	switch id, err = Identify(db.path + "-wal"); {
	case err != nil:
		return fmt.Errorf("%w: the log of %s was removed", ErrReplaced, db.path)
	case id != db.walID:
		return fmt.Errorf("%w: the log of %s is another file than the one opened", ErrReplaced, db.path)
	}
	// Who comes after the index was removed makes another one, and commits that
	// are counted there are not seen here.
	switch id, err = Identify(db.path + "-shm"); {
	case err != nil:
		return fmt.Errorf("%w: the index of %s was removed", ErrReplaced, db.path)
	case id != db.shmID:
		return fmt.Errorf("%w: the index of %s is another file than the one opened", ErrReplaced, db.path)
	}
	if db.held != nil && !db.held.conn.held() {
		return fmt.Errorf("%w: the read lock on %s was lost", ErrReplaced, db.path)
	}
	return nil
}

// checkAll is check and checkContent, as far as the database came to be open.
func (db *DB) checkAll() error {
	if db.wal == nil {
		return nil
	}
	if err := db.check(); err != nil {
		return err
	}
	return db.checkContent()
}

// checkContent tells whether the file that is open still holds the database that
// was opened in it: one that is written over in place keeps its identity.
func (db *DB) checkContent() error {
	err := checkFirstBytes(db.file, db.path)
	if errors.Is(err, ErrNotDatabase) {
		return fmt.Errorf("%w: %w", ErrReplaced, err)
	}
	if err != nil {
		return err
	}
	size, err := pageSizeOf(db.file)
	if err == nil && size != db.pageSize {
		err = fmt.Errorf("%w: %s has pages of %d bytes, %d when it was opened", ErrReplaced, db.path, size, db.pageSize)
	}
	return err
}

// bootID returns the machine's boot id. Across a restart of the machine, what
// the log's file holds need not be what was last written to it.
func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
