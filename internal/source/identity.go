package source

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// FileID names a file independently of its path.
type FileID struct {
	Device, Inode uint64
	Born          int64 `json:",omitzero"` // ns; 0 where the file system does not tell
}

// IsZero tells whether no file is named.
func (id FileID) IsZero() bool { return id == FileID{} }

// Succeeds tells whether id may be the file that old was, perhaps on a machine that
// was started anew since, where devices can have other numbers. A file system may
// give an inode again to a new file, which is why its birth counts.
func (id FileID) Succeeds(old FileID) bool {
	if id.Born != 0 && old.Born != 0 {
		return id.Inode == old.Inode && id.Born == old.Born
	}
	return id.Inode == old.Inode && id.Device == old.Device
}

// Identify returns the identity of the file at path, without opening it.
// ErrMissing says that there is none.
func Identify(path string) (FileID, error) {
	s, err := statx(unix.AT_FDCWD, path, 0)
	if err != nil {
		return FileID{}, missing(path, err)
	}
	return s.FileID, nil
}

// Stamp is what the file system says of a database file. Any write moves one of
// its parts, provided that it was taken when the last one was not just now.
//
// It holds for one boot of the machine: after a loss of power a file can have
// new content with old times.
type Stamp struct {
	FileID
	Size             int64
	Modified, Change time.Time
	Boot             string
}

// stampOf returns the stamp of the open file f.
func stampOf(f *os.File, boot string) (Stamp, error) {
	s, err := statx(int(f.Fd()), "", unix.AT_EMPTY_PATH)
	s.Boot = boot
	if err != nil {
		err = &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return s, err
}

func statx(dir int, path string, flags int) (Stamp, error) {
	var x unix.Statx_t
	if err := unix.Statx(dir, path, flags, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &x); err != nil {
		return Stamp{}, err
	}
	s := Stamp{
		FileID:   FileID{Device: unix.Mkdev(x.Dev_major, x.Dev_minor), Inode: x.Ino},
		Size:     int64(x.Size),
		Modified: timeOf(x.Mtime),
		Change:   timeOf(x.Ctime),
	}
	if x.Mask&unix.STATX_BTIME != 0 {
		s.Born = timeOf(x.Btime).UnixNano()
	}
	return s, nil
}

func timeOf(t unix.StatxTimestamp) time.Time { return time.Unix(t.Sec, int64(t.Nsec)).UTC() }

// coarse tells whether the times of s look like those of a file system that keeps
// whole seconds: a write within the same second would not show.
func (s Stamp) coarse() bool { return s.Modified.Nanosecond() == 0 && s.Change.Nanosecond() == 0 }

// IsZero tells whether s was never taken.
func (s Stamp) IsZero() bool { return s == Stamp{} }

// equal compares the instants, not their representation: a stamp may have been
// through a file.
func (s Stamp) equal(o Stamp) bool {
	return s.FileID == o.FileID && s.Boot == o.Boot && s.Size == o.Size && s.Modified.Equal(o.Modified) && s.Change.Equal(o.Change)
}

// Probe tells whether the file at path is a database that can be replicated,
// as far as its first bytes and permissions say. It must not be used on a file
// that this process has open with SQLite: closing any descriptor of a file
// drops the process's locks on it.
func Probe(path string) error {
	f, err := open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// open opens the database file read-only and checks its first bytes.
func open(path string) (*os.File, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, missing(path, err)
	case info.IsDir():
		return nil, fmt.Errorf("%w: %s is a directory; name the database file in it", ErrNotDatabase, path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s is not a regular file; name the database file", ErrNotDatabase, path)
	case info.Size() == 0:
		return nil, fmt.Errorf("%w: %s is empty (0 bytes); let its application create a table in it first", ErrNotDatabase, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, denied(path, err)
	}
	if err := checkFirstBytes(f, path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := checkWritable(path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Places in the first page. Source: https://www.sqlite.org/fileformat2.html#the_database_header
const (
	magic           = "SQLite format 3\x00"
	writeVersionAt  = 18
	pageSizeAt      = 16
	firstBytes      = 100
	walWriteVersion = 2
)

func checkFirstBytes(f *os.File, path string) error {
	var b [firstBytes]byte
	n, _ := f.ReadAt(b[:], 0)
	if n < firstBytes || string(b[:len(magic)]) != magic {
		return fmt.Errorf("%w: %s does not begin like one (%d bytes read); name a SQLite database file, unencrypted", ErrNotDatabase, path, n)
	}
	if b[writeVersionAt] != walWriteVersion {
		return fmt.Errorf("%w: %s uses a rollback journal; run once: sqlite3 %s 'PRAGMA journal_mode=WAL'", ErrNotWAL, path, shellWord(path))
	}
	return nil
}

// pageSizeOf reads the page size from the first bytes of a database file.
func pageSizeOf(f *os.File) (uint32, error) {
	var b [2]byte
	if _, err := f.ReadAt(b[:], pageSizeAt); err != nil {
		return 0, fmt.Errorf("read page size: %w", err)
	}
	if size := uint32(binary.BigEndian.Uint16(b[:])); size != 1 {
		return size, nil
	}
	return 65536, nil
}

// checkWritable tells whether SQLite could open path as a log-mode database
// needs it: for writing, with its log and index beside it. It opens nothing.
func checkWritable(path string) error {
	if err := syscall.Access(path, 0x2); err != nil {
		return denied(path, err)
	}
	dir := "."
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir = path[:i+1]
	}
	if err := syscall.Access(dir, 0x2); err != nil {
		return denied(dir, err)
	}
	return nil
}

func missing(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG) {
		return fmt.Errorf("%w: no file at %s; check the path on this host", ErrMissing, path)
	}
	return denied(path, err)
}

func denied(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: %s cannot be opened for reading and writing by user %d; give that user both, for the file and its directory", ErrPermission, path, os.Geteuid())
	}
	return fmt.Errorf("open %s: %w", path, err)
}

// shellWord quotes s for a shell where it needs it.
func shellWord(s string) string {
	if strings.ContainsAny(s, " \t\n'\"\\$`&|;<>()*?[]#~!{}") {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}
