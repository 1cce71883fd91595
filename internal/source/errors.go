package source

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/mattn/go-sqlite3"
)

// What a caller decides upon. The message that wraps one names the file, what
// was found, what was wanted and what to do.
var (
	ErrMissing     = errors.New("database missing")
	ErrNotDatabase = errors.New("not a SQLite database")
	ErrNotWAL      = errors.New("database is not in WAL mode")
	ErrPermission  = errors.New("permission denied")
	ErrBusy        = errors.New("database busy")
	ErrDiskFull    = errors.New("disk full")
	ErrContract    = errors.New("database is opened in a way that replication cannot follow")
	ErrReplaced    = errors.New("database file was replaced")

	// ErrMoved says that the log was restarted before what was captured of it
	// was read: drop the changeset and capture again.
	ErrMoved = errors.New("log was restarted")
)

// Classify gives an error from SQLite or the file system the sentinel that a
// caller decides upon. An error that has one, or needs none, stays as it is.
func Classify(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrDiskFull), errors.Is(err, ErrBusy), errors.Is(err, ErrPermission), errors.Is(err, ErrMissing), errors.Is(err, ErrNotDatabase):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), isSQLite(err, sqlite3.ErrFull):
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	case isSQLite(err, sqlite3.ErrBusy), isSQLite(err, sqlite3.ErrLocked):
		return fmt.Errorf("%w: %w", ErrBusy, err)
	case isSQLite(err, sqlite3.ErrNotADB):
		return fmt.Errorf("%w: %w", ErrNotDatabase, err)
	case errors.Is(err, fs.ErrPermission), isSQLite(err, sqlite3.ErrPerm), isSQLite(err, sqlite3.ErrReadonly), isSQLite(err, sqlite3.ErrAuth):
		return fmt.Errorf("%w: %w", ErrPermission, err)
	}
	return err
}

// isSQLite tells whether err is SQLite's, with the primary result code want.
func isSQLite(err error, want sqlite3.ErrNo) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.Code == want || want == sqlite3.ErrFull && (e.SystemErrno == syscall.ENOSPC || e.SystemErrno == syscall.EDQUOT))
}
