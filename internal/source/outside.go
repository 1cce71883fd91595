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
func LookOutside(path string) (o Outside, err error) {
	if o.File, err = statx(unix.AT_FDCWD, path, 0); err != nil {
		return Outside{}, missing(path, err)
	}
	if isLink(path) { // of links on the way to it the log's path has the same
		path = Real(path)
	}
	log, err := statx(unix.AT_FDCWD, path+"-wal", 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Outside{}, missing(path+"-wal", err)
	}
	if log.Size > 0 {
		o.Log = log
	}
	return o, nil
}

func isLink(path string) bool {
	var s unix.Stat_t
	return unix.Lstat(path, &s) == nil && s.Mode&unix.S_IFMT == unix.S_IFLNK
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
