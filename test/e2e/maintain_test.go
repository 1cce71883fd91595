package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/wal"
	"github.com/holdfast-db/holdfast/test/ledger"
	"github.com/holdfast-db/holdfast/workflows"
)

// aged is by how much a replica is made older than it is: older than merges of the first
// level are kept, and younger than those of the second.
const aged = 12 * time.Hour

// TestMaintenanceByTheWorkflowAlone ships a database, makes its replica twelve hours older
// and has it followed on. The workflow has it merged and what has expired removed; the
// worker that does so is killed in the middle of it, and one on another host, without a
// database of its own, finishes. All states that are kept are what they were.
func TestMaintenanceByTheWorkflowAlone(t *testing.T) {
	t.Parallel()
	s := newStand(t, "sync: {interval: 50ms}\nmaintenance: {slots: 0}", "60")
	s.replicate()
	eventually(t, time.Minute, func() bool { return headOf(t, s.replicaOf(s.name)) > 6*64 }, func() string { return "too few objects" })
	s.run("stop", s.name)
	old, name := s.name, s.name+"-aged"
	head := s.age(old, name)
	s.work.kill()

	s.work = s.worker("HOLDFAST_MAINTENANCE_SLOTS=1")
	s.name = name
	s.killInMerge(3)
	s.follow()
	select {
	case <-s.work.done:
	case <-time.After(time.Minute):
		t.Fatal("no merge was made for the worker to be killed in")
	}
	merges := s.level(2)
	s.front.After(nil)
	s.work = s.worker()
	janitor := s.janitor()
	s.waitKept("48 objects removed", func(kept status) bool { return kept["expired"].(float64) >= 48 })
	s.mustBeFinishedBy(janitor, merges)
	s.mustRestoreAsBefore(old, head)
	s.run("sync", s.name)
	s.run("pause", s.name)
	s.mustCostNothing("paused")
	s.run("resume", s.name)
	if code := s.app.interrupt(t, 10*time.Second); code != 0 {
		t.Errorf("the application ended with status %d", code)
	}
	s.mustEndWithTheJournal()
	s.waitPhase(s.name, "Idle", 20*time.Second)
	s.mustCostNothing("idle")
}

