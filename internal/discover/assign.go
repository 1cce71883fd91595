package discover

import (
	"fmt"
	"slices"

	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/internal/source"
)

// Found is a file with what it is as a database.
type Found struct {
	config.Database
	File File
}

// Taken is what files may not have any more.
type Taken struct {
	Listed []config.Database
	IDs    map[source.FileID]string // of the listed ones that are there, to their paths
	Held   map[string]string        // names of those that were registered before, to their paths
}

// Assign gives each of the files its name and replica, as named says. A file that is
// listed is left to the list. Of files that would come to the same name or replica, and
// of two names of one file, the first has it: one that is listed, one that was
// registered under it before, then in the order of files. The others are refused until
// somebody renames one.
func Assign(files []File, taken Taken, named func(File) (config.Database, error)) (all []Found, refused []Refusal) {
	a := assignment{names: map[string]string{}, replicas: map[string]string{}, ids: map[source.FileID]string{}}
	paths := map[string]bool{}
	for _, db := range taken.Listed {
		a.names[db.Name], a.replicas[db.Replica], paths[db.Path] = db.Path, db.Path, true
	}
	for _, f := range files {
		if paths[f.Path] || taken.IDs[f.ID] != "" {
			continue // listed
		}
		db, err := named(f)
		if err != nil {
			refused = append(refused, Refusal{f.Path, err})
			continue
		}
		all = append(all, Found{db, f})
	}
	first := func(f Found) bool { return taken.Held[f.Name] == f.Path }
	slices.SortStableFunc(all, func(x, y Found) int { return rank(first(x)) - rank(first(y)) })
	kept := all[:0]
	for _, f := range all {
		if err := a.take(f); err != nil {
			refused = append(refused, Refusal{f.Path, err})
			continue
		}
		kept = append(kept, f)
	}
	return kept, sorted(refused)
}

func rank(first bool) int {
	if first {
		return 0
	}
	return 1
}

// assignment is who has what, by path.
type assignment struct {
	names, replicas map[string]string
	ids             map[source.FileID]string
}

func (a assignment) take(f Found) error {
	path := f.Path
	if other := a.ids[f.File.ID]; other != "" {
		return fmt.Errorf("%s and %s are the same file; list the one that its application opens under databases", other, path)
	}
	if other := a.names[f.Name]; other != "" && other != path {
		return fmt.Errorf("%s and %s would both be named %s; rename one, or list it under databases with a name of its own", other, path, f.Name)
	}
	if other := a.replicas[f.Replica]; other != "" && other != path {
		return fmt.Errorf("%s and %s would both have the replica %s; rename one, or list it under databases with one of its own", other, path, f.Replica)
	}
	a.ids[f.File.ID], a.names[f.Name], a.replicas[f.Replica] = path, path, path
	return nil
}
