package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/internal/discover"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/telemetry"
	"github.com/holdfast-db/holdfast/internal/watch"
	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

// desk is an agent in a directory, with all that it asks for written down.
type desk struct {
	*agent
	t    *testing.T
	dir  string
	logs strings.Builder

	notify  *watch.Watcher
	wanting func(config.Database)

	mu       sync.Mutex
	wanted   []string // names, in the order in which they were asked for
	dropped  []string // paths
	stopped  []string // names
	status   map[string]control.Status
	answer   error // of Status
	refusing error // of Stop
}

func (d *desk) want(db config.Database) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = append(d.wanted, db.Name)
	if d.wanting != nil {
		d.wanting(db)
	}
	if _, ok := d.status[db.Name]; !ok {
		d.status[db.Name] = control.Status{Answering: true, Status: workflows.Status{Name: db.Name, Host: "web-1", Path: db.Path, Replica: db.Replica}}
	}
}

func (d *desk) drop(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dropped = append(d.dropped, path)
}

func (d *desk) Status(_ context.Context, name string) (control.Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.status[name], d.answer
}

func (d *desk) Stop(_ context.Context, name string, skipFinalPass bool) (workflows.Stopped, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !skipFinalPass {
		return workflows.Stopped{}, fmt.Errorf("a final pass of a file that is gone")
	}
	d.stopped = append(d.stopped, name)
	return workflows.Stopped{}, d.refusing
}

// names returns what was wanted so far.
func (d *desk) names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.wanted)
}

// newDesk makes an agent whose directory has two databases. Its databases are released
// as soon as they are missed.
func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, dir: filepath.Join(t.TempDir(), "tenants"), status: map[string]control.Status{}}
	d.write("a.db")
	d.write("eu/b.db")
	s := settings{processDir: t.TempDir()}
	s.Host, s.Replica, s.Discovery.Rescan = "web-1", "file:///r", time.Hour
	s.Directories = []config.Directory{{Dir: d.dir, Pattern: "*.db", Recursive: true, Name: "{host}/{path}"}}
	d.settle(s)
	return d
}

// settle begins anew with s, as another process would.
func (d *desk) settle(s settings) {
	h, err := telemetry.NewHandler(&d.logs, telemetry.Text, "info")
	if err != nil {
		d.t.Fatal(err)
	}
	d.agent = newAgent(slog.New(h), s, source.Probe, d, d, d.notify)
}

