package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/superfly/ltx"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/driver"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/test/damage"
	"github.com/holdfast-db/holdfast/workflows"
)

// verified is the part of `holdfast verify -o json` that tests look at.
type verified struct {
	OK     bool `json:"ok"`
	Proven *struct {
		TXID      string `json:"txid"`
		Worker    string `json:"worker"`
		Elsewhere bool   `json:"elsewhere"`
		Digest    bool   `json:"digest"`
		Checked   bool   `json:"checked"`
	} `json:"proven"`
	Damaged []struct {
		Key string `json:"key"`
	} `json:"damaged"`
	Gaps   []string `json:"gaps"`
	Repair *struct {
		Snapshot string   `json:"snapshot"`
		Refused  string   `json:"refused"`
		Aside    []string `json:"aside"`
		Later    []string `json:"later"`
		Merged   string   `json:"merged"`
	} `json:"repair"`
}

// verify runs the command and returns its answer, its exit status and its complaint.
func (s *site) verify(name string, flags ...string) (v verified, code int, complaint string) {
	s.t.Helper()
	r := s.try(append([]string{"verify", name, "-o", "json"}, flags...)...)
	if r.stdout != "" {
		if err := json.Unmarshal([]byte(r.stdout), &v); err != nil {
			s.t.Fatalf("verify: %v in %s", err, r.stdout)
		}
	}
	return v, r.code, r.stderr
}

func (s *site) storeOf(name string) blob.Store {
	s.t.Helper()
	u, err := blob.ParseURL(s.root)
	if err != nil {
		s.t.Fatal(err)
	}
	store, err := driver.Open(s.t.Context(), u.Join(name), driver.Credentials{ConnectionString: s.stack.ConnectionString})
	if err != nil {
		s.t.Fatal(err)
	}
	return store
}

