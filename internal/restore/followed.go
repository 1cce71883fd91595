package restore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/digest"
)

// followed is what stands beside a copy: which state it is. Where a change was under way
// the copy has the old or the new one, and its content tells which.
type followed struct {
	Source   string // whose copy it is, as the caller names it
	File     fileID // the copy; any other file under its name is not ours
	PageSize uint32
	Now      version
	Next     *version  // that was about to become visible
	Instead  *followed // what was about to take its place
	Stamp    *stamp    // of the file when it was closed in order, its log removed
}

// version is one state of a copy.
type version struct {
	TXID    ltx.TXID
	Created time.Time
	Commit  uint32
	Digest  digest.Digest
}

// fileID tells files apart; zero is none.
type fileID struct{ Device, Inode uint64 }

// stamp tells that nobody has written to a file since.
type stamp struct {
	Size     int64
	Modified int64 // ns since 1970, as is Changed
	Changed  int64
}

// identify returns the file at path and its stamp; none where there is none.
func identify(path string) (id fileID, at stamp) {
	var s syscall.Stat_t
	if syscall.Stat(path, &s) != nil {
		return id, at
	}
	return fileID{uint64(s.Dev), s.Ino}, stamp{s.Size, s.Mtim.Nano(), s.Ctim.Nano()} //nolint:unconvert // their types depend on the system
}

// resting tells whether the copy at path is as it was left, its log removed.
func (f followed) resting(path string) bool {
	id, at := identify(path)
	return f.Stamp != nil && f.Next == nil && id == f.File && at == *f.Stamp && !exists(path+"-wal")
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// shelf is the directory beside a copy where what belongs to it is kept.
type shelf struct {
	path string
	lock *os.File
}

// openShelf opens the shelf of the copy at output, and takes it for this process.
func openShelf(output string) (*shelf, error) {
	s := &shelf{path: filepath.Join(filepath.Dir(output), "."+filepath.Base(output)+"-holdfast-follow")}
	if err := os.Mkdir(s.path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	var err error
	if s.lock, err = os.OpenFile(filepath.Join(s.path, "lock"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	if err := lock(s.lock); err != nil {
		return nil, errors.Join(fmt.Errorf("another process keeps %s up to date; end that one first: %w", output, err), s.lock.Close())
	}
	return s, nil
}

func (s *shelf) close() error { return s.lock.Close() }

func (s *shelf) digests() string { return filepath.Join(s.path, "digests") }

// load reads what is known of the copy; ok is false if that is nothing.
func (s *shelf) load() (f followed, ok bool, err error) {
	b, err := os.ReadFile(filepath.Join(s.path, "state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return f, false, nil
	}
	if err != nil {
		return f, false, err
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return f, false, fmt.Errorf("%s: %w; remove the copy and that directory", s.path, err)
	}
	return f, true, nil
}

// save replaces what is known. It is not synced: what a crash of the machine makes of it
// is compared with the copy.
func (s *shelf) save(f followed) error {
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	temp := filepath.Join(s.path, "state.json.tmp")
	if err := os.WriteFile(temp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(s.path, "state.json"))
}
