// Package discover finds the SQLite databases below directories, gives each a name,
// and tells when one is gone.
//
// A Scanner looks through directories and asks its user what a file is: it opens none
// itself, because closing a database file drops SQLite's locks on it in this process.
// A Watch says where something may have changed since. Assign gives out names. A
// Record keeps, from one process to the next, what was registered, and from which file
// system: a database is gone only from there.
//
// What is looked at: regular files whose name the entry's pattern matches and that do
// not begin with a dot, unless the pattern does. Directories that begin with a dot are
// not entered: those of Holdfast and Litestream beside databases, and those in which
// file systems and desktops keep copies. Symbolic links are not followed, wherever they
// lead; only the directory of an entry may be one.
package discover

import (
	"path"
	"path/filepath"
	"strings"

	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/internal/source"
)

// File is a file below the directory of an entry.
type File struct {
	Path  string
	Rel   string // below the entry's directory
	Entry int    // the first of the entries that cover it
	ID    source.FileID
	Root  source.FileID // the entry's directory
}

// Refusal says why a file cannot be replicated.
type Refusal struct {
	Path string
	Err  error
}

// besides are the ends of the names of files that SQLite keeps beside a database.
var besides = []string{"-wal", "-shm", "-journal"}

// ignored tells whether no database has that name, whatever the pattern.
func ignored(name string) bool {
	for _, end := range besides {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return hidden(name) && (strings.Contains(name, ".holdfast-restore-") || closed(name))
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// closed tells whether a directory of that name belongs to Holdfast or Litestream.
func closed(name string) bool {
	return strings.HasSuffix(name, "-holdfast") || strings.HasSuffix(name, "-litestream")
}

// matches tells whether d wants files of that name.
func matches(d config.Directory, name string) bool {
	if ignored(name) || hidden(name) && !hidden(d.Pattern) {
		return false
	}
	ok, _ := path.Match(d.Pattern, name)
	return ok
}

// below returns where path is below dir.
func below(dir, path string) (rel string, ok bool) {
	if dir != "/" {
		dir += "/"
	}
	return strings.CutPrefix(path, dir)
}

// enters tells whether d looks into the directory at path.
func enters(d config.Directory, path string) bool {
	if path == d.Dir {
		return true
	}
	rel, ok := below(d.Dir, path)
	if !ok || !d.Recursive {
		return false
	}
	for part := range strings.SplitSeq(rel, "/") {
		if hidden(part) {
			return false
		}
	}
	return true
}

// Covers tells whether d looks for a file at path.
func Covers(d config.Directory, path string) bool {
	return enters(d, filepath.Dir(path)) && matches(d, filepath.Base(path))
}