func (s *site) objectsOf(name string) []replica.Object {
	s.t.Helper()
	all, err := s.replicaOf(name).All(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// waitPuts waits until the replica has n objects on level 0.
func (s *stand) waitPuts(n int) {
	s.t.Helper()
	eventually(s.t, time.Minute, func() bool { return len(s.objectsOf(s.name)) >= n }, func() string { return "too few puts" })
}

func flip(b []byte) []byte { b[len(b)*2/3] ^= 0x10; return b }

// TestADamagedReplicaIsNamedRepairedAndProven damages an object of a live database. By
// hand it is named, repaired by a snapshot of the database, and proven; the status, the
// search attribute and the journal of the application agree.
func TestADamagedReplicaIsNamedRepairedAndProven(t *testing.T) {
	t.Parallel()
	s := newStand(t, "sync: {interval: 200ms}", gently)
	s.run("setup")
	s.replicate()
	s.waitPuts(12)
	check := "SELECT count(*) > 0 FROM holdfast_orders"
	if v, code, complaint := s.verify(s.name, "--check", check); code != 0 || !v.OK || v.Proven == nil || !v.Proven.Digest || !v.Proven.Checked || v.Proven.Elsewhere {
		t.Fatalf("sound: %+v, status %d, %s", v, code, complaint)
	}
	s.waitProven()
	key := replica.Key(0, 5, 5)
	if err := damage.Edit(t.Context(), s.storeOf(s.name), key, flip); err != nil {
		t.Fatal(err)
	}
	v, code, complaint := s.verify(s.name)
	if code != 1 || v.OK || len(v.Damaged) != 1 || v.Damaged[0].Key != key || !strings.Contains(complaint, key) {
		t.Fatalf("damaged: %+v, status %d, %s; want %s named", v, code, complaint, key)
	}
	v, code, complaint = s.verify(s.name, "--repair", "--check", check)
	if code != 0 || !v.OK || v.Repair == nil || v.Repair.Snapshot == "" || v.Proven == nil || v.Proven.TXID < v.Repair.Snapshot {
		t.Fatalf("repaired: %+v, status %d, %s", v, code, complaint)
	}
	st := s.run("status", s.name)
	for _, want := range []string{"proven restorable at txid " + v.Proven.TXID, "nothing is wrong", "has put a snapshot, TXID " + v.Repair.Snapshot} {
		if !strings.Contains(strings.Join(strings.Fields(st), " "), want) && !strings.Contains(st, strings.TrimPrefix(want, "proven ")) {
			t.Errorf("the status does not say %q:\n%s", want, st)
		}
	}
	s.mustHaveAll()
}

// mustHaveAll ends the application, and compares the latest state with its journal.
func (s *stand) mustHaveAll() {
	s.t.Helper()
	if code := s.app.interrupt(s.t, 10*time.Second); code != 0 {
		s.t.Errorf("the application ended with status %d", code)
	}
	s.mustEndWithTheJournal()
}

// waitProven waits until the workflow has the search attribute.
func (s *stand) waitProven() {
	s.t.Helper()
	eventually(s.t, 10*time.Second, func() bool {
		d, err := s.client.DescribeWorkflowExecution(s.t.Context(), workflows.WorkflowID(s.name), "")
		if err != nil {
			s.t.Fatal(err)
		}
		p := d.WorkflowExecutionInfo.GetSearchAttributes().GetIndexedFields()[workflows.AttributeProven.GetName()]
		var at time.Time
		return p != nil && converter.GetDefaultDataConverter().FromPayload(p, &at) == nil && time.Since(at) < time.Minute
	}, func() string { return "the workflow has no HoldfastProven" })
}

// helper starts a worker on another host, with no database, in the same namespace.
func (s *stand) helper() (host string) {
	s.t.Helper()
	other := *s.site
	other.dir, other.host = s.t.TempDir(), "b-"+s.host[len(s.host)-20:]
	other.config = other.dir + "/holdfast.yml"
	other.env = append(append([]string(nil), s.env...), "HOME="+other.dir, "XDG_STATE_HOME="+other.dir, "HOLDFAST_HOST="+other.host)
	other.start(nil, "holdfast-worker")
	return other.host
}

// TestAReplicaIsRepairedWithoutItsHost stops the host's worker and damages the replica. An
// object that a merge stands in for is set aside by another worker. One that nothing
// stands in for is what the state ends at: the newest one before it is proven, kept, and
// said to be that.
func TestAReplicaIsRepairedWithoutItsHost(t *testing.T) {
	t.Parallel()
	s := newStand(t, "sync: {interval: 200ms}", gently)
	host := s.helper()
	s.replicate()
	s.waitPuts(20)
	s.run("maintain", s.name)
	s.work.interrupt(t, 30*time.Second)
	s.makeOld()
	key := replica.Key(0, 5, 5)
	if err := damage.Edit(t.Context(), s.storeOf(s.name), key, flip); err != nil {
		t.Fatal(err)
	}
	v, code, complaint := s.verify(s.name, "--repair")
	if code != 0 || !v.OK || len(v.Repair.Aside) != 1 || v.Repair.Aside[0] != key || v.Proven.Worker != host || !v.Proven.Elsewhere {
		t.Fatalf("where a merge stands in: %+v, status %d, %s", v, code, complaint)
	}
	all := s.objectsOf(s.name)
	last := ltx.TXID(0)
	for _, o := range all {
		if o.Level == 0 {
			last = max(last, o.Max)
		}
	}
	if err := s.storeOf(s.name).Delete(t.Context(), replica.Key(0, last-1, last-1)); err != nil {
		t.Fatal(err)
	}
	v, code, complaint = s.verify(s.name, "--repair")
	want := (last - 2).String()
	if code != 1 || v.OK || !strings.Contains(v.Repair.Refused, "does not answer") || v.Proven == nil || v.Proven.TXID != want {
		t.Fatalf("where nothing does: %+v, status %d, %s; want TXID %s proven", v, code, complaint, want)
	}
	if kept := replica.Key(plan.SnapshotLevel, 1, last-2); v.Repair.Merged != kept || !strings.Contains(complaint, want) {
		t.Errorf("kept as %q, %s; want %s", v.Repair.Merged, complaint, kept)
	}
	s.mustBeRepairedByItsHost()
}

// makeOld makes all objects two hours older, so that nobody needs their names any more.
func (s *stand) makeOld() {
	s.t.Helper()
	store := s.storeOf(s.name)
	for _, o := range s.objectsOf(s.name) {
		info, err := store.Stat(s.t.Context(), o.Key())
		if err != nil {
			s.t.Fatal(err)
		}
		body, err := store.Get(s.t.Context(), o.Key(), 0, -1)
		if err != nil {
			s.t.Fatal(err)
		}
		b, err := io.ReadAll(body)
		if err != nil {
			s.t.Fatal(err)
		}
		meta := maps.Clone(info.Metadata)
		meta[blob.TimestampKey] = o.Created.Add(-2 * time.Hour).Format(time.RFC3339Nano)
		if err := store.Delete(s.t.Context(), o.Key()); err != nil {
			s.t.Fatal(err)
		}
		if _, err := store.Put(s.t.Context(), o.Key(), bytes.NewReader(b), meta); err != nil {
			s.t.Fatal(err)
		}
	}
}

// mustBeRepairedByItsHost starts the host's worker again: the next repair has its help, and nothing
// of the database is missing.
func (s *stand) mustBeRepairedByItsHost() {
	s.t.Helper()
	s.work = s.worker()
	s.waitPhase(s.name, "Replicating", 30*time.Second)
	v, code, complaint := s.verify(s.name, "--repair")
	if code != 0 || !v.OK || v.Proven == nil || v.Repair == nil || v.Repair.Snapshot == "" {
		s.t.Fatalf("with the host: %+v, status %d, %s", v, code, complaint)
	}
	s.mustHaveAll()
}

// TestAReplicaIsVerifiedByASchedule makes a schedule, changes it, has it act at once, and
// ends it.
func TestAReplicaIsVerifiedByASchedule(t *testing.T) {
	s := newStand(t, "sync: {interval: 200ms}", gently)
	s.replicate()
	for _, every := range []string{"24h", "12h"} {
		s.run("verify", s.name, "--every", every, "--check", "SELECT 1", "--budget", "1GiB")
	}
	handle := s.client.ScheduleClient().GetHandle(t.Context(), workflows.VerifyID(s.name))
	described, err := handle.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if spec := described.Schedule.Spec; len(spec.Intervals) != 1 || spec.Intervals[0].Every != 12*time.Hour || spec.Jitter != 36*time.Minute {
		t.Errorf("got %+v, want once in 12 hours", spec)
	}
	if err := handle.Trigger(t.Context(), client.ScheduleTriggerOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() bool { return strings.Contains(s.run("status", s.name), "own check") },
		func() string { return "nothing was proven" })
	s.run("verify", s.name, "--off")
	if _, err := handle.Describe(t.Context()); err == nil {
		t.Error("the schedule is still there")
	}
	if r := s.try("verify", s.name, "--off"); r.code != 0 || !strings.Contains(r.stdout, "was not verified") {
		t.Errorf("ended twice: %+v", r)
	}
	s.work.signal(t, syscall.SIGTERM)
}