// age copies a replica to that of another name, with times that lie further back, and
// returns its head. All puts but the last are merged once, as they would have been.
func (s *stand) age(from, to string) (head ltx.TXID) {
	s.t.Helper()
	source, target := s.replicaOf(from), s.replicaOf(to)
	all, err := source.All(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var copies []replica.Object
	for _, o := range all {
		copies = append(copies, s.older(source, target, o))
		head = max(head, o.Max)
	}
	for rest := copies[1:]; len(rest) > plan.FanIn; rest = rest[plan.FanIn:] {
		if _, err := target.Merge(s.t.Context(), 1, rest[:plan.FanIn], s.t.TempDir()); err != nil {
			s.t.Fatal(err)
		}
		if err := target.Remove(s.t.Context(), rest[:plan.FanIn]...); err != nil {
			s.t.Fatal(err)
		}
	}
	return head
}

func (s *stand) older(source, target *replica.Replica, o replica.Object) replica.Object {
	s.t.Helper()
	r, err := source.Open(s.t.Context(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // only read
	d := replica.Draft{
		Level: o.Level, Min: o.Min, Max: o.Max, Created: o.Created.Add(-aged), Writer: o.Writer, Digest: o.Digest,
		Position: wal.Position{PageSize: r.PageSize(), Commit: r.Commit()},
	}
	older, err := target.Put(s.t.Context(), d, r.Pages)
	if err != nil {
		s.t.Fatal(err)
	}
	return older
}

// follow starts the workflow of the aged replica, which is maintained in seconds.
func (s *stand) follow() {
	s.t.Helper()
	in := workflows.Input{
		Spec: workflows.Spec{
			Name: s.name, Host: s.host, Path: s.path, Replica: strings.ReplaceAll(s.replicaURL(s.name), s.stack.Blob, s.front.URL), TakeOver: true,
			Settings: workflows.Settings{Interval: 200 * time.Millisecond, Window: 3 * time.Second, Heartbeat: 2 * time.Second, IdleAfter: 2 * time.Second},
		},
		UseSearchAttributes: true, Maintain: true,
		Pace: workflows.Pace{Puts: 20, Every: activities.Duration(3 * time.Second), Late: activities.Duration(4 * time.Second)},
	}
	if _, err := s.client.ExecuteWorkflow(s.t.Context(), workflows.StartOptions(in), workflows.TypeReplicateDatabase, in); err != nil {
		s.t.Fatal(err)
	}
}

// killInMerge kills the worker when the store has its n-th merged object.
func (s *stand) killInMerge(n int) {
	var mu sync.Mutex
	s.front.After(func(r *http.Request) bool {
		if !isPut(r) || !strings.Contains(r.URL.Path, "/ltx/2/") {
			return true
		}
		mu.Lock()
		defer mu.Unlock()
		if n--; n == 0 {
			s.work.kill()
		}
		return n > 0
	})
}

// janitor starts a worker on a host of its own that has no database.
func (s *stand) janitor() *process {
	s.t.Helper()
	config := filepath.Join(s.t.TempDir(), "janitor.yml")
	if err := os.WriteFile(config, []byte("host: "+s.janitorHost()+"\nmaintenance: {slots: 1}\nsync: {heartbeat: 2s}\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return s.start(nil, "holdfast-worker", "--config", config)
}

// janitorHost is a name with the unique part of the host's.
func (s *stand) janitorHost() string { return "janitor-" + s.host[strings.LastIndex(s.host, "-")+1:] }

// level is how many objects a level has.
func (s *stand) level(n int) int {
	s.t.Helper()
	objects, err := s.replicaOf(s.name).Objects(s.t.Context(), n)
	if err != nil {
		s.t.Fatal(err)
	}
	return len(objects)
}

// waitKept waits for what the status says of the replica.
func (s *stand) waitKept(what string, holds func(kept status) bool) {
	s.t.Helper()
	var last any
	eventually(s.t, 2*time.Minute, func() bool {
		last = s.status(s.name)["retention"]
		kept, ok := last.(map[string]any)
		return ok && holds(kept)
	}, func() string { return fmt.Sprintf("not %s: %v", what, last) })
}

// mustBeFinishedBy checks that the run whose worker was killed was made to its end by
// another, and that not all was done before.
func (s *stand) mustBeFinishedBy(janitor *process, before int) {
	s.t.Helper()
	first := s.orders(activities.NameMaintain)[0]
	started := first.started.GetActivityTaskStartedEventAttributes()
	identity := fmt.Sprintf("holdfast-worker/%s/%d", s.janitorHost(), janitor.Process.Pid)
	if first.closed.GetActivityTaskCompletedEventAttributes() == nil || started.GetAttempt() < 2 || started.GetIdentity() != identity {
		s.t.Errorf("the first run was ended by %q in attempt %d: %v, want by %s", started.GetIdentity(), started.GetAttempt(), first.closed, identity)
	}
	if after := s.level(2); before == 0 || after <= before {
		s.t.Errorf("%d merged objects when the worker was killed, %d now", before, after)
	}
}

// restored is a state as the command line restores it.
func (s *stand) restored(name string, args ...string) (txid string, data []byte) {
	s.t.Helper()
	out := filepath.Join(s.t.TempDir(), "restored.db")
	text := s.run(append([]string{"restore", s.replicaURL(name), "-o", out, "--json"}, args...)...)
	var doc struct {
		TXID string `json:"txid"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil || doc.TXID == "" {
		s.t.Fatalf("restore said %s, %v", text, err)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = os.Remove(out)
	return doc.TXID, data
}

// mustRestoreAsBefore compares states up to head, by TXID and by time, with those of the
// replica that was never maintained.
func (s *stand) mustRestoreAsBefore(untouched string, head ltx.TXID) {
	s.t.Helper()
	all, err := s.replicaOf(s.name).All(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	points, lost := plan.Points(replica.Files(all))
	points = slices.DeleteFunc(points, func(p plan.Point) bool { return p.TXID > head })
	if len(lost) > 0 || len(points) > int(head)/plan.FanIn-8 || len(points) < int(head)/(plan.FanIn*plan.FanIn) {
		s.t.Errorf("%d of %d states are kept, %v lost; want one in %d and some later ones", len(points), head, lost, plan.FanIn*plan.FanIn)
	}
	s.t.Logf("%d of %d states are kept, in %d objects", len(points), head, len(all))
	for i := 0; i < len(points); i += max(1, len(points)/6) {
		_, want := s.restored(untouched, "--txid", points[i].TXID.String())
		if _, got := s.restored(s.name, "--txid", points[i].TXID.String()); !bytes.Equal(got, want) {
			s.t.Errorf("TXID %s is not what it was", points[i].TXID)
		}
		txid, got := s.restored(s.name, "--at", points[i].Created.Add(time.Millisecond).Format(time.RFC3339Nano))
		if txid != points[i].TXID.String() || !bytes.Equal(got, want) {
			s.t.Errorf("the moment of TXID %s gives %s, or another state", points[i].TXID, txid)
		}
	}
}

// mustCostNothing waits until nothing is left to do and then looks for events.
func (s *stand) mustCostNothing(phase string) {
	s.t.Helper()
	s.waitKept("nothing left", func(kept status) bool { return kept["left"].(float64) == 0 && kept["running_since"] == nil })
	time.Sleep(12 * time.Second) // three times as long as puts or objects may wait
	before := len(s.history())
	time.Sleep(12 * time.Second)
	after := s.history()[before:]
	for _, e := range after {
		s.t.Log(e.EventType)
	}
	if len(after) > 0 {
		s.t.Errorf("%d events while it was %s and nothing was due", len(after), phase)
	}
}

// mustEndWithTheJournal restores the latest state, which has all that was committed.
func (s *stand) mustEndWithTheJournal() {
	s.t.Helper()
	s.run("sync", s.name)
	entries, err := ledger.ReadJournal(s.journal)
	if err != nil || len(entries) == 0 {
		s.t.Fatalf("journal: %d entries, %v", len(entries), err)
	}
	out := filepath.Join(s.t.TempDir(), "latest.db")
	s.run("restore", s.replicaURL(s.name), "-o", out)
	if last, err := ledger.Verify(s.t.Context(), out); err != nil || last != entries[len(entries)-1].Order {
		s.t.Errorf("the latest state ends with order %d, the journal with %d; %v", last.Number, entries[len(entries)-1].Number, err)
	}
}
