package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/test/ledger"
	"github.com/holdfast-db/holdfast/test/proxy"
	"github.com/holdfast-db/holdfast/test/stack"
	"github.com/holdfast-db/holdfast/workflows"
)

// mostLag is the longest that a commit may take to be durable, whatever Temporal does: less
// than it is away for. How long it takes on a machine with nothing else to do is measured
// by make bench-fleet.
const mostLag = 8 * time.Second

// wired is a host whose worker reaches Temporal over a wire that can fail, with
// databases that get a commit a second each, and short windows.
type wired struct {
	*site
	client client.Client // past the wire, as are commands
	wire   *proxy.Wire
	noted  *noted
	names  []string
	made   int // databases
	apps   []*process
	work   *process
	back   time.Time // since when the wire delivers again
}

// newWired starts all and waits until it replicates. server is Temporal's address; empty
// for the stack's, in a namespace of its own. heartbeat is the windows' time-out.
func newWired(t *testing.T, server, heartbeat string) *wired {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Temporal and Azurite")
	}
	s := &wired{site: newSite(t, "", "sync: {window: 3s, heartbeat: "+heartbeat+"}"), noted: &noted{all: map[string]put{}}}
	if server == "" {
		server = s.stack.Temporal
		s.client = s.apart()
	} else {
		s.env = append(s.env, "TEMPORAL_ADDRESS="+server)
		s.client = mustDial(t, server)
	}
	s.wire = proxy.StartWire(t, server)
	front := proxy.Start(t, s.stack.Blob)
	front.After(s.noted.answered)
	s.useEndpoint(front.URL)
	for i := range 4 {
		s.names = append(s.names, fmt.Sprintf("%s/%d", s.host, i))
		s.apps = append(s.apps, s.start(nil, "orders", "-db", s.path(i), "-journal", s.path(i)+".journal", "-rate", "1"))
	}
	s.made = len(s.names)
	s.work = s.worker("TEMPORAL_ADDRESS=" + s.wire.Address)
	for i, name := range s.names {
		eventually(t, 10*time.Second, func() bool { return exists(s.path(i)) }, func() string { return "the application made no database" })
		s.run("register", s.path(i), "--name", name, "--host", s.host)
	}
	for _, name := range s.names {
		s.waitPhase(name, "Replicating", 20*time.Second)
	}
	return s
}

func mustDial(t *testing.T, address string) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: address, Logger: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (s *wired) path(i int) string { return filepath.Join(s.site.dir, fmt.Sprintf("%d.db", i)) }

// put is an object as the store answered for it.
type put struct {
	captured, durable time.Time
	tries             int // that were answered
}

// noted keeps what was put.
type noted struct {
	mu  sync.Mutex
	all map[string]put // by path in the store
}