func (d *desk) write(rel string) string {
	d.t.Helper()
	path := filepath.Join(d.dir, rel)
	d.must(os.MkdirAll(filepath.Dir(path), 0o700))
	d.must(os.WriteFile(path, []byte("SQLite format 3\x00\x10\x00\x02\x02"+strings.Repeat("\x00", 80)), 0o600))
	return path
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// rescan looks at everything and waits for the releases that come of it.
func (d *desk) rescan() {
	d.t.Helper()
	d.scan(d.t.Context())
	if d.releasing {
		d.settleReleases(<-d.released)
	}
}

func (d *desk) mustHave(what string, got []string, want ...string) {
	d.t.Helper()
	if !slices.Equal(got, want) {
		d.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// mustSay fails unless the log says words n times.
func (d *desk) mustSay(words string, n int) {
	d.t.Helper()
	if got := strings.Count(d.logs.String(), words); got != n {
		d.t.Errorf("%q was logged %d times, want %d:\n%s", words, got, n, &d.logs)
	}
}

func TestFoundDatabasesAreRegisteredOnce(t *testing.T) {
	d := newDesk(t)
	found, refused := 0, 0
	d.counted = func(f, r int) { found, refused = f, r }
	d.rescan()
	d.write("A.db")
	d.write("new.db")
	d.rescan()
	d.rescan()
	d.mustHave("wanted", d.names(), "web-1/a", "web-1/eu/b", "web-1/new")
	d.mustSay("INFO  discovered db=", 3)
	d.mustSay("INFO  discovered db=web-1/eu/b path="+d.dir+"/eu/b.db replica=file:///r/web-1/eu/b", 1)
	d.mustSay(d.dir+"/a.db and "+d.dir+"/A.db would both be named web-1/a", 1)
	if found != 3 || refused != 1 {
		t.Errorf("counted %d found, %d refused, want 3 and 1", found, refused)
	}

	d.wanted = nil
	d.settle(d.settings) // the next process
	d.rescan()
	d.mustHave("wanted by the next process", d.names(), "web-1/a", "web-1/eu/b", "web-1/new")
	d.mustSay("INFO  discovered db=", 3)
}

func TestWhatVanishesBeforeItIsRegisteredIsGivenUp(t *testing.T) {
	d := newDesk(t)
	d.rescan()
	path := filepath.Join(d.dir, "a.db")
	d.must(os.Remove(path))
	d.answer = control.ErrNotRegistered
	d.rescan()
	d.mustHave("dropped", d.dropped, path)
	d.mustHave("stopped", d.stopped)
	d.mustHave("on record", d.record.Paths(), d.dir+"/eu/b.db")
	d.write("a.db")
	d.rescan()
	d.mustHave("wanted", d.names(), "web-1/a", "web-1/eu/b", "web-1/a")
	d.mustSay("INFO  discovered db=web-1/a", 2)
}

// TestANameIsFreeOnlyAfterItsRelease has a file that comes to the name of one that is
// gone. It is wanted at once, so that the refusal is logged; the record is not its own
// before the other one is released.
func TestANameIsFreeOnlyAfterItsRelease(t *testing.T) {
	d := newDesk(t)
	d.rescan()
	d.Discovery.Grace = time.Hour
	d.must(os.Rename(d.dir+"/a.db", d.dir+"/A.db"))
	d.rescan()
	d.mustHave("wanted", d.names(), "web-1/a", "web-1/eu/b", "web-1/a")
	d.mustHave("on record", d.record.Paths(), d.dir+"/a.db", d.dir+"/eu/b.db")
	d.Discovery.Grace = 0
	d.rescan()
	d.mustHave("stopped", d.stopped, "web-1/a")
	d.rescan()
	d.mustHave("on record", d.record.Paths(), d.dir+"/A.db", d.dir+"/eu/b.db")
}

func TestListedDatabasesAreLeftToTheList(t *testing.T) {
	d := newDesk(t)
	d.Databases = []config.Database{{Path: filepath.Join(t.TempDir(), "link.db"), Name: "shop"}}
	d.must(os.Symlink(filepath.Join(d.dir, "a.db"), d.Databases[0].Path))
	d.rescan()
	d.mustHave("wanted", d.names(), "web-1/eu/b")
}

// TestTheAgentLooksWhenSomethingChanges has no other way to find a database: it looks
// at everything once an hour.
func TestTheAgentLooksWhenSomethingChanges(t *testing.T) {
	d := newDesk(t)
	var err error
	d.notify, err = watch.New()
	d.must(err)
	defer d.notify.Close() //nolint:errcheck // the test is over
	d.settle(d.settings)
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() { d.run(ctx) })
	defer ended.Wait()
	defer cancel()
	d.await(func() bool { return len(d.names()) == 2 })
	d.write("us/west/c.db")
	d.await(func() bool { return slices.Contains(d.names(), "web-1/us/west/c") })
	d.must(os.Rename(d.write("us/d.tmp"), filepath.Join(d.dir, "us/d.db")))
	d.await(func() bool { return slices.Contains(d.names(), "web-1/us/d") })
}

// TestNothingIsRegisteredBeforeItIsOnRecord looks into the record whenever a database
// is wanted.
func TestNothingIsRegisteredBeforeItIsOnRecord(t *testing.T) {
	d := newDesk(t)
	d.wanting = func(db config.Database) {
		r, err := discover.LoadRecord(filepath.Join(d.processDir, "discovered.json"))
		if e, ok := r.Entry(db.Path); err != nil || !ok || e.Name != db.Name {
			t.Errorf("%s is not on record: %+v, %v", db.Name, e, err)
		}
	}
	d.rescan()
	d.mustHave("wanted", d.names(), "web-1/a", "web-1/eu/b")
}

func (d *desk) await(ok func() bool) {
	d.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			d.t.Fatalf("it does not come; wanted: %q", d.names())
		}
	}
}
