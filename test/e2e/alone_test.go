package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/test/proxy"
	"github.com/holdfast-db/holdfast/test/stack"
	"github.com/holdfast-db/holdfast/workflows"
)

// lone is a site with a Temporal of its own that may be taken away, and a database that
// an application writes into.
type lone struct {
	*site
	own     *stack.Own
	dir     string // of Temporal's state
	journal string
	app     *process
	work    *process
}

// newLone registers the database orders with windows of some seconds, so that several
// end while Temporal is away.
func newLone(t *testing.T) *lone {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Temporal and Azurite")
	}
	l := &lone{dir: t.TempDir()}
	l.own = stack.StartOwn(t, stack.Options{Only: stack.Temporal, Dir: l.dir})
	l.site = newSite(t, "", "sync: {interval: 200ms, window: 4s, heartbeat: 5s}").with("TEMPORAL_ADDRESS=" + l.own.Temporal)
	path := filepath.Join(l.site.dir, "orders.db")
	l.journal = filepath.Join(l.site.dir, "journal")
	l.app = l.start(nil, "orders", "-db", path, "-journal", l.journal, "-rate", "50")
	l.work = l.worker()
	eventually(t, 10*time.Second, func() bool { return exists(path) }, func() string { return "the application made no database" })
	l.run("register", path, "--name", "orders", "--host", l.host, "--config", l.config)
	l.waitPhase("orders", "Replicating", 20*time.Second)
	return l
}

// shipFor fails if anything takes longer than 3 s to be shipped.
func (l *lone) shipFor(long time.Duration) {
	l.t.Helper()
	for end := time.Now().Add(long); time.Now().Before(end); {
		l.mustShip(l.t, "orders", 3*time.Second)
	}
}

// mustComeBack waits for the control plane to have the database again, and compares.
func (l *lone) mustComeBack() {
	l.t.Helper()
	eventually(l.t, 90*time.Second, func() bool { return l.try("sync", "orders").code == 0 }, func() string { return "no worker answers" })
	st := l.status("orders")
	if st["phase"] != string(workflows.Replicating) || st["failures"] != 0.0 || st["problem"] != nil {
		l.t.Errorf("got phase %v, failures %v, problem %v", st["phase"], st["failures"], st["problem"])
	}
	if code := l.app.interrupt(l.t, 10*time.Second); code != 0 {
		l.t.Errorf("the application ended with status %d", code)
	}
	l.run("sync", "orders")
	l.mustHoldPrefixes(l.t, "orders", l.journal)
	if out := l.work.out.String(); strings.Contains(out, "another writer") || strings.Contains(out, "Fenced") {
		l.t.Errorf("the worker was fenced by itself:\n%s", out)
	}
}

// TestWindowsThatEndWhileTemporalIsAway takes Temporal away for several windows.
func TestWindowsThatEndWhileTemporalIsAway(t *testing.T) {
	t.Parallel()
	l := newLone(t)
	l.own.Stop()
	l.shipFor(20 * time.Second)
	l.own.Start(t)
	l.shipFor(20 * time.Second)
	l.mustComeBack()
}

// TestAWorkerStartsWhileTemporalIsAway kills the worker, too.
func TestAWorkerStartsWhileTemporalIsAway(t *testing.T) {
	l := newLone(t)
	l.own.Stop()
	l.shipFor(2 * time.Second)
	l.work.kill()
	l.work = l.worker()
	l.mustShip(t, "orders", 15*time.Second)
	l.shipFor(10 * time.Second)
	l.own.Start(t)
	l.shipFor(20 * time.Second)
	l.mustComeBack()
}

// TestTemporalLosesItsFile kills Temporal and starts it without any memory. A database
// that was paused stays so.
func TestTemporalLosesItsFile(t *testing.T) {
	t.Parallel()
	l := newLone(t)
	resting := filepath.Join(l.site.dir, "resting.db")
	shell := sqlitetest.StartShell(t, resting)
	shell.Run(t, "CREATE TABLE t(v);")
	l.run("register", resting, "--name", "resting", "--host", l.host, "--config", l.config)
	l.run("pause", "resting")
	paused := headOf(t, l.replicaOf("resting"))
	shell.Run(t, "INSERT INTO t VALUES (1);")
	l.own.Kill(t)
	if err := os.RemoveAll(l.dir); err != nil {
		t.Fatal(err)
	}
	l.shipFor(8 * time.Second)
	l.own.Start(t)
	l.shipFor(20 * time.Second)
	eventually(t, 60*time.Second, func() bool { return l.try("status", "resting").code == 0 }, func() string { return "resting is not registered again" })
	l.waitPhase("resting", "Paused", 20*time.Second)
	if head := headOf(t, l.replicaOf("resting")); head > paused+1 { // one pass may come before the pause
		t.Errorf("resting was shipped up to TXID %s, paused at %s", head, paused)
	}
	l.mustComeBack()
}

// TestAnIdleDatabaseCostsNothing lets a database rest, warm and then cold, and changes
// it.
func TestAnIdleDatabaseCostsNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Temporal and Azurite")
	}
	t.Parallel()
	for _, row := range []struct{ name, cold string }{{"warm", "0s"}, {"cold", "2s"}} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "", fmt.Sprintf("sync: {interval: 200ms, idle-after: 2s, cold-after: %s}", row.cold))
			front := proxy.Start(t, s.stack.Blob)
			s.useEndpoint(front.URL)
			var requests atomic.Int64
			front.Before(func(*http.Request) bool { requests.Add(1); return true })
			path := filepath.Join(s.dir, "shop.db")
			app := sqlitetest.StartShell(t, path)
			app.Run(t, "CREATE TABLE t(v);")
			s.worker()
			s.run("register", path, "--name", s.host, "--host", s.host, "--config", s.config)
			for round := range 2 {
				s.waitPhase(s.host, "Idle", 30*time.Second)
				time.Sleep(4 * time.Second) // for it to be closed, where it is
				before, events := requests.Load(), s.events()
				time.Sleep(5 * time.Second)
				if r, e := requests.Load()-before, s.events()-events; r != 0 || e != 0 {
					t.Errorf("round %d: 5 s of rest cost %d requests to the store and %d events, want none", round, r, e)
				}
				head, begun := headOf(t, s.replicaOf(s.host)), time.Now()
				app.Run(t, "INSERT INTO t VALUES (1);")
				eventually(t, 5*time.Second, func() bool { return headOf(t, s.replicaOf(s.host)) > head }, func() string { return "a change was not shipped" })
				t.Logf("shipped %v after a commit, by a look each 50 ms", time.Since(begun).Round(time.Millisecond))
				eventually(t, 10*time.Second, func() bool { return s.since().After(begun) }, func() string { return "the change did not end the rest" })
			}
		})
	}
}

// since is when the phase of the site's database began; zero if nobody answers.
func (s *site) since() time.Time {
	s.t.Helper()
	text, _ := s.status(s.host)["since"].(string)
	at, _ := time.Parse(time.RFC3339Nano, text)
	return at
}

// events is the length of the history of the site's database.
func (s *site) events() (n int) {
	s.t.Helper()
	i := s.temporal().GetWorkflowHistory(s.t.Context(), workflows.WorkflowID(s.host), "", false, 0)
	for i.HasNext() {
		if _, err := i.Next(); err != nil {
			s.t.Fatal(err)
		}
		n++
	}
	return n
}
