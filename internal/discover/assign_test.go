package discover_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/internal/discover"
	"github.com/holdfast-db/holdfast/internal/source"
)

// naming names files below /srv as a configuration does.
func naming(f discover.File) (config.Database, error) {
	c := config.Config{Host: "web-1", Replica: "file:///r"}
	return c.Discovered(config.Directory{Dir: "/srv", Name: "{host}/{path}"}, f.Rel)
}

// files are some below /srv, each with an inode of its own; "a.db=7" has inode 7.
func files(rels ...string) []discover.File {
	var all []discover.File
	for i, rel := range rels {
		inode := uint64(1000 + i)
		if before, after, ok := strings.Cut(rel, "="); ok {
			rel = before
			_, _ = fmt.Sscan(after, &inode)
		}
		all = append(all, discover.File{Path: "/srv/" + rel, Rel: rel, ID: source.FileID{Device: 1, Inode: inode}})
	}
	return all
}

func TestAssign(t *testing.T) {
	for _, row := range []struct {
		name    string
		have    []string
		taken   discover.Taken
		want    string   // names
		refused []string // parts of each refusal
	}{
		{name: "each its own", have: []string{"a.db", "eu/a.db"}, want: "web-1/a web-1/eu/a"},
		{name: "one name for two, the first has it", have: []string{"A.db", "a.db"}, want: "web-1/a",
			refused: []string{"/srv/a.db: /srv/A.db and /srv/a.db would both be named web-1/a; rename one"}},
		{name: "one name for two, whose extensions differ", have: []string{"a.db", "a.sqlite"}, want: "web-1/a", refused: []string{"/srv/a.db and /srv/a.sqlite"}},
		{name: "one name for two, the registered one has it", have: []string{"A.db", "a.db"}, want: "web-1/a",
			taken: discover.Taken{Held: map[string]string{"web-1/a": "/srv/a.db"}}, refused: []string{"/srv/A.db: /srv/a.db and /srv/A.db would both be named web-1/a"}},
		{name: "a name that was registered for a file that is gone", have: []string{"a.db"}, want: "web-1/a",
			taken: discover.Taken{Held: map[string]string{"web-1/a": "/srv/A.db"}}},
		{name: "a name that cannot be made", have: []string{"日本.db", "a.db"}, want: "web-1/a", refused: []string{"/srv/日本.db: no name for"}},
		{name: "two names of one file", have: []string{"a.db=7", "b.db=7"}, want: "web-1/a", refused: []string{"/srv/b.db: /srv/a.db and /srv/b.db are the same file"}},
		{name: "a listed one", have: []string{"a.db", "b.db"}, want: "web-1/b",
			taken: discover.Taken{Listed: []config.Database{{Path: "/srv/a.db", Name: "shop", Replica: "file:///shop"}}}},
		{name: "another name of a listed one", have: []string{"a.db=7", "b.db"}, want: "web-1/b",
			taken: discover.Taken{Listed: []config.Database{{Path: "/data/shop.db", Name: "shop"}}, IDs: map[source.FileID]string{{Device: 1, Inode: 7}: "/data/shop.db"}}},
		{name: "the name of a listed one", have: []string{"a.db"},
			taken: discover.Taken{Listed: []config.Database{{Path: "/data/a.db", Name: "web-1/a"}}}, refused: []string{"/data/a.db and /srv/a.db would both be named web-1/a"}},
		{name: "the replica of a listed one", have: []string{"a.db"},
			taken: discover.Taken{Listed: []config.Database{{Path: "/data/a.db", Name: "x", Replica: "file:///r/web-1/a"}}}, refused: []string{"/data/a.db and /srv/a.db would both have the replica file:///r/web-1/a"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			all, refused := discover.Assign(files(row.have...), row.taken, naming)
			var names []string
			for _, f := range all {
				names = append(names, f.Name)
			}
			slices.Sort(names)
			if got := strings.Join(names, " "); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
			if len(refused) != len(row.refused) {
				t.Fatalf("refused: %v, want %d", refused, len(row.refused))
			}
			for i, r := range refused {
				if line := r.Path + ": " + r.Err.Error(); !strings.Contains(line, row.refused[i]) || !strings.Contains(line, "; ") {
					t.Errorf("got  %s\nwant %q in it, and what to do", line, row.refused[i])
				}
			}
		})
	}
}

// FuzzAssign holds to the law that each file gets a name that is one and nobody
// else's, or is refused; where another file is in the way, by naming both.
func FuzzAssign(f *testing.F) {
	for _, seed := range []string{"a.db\nb.db", "A.db\na.db", "a b.db\na-b.db\na_b.db", "x/a\nx/a.db\nX/a", ".db\n日本.db", strings.Repeat("a", 300) + "\n" + strings.Repeat("a", 301), strings.Repeat("a/", 150) + "b", "a\n-a\n_a", "a.b.db\na.b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rels := slices.Compact(slices.Sorted(strings.SplitSeq(strings.ReplaceAll(text, "=", "e"), "\n")))
		have := files(slices.DeleteFunc(rels, impossible)...)
		all, refused := discover.Assign(have, discover.Taken{}, naming)
		if len(all)+len(refused) != len(have) {
			t.Fatalf("%d of %d files are named, %d refused", len(all), len(have), len(refused))
		}
		owner := map[string]string{}
		for _, found := range all {
			if err := config.CheckName(found.Name); err != nil {
				t.Errorf("%q: %v", found.File.Path, err)
			}
			if other, twice := owner[found.Name]; twice {
				t.Errorf("%q and %q are both named %s", other, found.File.Path, found.Name)
			}
			owner[found.Name] = found.File.Path
		}
		for _, r := range refused {
			mustBeRight(t, r, owner)
		}
	})
}

// impossible tells what no walk below a directory comes by.
func impossible(rel string) bool {
	return rel == "." || !filepath.IsLocal(rel) || filepath.Clean(rel) != rel
}

// mustBeRight fails if r refuses a file that could have had a name.
func mustBeRight(t *testing.T, r discover.Refusal, owner map[string]string) {
	t.Helper()
	db, err := naming(discover.File{Rel: strings.TrimPrefix(r.Path, "/srv/")})
	switch other := owner[db.Name]; {
	case err != nil && (r.Err.Error() != err.Error() || !strings.Contains(err.Error(), r.Path)):
		t.Errorf("%q: %v, want %v, with the file in it", r.Path, r.Err, err)
	case err == nil && (other == "" || !strings.Contains(r.Err.Error(), other) || !strings.Contains(r.Err.Error(), r.Path)):
		t.Errorf("%q would be %s, as %q is: refused with %v", r.Path, db.Name, other, r.Err)
	}
}
