package ship

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/wal"
)

// Names in a database's state directory. Nothing else in it is ever touched, but for the
// instructions that package host keeps there.
const (
	lockName  = "lock"
	stateName = "state.json"
	tokenName = "token"
	spoolName = "spool"

	digestsName = "digests"
)

// State is what is kept beside a database between two processes. All of it can
// be worked out again from the replica and the database, except Writer, Spool
// and Clean: without those the next pass may have to compare all pages.
type State struct {
	Name     string          `json:"name"`
	Replica  string          `json:"replica"` // URL, without any secret
	Writer   string          `json:"writer"`  // 32 hex digits
	TXID     ltx.TXID        `json:"txid"`    // last put or spooled
	Position wal.Position    `json:"position"`
	Equal    wal.Position    `json:"equal,omitzero"`    // a place after TXID's own at which no page differed from it
	File     source.FileID   `json:"file,omitzero"`     // that Position was read from
	Clean    source.Stamp    `json:"clean,omitzero"`    // of the file, if closed cleanly at Position
	Scrubbed uint32          `json:"scrubbed,omitzero"` // last page compared with what was shipped, in this round
	Hurry    bool            `json:"hurry,omitempty"`   // nobody watched the file for a while, and it was too large to compare at once
	Spool    []replica.Draft `json:"spool,omitempty"`   // what spool files hold, in order
}

// Dir is a database's state directory, held by one process at a time.
type Dir struct {
	path string
	lock *os.File
	fs   FS
}

// OpenDir makes the directory at path where there is none, and takes its lock.
// Another process that holds it is an error that says so.
func OpenDir(path string, fs FS) (*Dir, error) {
	if err := os.MkdirAll(filepath.Join(path, spoolName), 0o700); err != nil {
		return nil, source.Classify(err)
	}
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, source.Classify(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		err = fmt.Errorf("%w: another holdfast-worker replicates this database (%s is locked); stop that one first", source.ErrBusy, lock.Name())
		return nil, errors.Join(err, lock.Close())
	}
	return &Dir{path: path, lock: lock, fs: fs}, nil
}

// Close gives the directory to other processes.
func (d *Dir) Close() error { return d.lock.Close() }

// Load returns the state of an earlier process, or a zero one. One that cannot
// be read is set aside as if there were none: it is a hint, never the truth.
func (d *Dir) Load() (State, error) { return LoadState(d.path) }

// LoadState reads the state in the directory at path without holding its lock.
func LoadState(path string) (State, error) {
	b, err := os.ReadFile(filepath.Join(path, stateName))
	if errors.Is(err, os.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, source.Classify(err)
	}
	var s State
	if err := json.Unmarshal(b, &s); err != nil {
		return State{}, nil //nolint:nilerr // torn by a crash: the next pass compares all pages
	}
	return s, nil
}

// Gone tells whether the directory was removed, or another put in its place, since
// it was opened.
func (d *Dir) Gone() bool {
	have, err := d.lock.Stat()
	if err != nil {
		return true
	}
	named, err := os.Stat(filepath.Join(d.path, lockName))
	return errors.Is(err, os.ErrNotExist) || err == nil && !os.SameFile(have, named)
}

// Save replaces the state, durably.
func (d *Dir) Save(s State) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return d.write(stateName, append(b, '\n'))
}

// write replaces the file name by content: whole, or not at all.
func (d *Dir) write(name string, content []byte) error {
	return WriteFile(d.fs, filepath.Join(d.path, name), content)
}

// SaveToken keeps the token of the window that runs, and how many failures came
// before it, so that the next process can end the window should this one die.
func (d *Dir) SaveToken(t Token) error {
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return d.write(tokenName, b)
}

// Token is a window's task token.
type Token struct {
	Token    []byte `json:"token"`
	Failures int    `json:"failures"`
}

// LoadToken reads the token in the directory at path; ok is false without one.
func LoadToken(path string) (t Token, ok bool, err error) {
	b, err := os.ReadFile(filepath.Join(path, tokenName))
	if errors.Is(err, os.ErrNotExist) {
		return Token{}, false, nil
	}
	if err != nil {
		return Token{}, false, source.Classify(err)
	}
	if json.Unmarshal(b, &t) != nil {
		return Token{}, false, nil
	}
	return t, len(t.Token) > 0, nil
}

// RemoveToken forgets the window in the directory at path.
func RemoveToken(path string) error {
	err := os.Remove(filepath.Join(path, tokenName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return source.Classify(err)
}

// Path returns where the directory is.
func (d *Dir) Path() string { return d.path }

// StateDir returns the directory beside the database at path that holds its state,
// where none is set for all databases.
func StateDir(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"-holdfast")
}

// Beside returns the path of the database whose StateDir dir would be, empty if none's.
func Beside(dir string) string {
	base, beside := strings.CutSuffix(filepath.Base(dir), "-holdfast")
	base, dotted := strings.CutPrefix(base, ".")
	if !beside || !dotted {
		return ""
	}
	return filepath.Join(filepath.Dir(dir), base)
}

// Locked tells whether a process replicates a database with the state directory at
// path, and under which name.
func Locked(path string) (name string, yes bool, err error) {
	lock, err := os.Open(filepath.Join(path, lockName))
	if errors.Is(err, os.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, source.Classify(err)
	}
	defer lock.Close() //nolint:errcheck // only asked
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return "", false, err
	}
	s, err := LoadState(path)
	return s.Name, true, err
}
