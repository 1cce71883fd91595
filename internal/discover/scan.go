package discover

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/internal/source"
)

// settled is the age from which a file's times tell whether it was changed since: a
// file system may give two writes the same.
const settled = 2 * time.Second

// Scanner looks through directories. It remembers what it has seen, so that a file that
// has not changed is not opened again, and a known database not even looked at. It is
// not safe for concurrent use.
type Scanner struct {
	// Recognise tells whether the file is a database that can be replicated. Of its
	// errors source.ErrNotDatabase and source.ErrNotWAL hold until the file changes.
	Recognise func(path string) error

	// Enter, if not nil, is called before a directory is read.
	Enter func(dir string)

	Now func() time.Time // nil for time.Now

	dirs  []config.Directory
	roots []source.FileID // of dirs, when they were looked at last
	files map[string]*look
	byID  map[source.FileID]string // of databases
	away  map[string]error         // directories that could not be read
	round int
	news  bool
}

// look is what is known of a file.
type look struct {
	file  File
	err   error // why it is no database, nil for one
	stamp stamp // when it was looked at; zero: look again
	round int   // in which it was last there
}

// stamp changes with a file.
type stamp struct {
	size              int64
	modified, changed time.Time
}

// NewScanner returns a Scanner that has seen nothing. Where several of dirs cover a
// file, it belongs to the first.
func NewScanner(dirs []config.Directory, recognise func(path string) error) *Scanner {
	return &Scanner{
		Recognise: recognise, dirs: dirs, roots: make([]source.FileID, len(dirs)),
		files: map[string]*look{}, byID: map[source.FileID]string{}, away: map[string]error{},
	}
}

// News tells whether there is another answer than at the last call.
func (s *Scanner) News() bool {
	news := s.news
	s.news = false
	return news
}

// Scan looks through all directories, until ctx ends.
func (s *Scanner) Scan(ctx context.Context) {
	s.round++
	s.news = true
	clear(s.away)
	for i := range s.dirs {
		s.scanEntry(ctx, i)
	}
	if ctx.Err() != nil {
		return // what was not reached is not gone
	}
	for path, l := range s.files {
		if l.round != s.round {
			s.forget(path)
		}
	}
}

func (s *Scanner) scanEntry(ctx context.Context, i int) {
	root, err := source.Identify(s.dirs[i].Dir)
	if err != nil {
		s.unreadable(s.dirs[i].Dir, err)
		return
	}
	if root != s.roots[i] { // another file system, perhaps, so nothing is known
		s.roots[i] = root
		for path, l := range s.files {
			if l.file.Entry == i {
				s.forget(path)
			}
		}
	}
	s.walk(ctx, i, s.dirs[i].Dir)
}

// Look looks at some paths, files or directories, of which something may have changed.
func (s *Scanner) Look(ctx context.Context, paths []string) {
	for _, path := range paths {
		if ctx.Err() != nil {
			return
		}
		info, err := os.Lstat(path)
		switch {
		case err != nil:
			s.forget(path)
		case info.IsDir():
			for i, d := range s.dirs {
				if enters(d, path) && !s.roots[i].IsZero() && !linked(d.Dir, path) {
					s.walk(ctx, i, path)
				}
			}
		default:
			i := slices.IndexFunc(s.dirs, func(d config.Directory) bool { return Covers(d, path) })
			if i >= 0 && !linked(s.dirs[i].Dir, path) {
				s.look(i, path)
			}
		}
	}
}

// linked tells whether the way from dir to path leads over a symbolic link by now.
func linked(dir, path string) bool {
	for path = filepath.Dir(path); len(path) > len(dir); path = filepath.Dir(path) {
		if info, err := os.Lstat(path); err != nil || !info.IsDir() {
			return true
		}
	}
	return false
}

// walk looks at all that is in dir, which entry i enters.
func (s *Scanner) walk(ctx context.Context, i int, dir string) {
	if ctx.Err() != nil {
		return
	}
	if s.Enter != nil {
		s.Enter(dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		s.unreadable(dir, err)
		return
	}
	s.news = s.news || s.away[dir] != nil
	delete(s.away, dir)
	d := s.dirs[i]
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case e.IsDir() && d.Recursive && !hidden(e.Name()):
			s.walk(ctx, i, path)
		case e.Type().IsRegular() && matches(d, e.Name()):
			s.look(i, path)
		}
	}
}

