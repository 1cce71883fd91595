package discover_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/internal/discover"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

func TestCovers(t *testing.T) {
	flat := config.Directory{Dir: "/srv", Pattern: "*.db"}
	for _, row := range []struct {
		name string
		dir  config.Directory
		path string
		want bool
	}{
		{"a file", flat, "/srv/a.db", true},
		{"another extension", flat, "/srv/a.sqlite", false},
		{"a file elsewhere", flat, "/srv2/a.db", false},
		{"a file below, when it is not recursive", flat, "/srv/x/a.db", false},
		{"a file below, when it is", entry("/srv", "*.db"), "/srv/x/y/a.db", true},
		{"a file below a hidden directory", entry("/srv", "*.db"), "/srv/x/.y/a.db", false},
		{"a file in a state directory", entry("/srv", "*"), "/srv/.a.db-holdfast/state.json", false},
		{"a file of Litestream's", entry("/srv", "*"), "/srv/.a.db-litestream/ltx/0/1.ltx", false},
		{"below a hidden directory that is the entry's own", entry("/home/me/.config", "*"), "/home/me/.config/a.db", true},
		{"in the root", entry("/", "*.db"), "/a.db", true},
		{"below the root", entry("/", "*.db"), "/srv/a.db", true},
		{"a log", entry("/srv", "*"), "/srv/a.db-wal", false},
		{"an index", entry("/srv", "*"), "/srv/a.db-shm", false},
		{"a rollback journal", entry("/srv", "*"), "/srv/a.db-journal", false},
		{"a hidden file", entry("/srv", "*"), "/srv/.a.db", false},
		{"a hidden file that is asked for", entry("/srv", ".*.db"), "/srv/.a.db", true},
		{"a restore under way", entry("/srv", ".*"), "/srv/.a.db.holdfast-restore-123", false},
		{"a file called as a state directory", entry("/srv", ".*"), "/srv/.a.db-holdfast", false},
	} {
		if got := discover.Covers(row.dir, row.path); got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}

// TestFindsDatabasesAlone has one real database among all that may lie beside it. What
// is ignored by its name begins as a database does.
func TestFindsDatabasesAlone(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	app := sqlitetest.Open(t, filepath.Join(dir, "real.db"))
	sqlitetest.Exec(t, app, "CREATE TABLE t(v)")
	for _, rel := range []string{"a.db", "eu/b.db", "eu/deep/er/c", "a.db-wal", "a.db-shm", "a.db-journal", ".a.db-holdfast/x.db", ".a.db-litestream/x.db", ".a.db.holdfast-restore-1", ".snapshot/a.db"} {
		mustWrite(t, dir, rel, header)
	}
	mustWrite(t, dir, "text.db", strings.Repeat("no database ", 20))
	mustWrite(t, dir, "short.db", "SQLite format 3\x00")
	mustWrite(t, dir, "empty.db", "")
	mustWrite(t, elsewhere, "out.db", header)
	l, err := net.Listen("unix", filepath.Join(dir, "socket.db"))
	mustDo(t, err,
		syscall.Mkfifo(filepath.Join(dir, "pipe.db"), 0o600),
		os.Mkdir(filepath.Join(dir, "directory.db"), 0o700),
		os.Symlink(filepath.Join(elsewhere, "out.db"), filepath.Join(dir, "out.db")),
		os.Symlink(elsewhere, filepath.Join(dir, "outside")),
		os.Symlink("a.db", filepath.Join(dir, "inside.db")),
		os.Symlink("eu", filepath.Join(dir, "us")),
		os.Symlink("nowhere", filepath.Join(dir, "dangling.db")))
	defer l.Close() //nolint:errcheck // only there
	s := newScanning(t, entry(dir, "*"))
	s.mustFind(s.scan(), "a.db", "eu/b.db", "eu/deep/er/c", "real.db")
	if r := s.Refused(); len(r) != 0 {
		t.Errorf("refused: %v", r)
	}
	for _, name := range []string{"pipe.db", "socket.db", "out.db", "inside.db", "a.db-wal"} {
		if s.asked[name] != 0 {
			t.Errorf("%s was opened", name)
		}
	}
	only := newScanning(t, config.Directory{Dir: dir, Pattern: "*.db"})
	only.mustFind(only.scan(), "a.db", "real.db")
	linked := filepath.Join(elsewhere, "link")
	mustDo(t, os.Symlink(dir, linked))
	through := newScanning(t, entry(linked, "*.db"))
	through.mustFind(through.scan(), "a.db", "eu/b.db", "real.db")
}

// TestLooksFollowNoLink looks at paths that a watched directory had before it was
// replaced by a link.
func TestLooksFollowNoLink(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	mustWrite(t, elsewhere, "sub/out.db", header)
	s := newScanning(t, entry(dir, "*"))
	s.scan()
	mustDo(t, os.Symlink(elsewhere, filepath.Join(dir, "link")), os.Symlink(filepath.Join(elsewhere, "sub/out.db"), filepath.Join(dir, "out.db")))
	s.Look(t.Context(), []string{filepath.Join(dir, "link"), filepath.Join(dir, "link/sub"), filepath.Join(dir, "link/sub/out.db"), filepath.Join(dir, "out.db"), filepath.Join(elsewhere, "sub/out.db")})
	s.mustFind(s.rels())
}

func TestAFileIsLookedAtUntilItIsADatabase(t *testing.T) {
	dir := t.TempDir()
	path := mustWrite(t, dir, "new.db", "")
	s := newScanning(t, entry(dir, "*"))
	s.mustFind(s.scan())
	s.News()
	mustWrite(t, dir, "new.db", header)
	s.Look(t.Context(), []string{path})
	s.mustFind(s.rels(), "new.db")
	if !s.News() || s.News() {
		t.Error("a look that found something is no news, or is news twice")
	}
	mustWrite(t, dir, "sub/another.db", header)
	s.Look(t.Context(), []string{filepath.Join(dir, "sub")})
	s.mustFind(s.rels(), "new.db", "sub/another.db")
	mustDo(t, os.Remove(path), os.Symlink("sub/another.db", path))
	s.mustFind(s.scan(), "sub/another.db")
}

func TestWhatHasNotChangedIsNotOpenedAgain(t *testing.T) {
	dir := t.TempDir()
	mustWrite(t, dir, "text.db", "a text")
	mustWrite(t, dir, "young.db", "another")
	mustWrite(t, dir, "a.db", header)
	s := newScanning(t, entry(dir, "*"))
	for range 3 {
		s.mustFind(s.scan(), "a.db")
	}
	if s.asked["text.db"] != 1 || s.asked["a.db"] != 1 {
		t.Errorf("three looks opened the files %v times, want once each", s.asked)
	}
	mustWrite(t, dir, "text.db", header)
	s.mustFind(s.scan(), "a.db", "text.db")

	s.Now = time.Now // the file's times do not tell yet
	mustWrite(t, dir, "young.db", "a third")
	s.scan()
	s.scan()
	if s.asked["young.db"] != 3 {
		t.Errorf("a file that was just written was opened %d times in two looks, want 2", s.asked["young.db"]-1)
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	mustWrite(t, dir, "old.db", rollback)
	mustWrite(t, dir, "mine.db", header)
	denied := fmt.Errorf("%w: mine.db", source.ErrPermission)
	var refusing error = denied
	s := discover.NewScanner([]config.Directory{entry(dir, "*")}, func(path string) error {
		if filepath.Base(path) == "mine.db" {
			return refusing
		}
		return source.Probe(path)
	})
	s.Scan(t.Context())
	if r := s.Refused(); len(r) != 1 || !errors.Is(r[0].Err, source.ErrPermission) {
		t.Errorf("refused: %v; want mine.db alone, as old.db may be on its way to a log", r)
	}
	s.Now = func() time.Time { return time.Now().Add(time.Hour) }
	s.Scan(t.Context())
	if r := s.Refused(); len(r) != 2 || !errors.Is(r[1].Err, source.ErrNotWAL) || r[1].Path != filepath.Join(dir, "old.db") {
		t.Errorf("refused: %v; want old.db, too", r)
	}
	refusing = nil
	s.Scan(t.Context())
	if f := s.Files(); len(f) != 1 || f[0].Rel != "mine.db" {
		t.Errorf("found %v, want mine.db, which may be opened by now", f)
	}
}

func TestWhatCannotBeReadStaysKnown(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	mustWrite(t, dir, "eu/a.db", header)
	mustWrite(t, dir, "us/b.db", header)
	s := newScanning(t, entry(dir, "*"))
	s.mustFind(s.scan(), "eu/a.db", "us/b.db")

	mustDo(t, os.Rename(dir, dir+".away"))
	s.mustFind(s.scan(), "eu/a.db", "us/b.db")
	if a := s.Away(); len(a) != 1 || a[0].Path != dir {
		t.Errorf("away: %v, want %s", a, dir)
	}
	mustDo(t, os.Rename(dir+".away", dir), os.RemoveAll(filepath.Join(dir, "eu")))
	s.mustFind(s.scan(), "us/b.db")
	if a := s.Away(); len(a) != 0 {
		t.Errorf("away: %v, want nothing", a)
	}

	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	s.Scan(stopped)
	s.mustFind(s.rels(), "us/b.db")

	s.Enter = func(entered string) { // it goes while it is looked through
		if entered == dir+"/us" {
			mustDo(t, os.Rename(entered, entered+".away"), os.WriteFile(entered, nil, 0o600))
		}
	}
	s.Scan(t.Context())
	if a := s.Away(); len(a) != 1 || a[0].Path != dir+"/us" {
		t.Errorf("away: %v, want %s/us", a, dir)
	}
	s.Enter = func(entered string) {
		if entered == dir+"/us.away" {
			mustDo(t, os.RemoveAll(entered))
		}
	}
	s.mustFind(s.scan())
	if a := s.Away(); len(a) != 0 {
		t.Errorf("away: %v, want nothing", a)
	}
}

func TestAnotherDirectoryUnderTheSameNameIsAnother(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	mustWrite(t, dir, "a.db", header)
	mustWrite(t, dir, "b.db", header)
	s := newScanning(t, entry(dir, "*"))
	s.scan()
	before := s.Files()
	mustDo(t, os.Rename(dir, dir+".away"))
	mustWrite(t, dir, "a.db", header)
	s.mustFind(s.scan(), "a.db")
	if after := s.Files(); after[0].Root == before[0].Root || after[0].ID == before[0].ID || after[0].Root != mustID(t, dir) {
		t.Errorf("known as %+v still, was %+v", after[0], before[0])
	}
}

// TestAnInodeThatIsGivenAgain moves a database away and makes another under its name.
func TestAnInodeThatIsGivenAgain(t *testing.T) {
	dir := t.TempDir()
	a := mustWrite(t, dir, "a.db", header)
	s := newScanning(t, entry(dir, "*"))
	s.scan()
	mustDo(t, os.Rename(a, filepath.Join(dir, "b.db")))
	mustWrite(t, dir, "a.db", header)
	s.mustFind(s.scan(), "a.db", "b.db")
	if f := s.Files(); f[0].ID == f[1].ID {
		t.Errorf("both are known as %+v", f[0].ID)
	}
}

func TestTheFirstEntryHasAFile(t *testing.T) {
	dir := t.TempDir()
	mustWrite(t, dir, "eu/a.db", header)
	mustWrite(t, dir, "eu/b.sqlite", header)
	s := newScanning(t, entry(dir, "*.db"), entry(filepath.Join(dir, "eu"), "*"))
	for range 2 {
		s.mustFind(s.scan(), "eu/a.db", "b.sqlite")
	}
	s.Look(t.Context(), []string{filepath.Join(dir, "eu/a.db"), filepath.Join(dir, "eu")})
	s.mustFind(s.rels(), "eu/a.db", "b.sqlite")
}

// TestTenThousandFiles looks at them twice: the second time nothing is opened.
func TestTenThousandFiles(t *testing.T) {
	const files = 10_000
	dir := t.TempDir()
	for i := range files {
		mustWrite(t, dir, fmt.Sprintf("%05d.db", i), header)
	}
	s := newScanning(t, entry(dir, "*.db"))
	for range 2 {
		begun := time.Now()
		s.scan()
		t.Logf("looked at %d files in %v", len(s.Files()), time.Since(begun))
	}
	if len(s.Files()) != files || len(s.asked) != files {
		t.Errorf("found %d, opened %d, want %d", len(s.Files()), len(s.asked), files)
	}
	for name, n := range s.asked {
		if n != 1 {
			t.Fatalf("%s was opened %d times", name, n)
		}
	}
}