func (n *noted) answered(r *http.Request) bool {
	captured, err := time.Parse(time.RFC3339Nano, r.Header.Get("x-ms-meta-litestreamtimestamp"))
	if err != nil || !isPut(r) {
		return true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	p, again := n.all[r.URL.Path]
	if !again {
		p = put{captured: captured, durable: time.Now()}
	}
	p.tries++
	n.all[r.URL.Path] = p
	return true
}

// of returns the paths of what was put of a database, in order.
func (n *noted) of(name string) (paths []string, puts []put) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for path := range n.all {
		if strings.Contains(path, "/"+name+"/ltx/") {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	for _, path := range paths {
		puts = append(puts, n.all[path])
	}
	return paths, puts
}

// deliver lets the wire work again.
func (s *wired) deliver() {
	s.wire.Deliver(0)
	s.back = time.Now()
}

// mustRunAgain waits until the window of each database is one that the service has
// begun, and heard of, since the wire works again.
func (s *wired) mustRunAgain(names ...string) {
	s.t.Helper()
	eventually(s.t, 2*time.Minute, func() bool {
		return !slices.ContainsFunc(names, func(name string) bool { return !s.runs(name) })
	}, func() string { return "not all windows were taken over" })
	s.t.Logf("all windows were taken over %v after the wire was back", time.Since(s.back).Round(100*time.Millisecond))
	for _, name := range names {
		if st := s.status(name); st["phase"] != "Replicating" || st["failures"] != 0.0 || st["problem"] != nil {
			s.t.Errorf("%s: phase %v, failures %v, problem %v", name, st["phase"], st["failures"], st["problem"])
		}
		if n := s.failedTasks(name); n != 0 {
			s.t.Errorf("%s: %d workflow tasks failed", name, n)
		}
	}
}

func (s *wired) runs(name string) bool {
	s.t.Helper()
	d, err := s.client.DescribeWorkflowExecution(s.t.Context(), workflows.WorkflowID(name), "")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, a := range d.PendingActivities {
		if a.ActivityType.Name == activities.NameSync && a.State == enumspb.PENDING_ACTIVITY_STATE_STARTED {
			return a.LastStartedTime.AsTime().After(s.back) && a.LastHeartbeatTime.AsTime().After(s.back)
		}
	}
	return false
}

func (s *wired) failedTasks(name string) (n int) {
	s.t.Helper()
	i := s.client.GetWorkflowHistory(s.t.Context(), workflows.WorkflowID(name), "", false, 0)
	for i.HasNext() {
		e, err := i.Next()
		if err != nil {
			s.t.Fatal(err)
		}
		if e.EventType == enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED {
			n++
		}
	}
	return n
}

// mustHaveShipped ends the applications and judges what was shipped of their commits:
// each soon, none twice, and all.
func (s *wired) mustHaveShipped() {
	s.t.Helper()
	for _, app := range s.apps {
		if code := app.interrupt(s.t, 10*time.Second); code != 0 {
			s.t.Errorf("an application ended with status %d", code)
		}
	}
	for _, name := range s.names {
		eventually(s.t, time.Minute, func() bool { return s.try("sync", name).code == 0 }, func() string { return "no worker answers" }) // a lost connection may still be given tasks
		entries, err := ledger.ReadJournal(filepath.Join(s.site.dir, filepath.Base(name)+".db.journal"))
		if err != nil || len(entries) == 0 {
			s.t.Fatalf("journal: %d entries, %v", len(entries), err)
		}
		s.mustHaveNumbered(name, len(entries))
		s.mustHaveLagged(name, entries)
		s.mustRestore(name, entries)
	}
	log := s.work.out.String()
	if n := resyncs(log); n != s.made {
		s.t.Errorf("resynced %d times, want once for each of %d new databases", n, s.made)
	}
	for _, word := range []string{"another writer", "Fenced", "fenced", "sync failed"} {
		if strings.Contains(log, word) {
			s.t.Errorf("the worker says %q:\n%s", word, tail(log, 4000))
		}
	}
}

// mustHaveNumbered fails unless the TXIDs of a replica are without a gap, each put once
// and, but for the first, for some commit. A put that a window's end cut off may be in
// the store without an answer.
func (s *wired) mustHaveNumbered(name string, commits int) {
	s.t.Helper()
	objects, err := s.replicaOf(name).Objects(s.t.Context(), 0)
	if err != nil {
		s.t.Fatal(err)
	}
	for i, o := range objects {
		if int(o.Min) != i+1 || int(o.Max) != i+1 {
			s.t.Errorf("%s: object %d has TXIDs %s to %s", name, i+1, o.Min, o.Max)
		}
	}
	paths, puts := s.noted.of(name)
	for i, path := range paths {
		if puts[i].tries != 1 {
			s.t.Errorf("%s was put %d times", path, puts[i].tries)
		}
	}
	if len(objects) > commits+1 {
		s.t.Errorf("%s: %d objects for %d commits", name, len(objects), commits)
	}
}

// mustHaveLagged fails if a commit, after the first object, took too long to be durable.
func (s *wired) mustHaveLagged(name string, entries []ledger.Entry) {
	s.t.Helper()
	_, puts := s.noted.of(name)
	worst, next := time.Duration(0), 0
	for _, e := range entries {
		if !e.Committed.After(puts[0].captured) {
			continue
		}
		for next < len(puts) && puts[next].captured.Before(e.Committed.Truncate(time.Millisecond)) {
			next++
		}
		if next == len(puts) && !puts[next-1].captured.Before(e.Begun) {
			next-- // it was captured before its application knew of it; restoring shows that it was
		}
		if next == len(puts) {
			s.t.Fatalf("%s: order %d was not shipped", name, e.Number)
		}
		lag := puts[next].durable.Sub(e.Committed)
		if worst = max(worst, lag); lag > mostLag {
			s.t.Errorf("%s: order %d of %v was durable after %v", name, e.Number, e.Committed.Format("15:04:05.000"), lag)
		}
	}
	s.t.Logf("%s: %d commits, %d objects, worst lag %v", name, len(entries), len(puts), worst.Round(time.Millisecond))
}

func (s *wired) mustRestore(name string, entries []ledger.Entry) {
	s.t.Helper()
	out := filepath.Join(s.t.TempDir(), "restored.db")
	s.run("restore", name, "-o", out)
	last, err := ledger.Verify(s.t.Context(), out)
	if err != nil {
		s.t.Error(err)
	}
	if want := entries[len(entries)-1].Order; last != want {
		s.t.Errorf("%s: restored ends with order %d, the journal with %d", name, last.Number, want.Number)
	}
}

// TestTheWayToTemporalFails has the wire fail for several windows, in each of the ways
// in which a network does, and be back.
func TestTheWayToTemporalFails(t *testing.T) {
	t.Parallel() // as they wait most of the time
	for _, row := range []struct {
		name string
		fail func(*proxy.Wire)
	}{
		{"bytes are held back", (*proxy.Wire).Hold},
		{"bytes are swallowed and connections never end", (*proxy.Wire).Swallow},
		{"connections are reset", (*proxy.Wire).Reset},
		{"each way takes two seconds", func(w *proxy.Wire) { w.Deliver(2 * time.Second) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newWired(t, "", "5s")
			row.fail(s.wire)
			time.Sleep(10 * time.Second)
			s.deliver()
			time.Sleep(5 * time.Second)
			s.mustRunAgain(s.names...)
			s.mustHaveShipped()
		})
	}
}

// TestTemporalComesAndGoes has the wire slow, well, and gone, and lets Temporal be asked
// to pause a database while that is so.
func TestTemporalComesAndGoes(t *testing.T) {
	t.Parallel()
	s := newWired(t, "", "5s")
	s.wire.Deliver(2 * time.Second)
	time.Sleep(6 * time.Second)
	s.wire.Deliver(0)
	time.Sleep(2 * time.Second)
	s.wire.Hold()
	time.Sleep(3 * time.Second)
	paused, others := s.names[0], s.names[1:]
	s.run("pause", paused)
	s.mustShip(t, paused, mostLag) // which nobody could tell it not to
	s.deliver()
	s.waitPhase(paused, "Paused", 30*time.Second)
	held := headOf(t, s.replicaOf(paused))
	s.mustRunAgain(others...)
	s.wire.Reset()
	time.Sleep(6 * time.Second)
	if head := headOf(t, s.replicaOf(paused)); head != held {
		t.Errorf("%s was shipped up to TXID %s, paused at %s", paused, head, held)
	}
	s.deliver()
	s.mustRunAgain(others...)
	s.names, s.apps = others, s.apps[1:]
	s.mustHaveShipped()
}

// TestAWindowThatIsLostOnItsWay takes windows from the queue that then nobody runs, as a
// connection does that has ended without the server's knowing. The next one comes when
// its heartbeat has stayed away for longer than any commit may wait.
func TestAWindowThatIsLostOnItsWay(t *testing.T) {
	t.Parallel()
	s := newWired(t, "", "15s")
	for range 3 {
		s.lose()
	}
	s.back = time.Now()
	s.mustRunAgain(s.names...)
	s.mustHaveShipped()
}

// lose takes a task from the host's queue for windows.
func (s *wired) lose() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	for {
		task, err := s.client.WorkflowService().PollActivityTaskQueue(ctx, &workflowservice.PollActivityTaskQueueRequest{
			Namespace: s.namespace, Identity: "a ghost",
			TaskQueue: &taskqueuepb.TaskQueue{Name: workflows.SyncQueue(s.host), Kind: enumspb.TASK_QUEUE_KIND_NORMAL},
		})
		if err != nil {
			s.t.Fatal(err)
		}
		if len(task.TaskToken) > 0 {
			s.t.Logf("lost a window of %s", task.WorkflowExecution.WorkflowId)
			return
		}
	}
}

// TestTemporalStandsStill stops the server's process, which is what a machine that swaps
// looks like: connections are there, and the server's time goes on without it.
func TestTemporalStandsStill(t *testing.T) {
	t.Parallel()
	own := stack.StartOwn(t, stack.Options{Only: stack.Temporal})
	s := newWired(t, own.Temporal, "5s")
	own.Freeze(t)
	time.Sleep(12 * time.Second)
	own.Thaw(t)
	s.deliver()
	time.Sleep(5 * time.Second)
	s.mustRunAgain(s.names...)
	s.mustHaveShipped()
}

// TestADatabaseThatAppearsWhileTemporalIsAway has one discovered: it waits for its
// registration.
func TestADatabaseThatAppearsWhileTemporalIsAway(t *testing.T) {
	s := newTenants(t)
	s.make("a.db", 1)
	wire := proxy.StartWire(t, s.stack.Temporal)
	s.work = s.worker("TEMPORAL_ADDRESS=" + wire.Address)
	s.mustList(s.named("a"))
	wire.Reset()
	s.make("b.db", 3)
	s.mustLog("discovered db=" + s.named("b"))
	time.Sleep(5 * time.Second)
	if head := headOf(t, s.replicaOf(s.named("b"))); head != 0 {
		t.Errorf("it was shipped up to TXID %s, before it was registered", head)
	}
	wire.Deliver(0)
	s.mustList(s.named("a"), s.named("b"))
	s.mustRestore(s.named("b"), 3)
}
