package e2e_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// tenants is a site whose databases are discovered in dir.
type tenants struct {
	*site
	dir  string
	work *process
}

// newTenants makes one without a worker. A file may be gone for 3 s.
func newTenants(t *testing.T) *tenants {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Temporal and Azurite")
	}
	dir := filepath.Join(t.TempDir(), "tenants")
	s := &tenants{site: newSite(t, "", fmt.Sprintf(`directories: [{dir: %q, recursive: true}]
discovery: {rescan: 1s, grace: 3s}
sync: {interval: 200ms}
backoff: {cap: 2s}`, dir)), dir: dir}
	s.apart()
	return s
}

// make makes a database of some rows below the directory.
func (s *tenants) make(rel string, rows int) string {
	s.t.Helper()
	path := filepath.Join(s.dir, rel)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	app := sqlitetest.Open(s.t, path)
	sqlitetest.Exec(s.t, app, "CREATE TABLE t(v)")
	for i := range rows {
		sqlitetest.Exec(s.t, app, "INSERT INTO t VALUES(?)", i)
	}
	if err := app.Close(); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// insert adds a row to a database.
func (s *tenants) insert(rel string) {
	s.t.Helper()
	app := sqlitetest.Open(s.t, filepath.Join(s.dir, rel))
	sqlitetest.Exec(s.t, app, "INSERT INTO t VALUES('more')")
	if err := app.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// named is the name of the database rel.
func (s *tenants) named(rel string) string { return s.host + "/" + rel }

// listed returns the names of all registered databases.
func (s *tenants) listed() []string {
	s.t.Helper()
	var list []struct{ Name string }
	out := s.run("list", "-o", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		s.t.Fatalf("list: %v in %s", err, out)
	}
	var names []string
	for _, db := range list {
		names = append(names, db.Name)
	}
	slices.Sort(names)
	return names
}

// mustList waits until these databases are registered, and no others.
func (s *tenants) mustList(want ...string) {
	s.t.Helper()
	slices.Sort(want)
	eventually(s.t, 30*time.Second, func() bool { return slices.Equal(s.listed(), want) },
		func() string { return fmt.Sprintf("registered are %q, want %q", s.listed(), want) })
}

// mustRestore waits until the database's replica holds so many rows.
func (s *tenants) mustRestore(what string, rows int) {
	s.t.Helper()
	got := -1
	eventually(s.t, 30*time.Second, func() bool {
		out := filepath.Join(s.t.TempDir(), "restored.db")
		if r := s.try("restore", what, "-o", out); r.code != 0 {
			return false
		}
		restored, err := sql.Open("sqlite3", out)
		if err != nil {
			s.t.Fatal(err)
		}
		defer restored.Close() //nolint:errcheck // only read
		if err := restored.QueryRow("SELECT count(*) FROM t").Scan(&got); err != nil {
			s.t.Fatal(err)
		}
		return got == rows
	}, func() string { return fmt.Sprintf("the replica of %s holds %d rows, want %d", what, got, rows) })
}

func (s *tenants) must(errs ...error) {
	s.t.Helper()
	for _, err := range errs {
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// mustLog waits until the worker has logged words, and fails if more than once.
func (s *tenants) mustLog(words string) {
	s.t.Helper()
	count := func() int { return strings.Count(s.work.out.String(), words) }
	eventually(s.t, 20*time.Second, func() bool { return count() > 0 }, func() string { return fmt.Sprintf("%q is not logged", words) })
	if n := count(); n != 1 {
		s.t.Errorf("%q is logged %d times", words, n)
	}
}

// litter puts into the directory what is no database of its own: a text, files that
// SQLite keeps beside one, and ways to databases elsewhere.
func (s *tenants) litter() {
	s.t.Helper()
	outside := database(s.t)
	b, err := os.ReadFile(outside)
	s.must(err,
		os.WriteFile(filepath.Join(s.dir, "text.db"), []byte(strings.Repeat("text ", 100)), 0o600),
		os.WriteFile(filepath.Join(s.dir, "empty.db"), nil, 0o600),
		os.WriteFile(filepath.Join(s.dir, "copy.db-wal"), b, 0o600),
		os.WriteFile(filepath.Join(s.dir, "copy.db-shm"), b, 0o600),
		os.Symlink(outside, filepath.Join(s.dir, "link.db")),
		os.Symlink(filepath.Dir(outside), filepath.Join(s.dir, "way")),
		os.Symlink("acme.db", filepath.Join(s.dir, "inside.db")))
}

func TestDatabasesInADirectoryAreReplicated(t *testing.T) {
	s := newTenants(t)
	s.make("acme.db", 3)
	s.make("eu/Beta & Co.sqlite", 4)
	hand := s.make("hand.db", 1)
	s.litter()
	s.run("register", hand, "--name", "by-hand", "--host", s.host, "--config", s.config, "--no-wait")
	s.work = s.worker()
	all := []string{"by-hand", s.named("acme"), s.named("eu/beta-co")}
	s.mustList(all...)
	s.mustRestore(s.named("acme"), 3)
	s.mustRestore(s.named("eu/beta-co"), 4)
	s.mustLog(hand + " on host " + s.host + " is registered as by-hand, so it cannot be " + s.named("hand") + " too")

	s.make("us/new/gamma.db", 5)
	all = append(all, s.named("us/new/gamma"))
	s.mustList(all...)
	s.mustRestore(s.named("us/new/gamma"), 5)
	s.insert("us/new/gamma.db")
	s.mustRestore(s.named("us/new/gamma"), 6)
	s.mustList(all...)
	s.mustLog("discovered db=" + s.named("us/new/gamma"))
}

func TestADatabaseWhoseFileIsGoneIsReleased(t *testing.T) {
	t.Parallel()
	s := newTenants(t)
	acme, beta := s.make("acme.db", 3), s.make("eu/beta.db", 4)
	s.work = s.worker()
	s.mustList(s.named("acme"), s.named("eu/beta"))
	s.mustRestore(s.named("acme"), 3)
	s.mustRestore(s.named("eu/beta"), 4)

	s.must(os.Remove(acme))
	s.mustList(s.named("eu/beta"))
	s.mustLog("released, as its file is gone; its replica stays db=" + s.named("acme") + " path=" + acme)
	s.mustRestore(s.replicaURL(s.named("acme")), 3)

	elsewhere := filepath.Join(t.TempDir(), "beta.db")
	s.must(os.Rename(beta, elsewhere))
	s.mustList()
	s.must(os.Rename(elsewhere, beta))
	s.insert("eu/beta.db")
	s.mustList(s.named("eu/beta"))
	s.mustRestore(s.named("eu/beta"), 5)

	if code := s.work.interrupt(t, 30*time.Second); code != 0 {
		t.Errorf("the worker ended with status %d", code)
	}
	s.must(os.RemoveAll(filepath.Dir(beta)))
	s.work = s.worker()
	s.mustList()
	s.mustLog("released, as its file is gone; its replica stays db=" + s.named("eu/beta"))
}

// TestADirectoryThatIsAwayReleasesNothing takes it away by its name, and then leaves an
// empty one in its place, as an unmounted disk does, for longer than a file may be gone.
func TestADirectoryThatIsAwayReleasesNothing(t *testing.T) {
	t.Parallel()
	s := newTenants(t)
	s.make("acme.db", 3)
	s.make("eu/beta.db", 4)
	s.work = s.worker()
	all := []string{s.named("acme"), s.named("eu/beta")}
	s.mustList(all...)
	s.mustRestore(s.named("acme"), 3)
	s.mustRestore(s.named("eu/beta"), 4)

	s.must(os.Rename(s.dir, s.dir+".away"))
	s.mustLog("directory not looked through; its databases stay as they are path=" + s.dir)
	time.Sleep(6 * time.Second)
	s.mustList(all...)
	s.must(os.Mkdir(s.dir, 0o700))
	s.mustLog("databases not released, as the file system that they were on is not there path=" + s.dir + " databases=2")
	time.Sleep(6 * time.Second)
	s.mustList(all...)

	s.must(os.Remove(s.dir), os.Rename(s.dir+".away", s.dir))
	s.insert("acme.db")
	s.insert("eu/beta.db")
	s.mustRestore(s.named("acme"), 4)
	s.mustRestore(s.named("eu/beta"), 5)
	s.mustList(all...)
	if strings.Contains(s.work.out.String(), "released, as its file is gone") {
		t.Error("something was released")
	}
}