// unreadable keeps what is known of dir, which could not be looked into. One that has
// just been removed, below an entry's, is nothing to speak of.
func (s *Scanner) unreadable(dir string, err error) {
	if errors.Is(err, fs.ErrNotExist) && !slices.ContainsFunc(s.dirs, func(d config.Directory) bool { return d.Dir == dir }) {
		return
	}
	s.news = s.news || s.away[dir] == nil
	s.away[dir] = err
	for path, l := range s.files {
		if _, in := below(dir, path); in {
			l.round = s.round
		}
	}
}

// look looks at the file at path, which entry i covers.
func (s *Scanner) look(i int, path string) {
	l := s.files[path]
	if l != nil && l.err == nil {
		l.round = s.round
		return
	}
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		s.forget(path)
		return
	}
	now := stampOf(info)
	if l != nil && l.stamp == now {
		l.round = s.round
		return
	}
	if l = s.recognise(i, path); l == nil {
		s.forget(path)
		return
	}
	kept := errors.Is(l.err, source.ErrNotDatabase) || errors.Is(l.err, source.ErrNotWAL)
	if kept && s.age(now) > settled {
		l.stamp = now
	}
	s.news = s.news || s.files[path] == nil || l.err == nil || s.files[path].err.Error() != l.err.Error()
	s.files[path] = l
}

// age returns how long ago the file was changed.
func (s *Scanner) age(of stamp) time.Duration {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	return min(now().Sub(of.modified), now().Sub(of.changed))
}

// recognise returns what the file at path is now, nil if it is gone.
func (s *Scanner) recognise(i int, path string) *look {
	id, err := source.Identify(path)
	if err == nil {
		err = s.Recognise(path)
	}
	if errors.Is(err, source.ErrMissing) {
		return nil
	}
	rel, _ := below(s.dirs[i].Dir, path)
	l := &look{file: File{Path: path, Rel: rel, Entry: i, ID: id, Root: s.roots[i]}, err: err, round: s.round}
	if err == nil {
		s.own(l.file)
	}
	return l
}

// own notes that f has its inode, which a database that was replaced may have had.
func (s *Scanner) own(f File) {
	if other, taken := s.byID[f.ID]; taken && other != f.Path {
		switch id, err := source.Identify(other); {
		case err != nil:
			s.forget(other)
		case id != f.ID:
			s.files[other].file.ID = id
		}
	}
	s.byID[f.ID] = f.Path
}

func (s *Scanner) forget(path string) {
	l := s.files[path]
	if l == nil {
		return
	}
	if s.byID[l.file.ID] == path {
		delete(s.byID, l.file.ID)
	}
	delete(s.files, path)
	s.news = true
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), modified: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.changed = time.Unix(sys.Ctim.Unix())
	}
	return s
}

// Files returns the databases, in the order of entries and paths.
func (s *Scanner) Files() []File {
	var files []File
	for _, l := range s.files {
		if l.err == nil {
			files = append(files, l.file)
		}
	}
	slices.SortFunc(files, func(a, b File) int {
		if a.Entry != b.Entry {
			return a.Entry - b.Entry
		}
		return strings.Compare(a.Path, b.Path)
	})
	return files
}

// Refused returns the databases that cannot be replicated, and files that cannot be
// looked into. A file that was written just now may be on its way to something else.
func (s *Scanner) Refused() []Refusal {
	var refused []Refusal
	for path, l := range s.files {
		young := errors.Is(l.err, source.ErrNotWAL) && l.stamp == stamp{}
		if l.err != nil && !errors.Is(l.err, source.ErrNotDatabase) && !young {
			refused = append(refused, Refusal{path, l.err})
		}
	}
	return sorted(refused)
}

// Away returns the directories that could not be read. What was found in them before
// still counts as found.
func (s *Scanner) Away() []Refusal {
	var away []Refusal
	for dir, err := range s.away {
		away = append(away, Refusal{dir, err})
	}
	return sorted(away)
}

func sorted(r []Refusal) []Refusal {
	slices.SortFunc(r, func(a, b Refusal) int { return strings.Compare(a.Path, b.Path) })
	return r
}
