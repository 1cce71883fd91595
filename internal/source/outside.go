package source

import (
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Outside is what the file system says of a database and its log, without opening
// either.
type Outside struct {
	File Stamp
	Log  Stamp // zero without one, and for an empty one, as whoever opens a database makes it
}

// Real returns the path of the file that path leads to: SQLite keeps the log beside that.
// Where it leads nowhere it is path itself.
func Real(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// LookOutside looks at the database at path. ErrMissing says that there is none.
func LookOutside(path string) (Outside, error) {
	l := NewLookout(path)
	return l.Look()
}

// Lookout is for who looks at one database again and again. Not safe for concurrent use.
type Lookout struct {
	path string
	real string // which path leads to
	file FileID // of it
}

// NewLookout returns one for the database at path.
func NewLookout(path string) Lookout { return Lookout{path: path} }

// Look looks at the database. ErrMissing says that there is none. Links are followed
// again when they lead to another file than the last time.
func (l *Lookout) Look() (o Outside, err error) {
	if o.File, err = statx(unix.AT_FDCWD, l.path, 0); err != nil {
		return Outside{}, missing(l.path, err)
	}
	if l.real == "" || o.File.FileID != l.file {
		l.real, l.file = Real(l.path), o.File.FileID
	}
	log, err := statx(unix.AT_FDCWD, l.real+"-wal", 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Outside{}, missing(l.real+"-wal", err)
	}
	if log.Size > 0 {
		o.Log = log
	}
	return o, nil
}

// IsZero tells whether o was never taken.
func (o Outside) IsZero() bool { return o == Outside{} }

// SameFile tells whether nothing was written to the database file between o and p.
func (o Outside) SameFile(p Outside) bool { return o.File.equal(p.File) }

// Equal tells whether nothing was written between o and p, as far as the file system
// tells.
func (o Outside) Equal(p Outside) bool { return o.File.equal(p.File) && o.Log.equal(p.Log) }

// Rested returns how long before now the database or its log was last written to.
func (o Outside) Rested(now time.Time) time.Duration {
	return min(now.Sub(o.File.Modified), now.Sub(o.Log.Modified))
}

// Is tells whether the database is as it was when it was closed cleanly with that stamp.
func (o Outside) Is(closed Stamp) bool {
	closed.Boot = o.File.Boot
	return !closed.FileID.IsZero() && o.Log.IsZero() && o.File.equal(closed)
}

// LastWrite returns when the database at path, or its log, was last written to; zero
// where that is not known. It is never in the future, whatever the clock was then.
func LastWrite(path string) time.Time {
	o, err := LookOutside(path)
	if err != nil {
		return time.Time{}
	}
	last := o.File.Modified
	if o.Log.Modified.After(last) {
		last = o.Log.Modified
	}
	if now := time.Now(); last.After(now) {
		return now
	}
	return last
}

// SizeOf returns the length of the database file at path in bytes; 0 where that is not
// known.
func SizeOf(path string) int64 {
	s, err := statx(unix.AT_FDCWD, path, 0)
	if err != nil {
		return 0
	}
	return s.Size
}
