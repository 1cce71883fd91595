package activities_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/superfly/ltx"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/testsuite"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/internal/wal"
	"github.com/holdfast-db/holdfast/test/damage"
)

// fleet knows one database.
type fleet struct {
	known activities.Known
	put   func(after ltx.TXID) (activities.Progress, error)
}

func (f fleet) Known(context.Context, string) (activities.Known, error) { return f.known, nil }

func (f fleet) Snapshot(_ context.Context, _ string, after ltx.TXID) (activities.Progress, error) {
	return f.put(after)
}

// shipped returns the replica of a real database of four states.
func shipped(t *testing.T) blob.Store {
	t.Helper()
	store, quiet, dir := mem.New(), slog.New(slog.DiscardHandler), t.TempDir()
	app := sqlitetest.Open(t, dir+"/app.db")
	sqlitetest.Exec(t, app, "CREATE TABLE t(v)")
	state, err := ship.OpenDir(dir+"/state", ship.OS)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ship.New(ship.Options{Name: "shop", URL: "mem:", Writer: strings.Repeat("ab", 16), Replica: replica.New(store), Log: quiet}, state)
	if err != nil {
		t.Fatal(err)
	}
	db, err := source.Open(dir+"/app.db", quiet)
	if err != nil {
		t.Fatal(err)
	}
	s.Attach(db)
	for range 4 {
		sqlitetest.Exec(t, app, "INSERT INTO t VALUES (randomblob(9000))")
		if _, err := s.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = db.Close()
	return store
}

// runOn runs an activity of a worker on host.
func runOn(t *testing.T, a *activities.ReplicaActivities, name string, do, in any) (value func(any) error, err error) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(&lines{})
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerStopChannel(make(chan struct{}))
	env.RegisterActivityWithOptions(do, activity.RegisterOptions{Name: name})
	got, err := env.ExecuteActivity(name, in)
	if err != nil {
		return nil, err
	}
	return func(into any) error { return got.Get(into) }, nil
}

func workerOn(store blob.Store, hostName string) *activities.ReplicaActivities {
	return &activities.ReplicaActivities{
		Open: func(context.Context, string) (*replica.Replica, error) { return replica.New(store), nil },
		Log:  slog.New(slog.DiscardHandler), Host: hostName,
	}
}

func verifyOn(t *testing.T, a *activities.ReplicaActivities, in activities.VerifyInput) (res activities.VerifyResult, err error) {
	t.Helper()
	a.Scratch = t.TempDir()
	value, err := runOn(t, a, activities.NameVerify, a.Verify, in)
	if err == nil {
		err = value(&res)
	}
	return res, err
}

func TestVerifyProvesAndSaysWhere(t *testing.T) {
	a, told := workerOn(shipped(t), "web-2"), 0
	a.Verified = func(database string, res activities.VerifyResult) {
		if database == "shop" && res.Proven != nil {
			told++
		}
	}
	res, err := verifyOn(t, a, activities.VerifyInput{Name: "shop", Host: "web-1", Replica: "mem:", Check: "SELECT count(*) = 4 FROM t"})
	if err != nil || res.Proven == nil || res.Proven.TXID != 4 || !res.Proven.Checked || !res.Proven.Digest || !res.Proven.Elsewhere || res.Proven.Worker != "web-2" {
		t.Errorf("got %+v, %v", res, err)
	}
	if res.Survey.Read != 4 || res.Survey.Digested != 4 || !res.Survey.Sound() || res.Read != res.Proven.Read+res.Survey.ReadBytes || told != 1 {
		t.Errorf("got %+v, told %d times", res, told)
	}
}

func TestVerifyLeavesItToAnotherHostAtFirst(t *testing.T) {
	_, err := verifyOn(t, workerOn(shipped(t), "web-1"), activities.VerifyInput{Name: "shop", Host: "web-1", Replica: "mem:"})
	if app := mustApplication(t, err); app.Type() != activities.OwnHost || app.NonRetryable() || app.NextRetryDelay().Seconds() != 1 {
		t.Errorf("got %v", err)
	}
}

// What is found passes through a history and serves the repair.
func TestVerifyNamesWhatRepairSetsAside(t *testing.T) {
	store := shipped(t)
	r := replica.New(store)
	all, err := r.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Merge(t.Context(), 1, all[1:], t.TempDir()); err != nil {
		t.Fatal(err)
	}
	bad := replica.Key(1, 2, 4)
	if err := damage.Edit(t.Context(), store, bad, func(b []byte) []byte { return b[:len(b)-1] }); err != nil {
		t.Fatal(err)
	}
	a := workerOn(store, "web-2")
	res, err := verifyOn(t, a, activities.VerifyInput{Name: "shop", Host: "web-1", Replica: "mem:", Cheap: true})
	if err != nil || res.Proven != nil || res.Survey.Damages != 1 || res.Survey.Damaged[0].Key != bad || !res.Survey.Damaged[0].Certain {
		t.Fatalf("got %+v, %v", res, err)
	}
	value, err := runOn(t, a, activities.NameRepair, a.Repair, activities.RepairInput{Name: "shop", Replica: "mem:", Damaged: res.Survey.Damaged})
	if err != nil {
		t.Fatal(err)
	}
	var m activities.Mending
	if err := value(&m); err != nil || len(m.Aside) != 1 || m.Aside[0] != bad || m.Snapshot {
		t.Errorf("got %+v, %v", m, err)
	}
	if _, err := store.Stat(t.Context(), bad); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestVerifyTellsWhoseFaultItIs(t *testing.T) {
	store := shipped(t)
	in := activities.VerifyInput{Name: "shop", Host: "web-1", Replica: "mem:", Check: "SELECT 0"}
	if res, err := verifyOn(t, workerOn(store, "web-2"), in); err != nil || res.Fault == nil || res.Fault.Kind != activities.FaultCheck {
		t.Errorf("a check: %+v, %v", res.Fault, err)
	}
	in.Budget = 1
	if res, err := verifyOn(t, workerOn(store, "web-2"), in); err != nil || res.Fault != nil || res.Skipped == "" || res.Survey.Read != 0 || res.Survey.Unread != 4 {
		t.Errorf("a budget: %+v, %v", res, err)
	}
	in.Budget = 0
	if err := store.Delete(t.Context(), replica.Key(0, 2, 2)); err != nil {
		t.Fatal(err)
	}
	if res, err := verifyOn(t, workerOn(store, "web-2"), in); err != nil || res.Fault == nil || res.Fault.Kind != activities.FaultReplica || !res.Mending.Snapshot || res.Mending.Newest != 1 {
		t.Errorf("a gap: %+v, %v", res, err)
	}
}

// A proof that has no room on this worker may have it on another; where none has, that is
// said within a minute.
func TestVerifySaysWhoHasTooLittleScratchSpace(t *testing.T) {
	store := mem.New()
	for txid, commit := range []uint32{1, 1<<32 - 1} {
		d := replica.Draft{
			Min: ltx.TXID(txid + 1), Max: ltx.TXID(txid + 1), Created: time.Now(), Writer: strings.Repeat("ab", 16),
			Position: wal.Position{PageSize: 65536, Commit: commit},
		}
		page := func(emit func(uint32, []byte) error) error { return emit(1, make([]byte, 65536)) }
		if _, err := replica.New(store).Put(t.Context(), d, page); err != nil {
			t.Fatal(err)
		}
	}
	_, err := verifyOn(t, workerOn(store, "web-2"), activities.VerifyInput{Name: "shop", Host: "web-1", Replica: "mem:"})
	app := mustApplication(t, err)
	if rest := app.NextRetryDelay(); app.Type() != activities.DiskFull || app.NonRetryable() || rest <= 0 || 9*rest > time.Minute {
		t.Errorf("got %s, final %t, again in %v", app.Type(), app.NonRetryable(), rest)
	}
	if !strings.HasPrefix(app.Message(), "on worker web-2: ") || !strings.Contains(app.Message(), "maintenance.scratch") {
		t.Errorf("got %q", app.Message())
	}
}

func TestASnapshotThatIsRefusedIsAnAnswer(t *testing.T) {
	a := workerOn(mem.New(), "web-2")
	a.Fleet = fleet{put: func(after ltx.TXID) (activities.Progress, error) {
		if after == 7 {
			return activities.Progress{}, errors.New("shop is paused")
		}
		return activities.Progress{TXID: after + 1}, nil
	}}
	_, err := runOn(t, a, activities.NameSnapshot, a.Snapshot, activities.SnapshotInput{Name: "shop", After: 7})
	if app := mustApplication(t, err); !app.NonRetryable() || app.Message() != "shop is paused" {
		t.Errorf("got %v", err)
	}
	value, err := runOn(t, a, activities.NameSnapshot, a.Snapshot, activities.SnapshotInput{Name: "shop", After: 8})
	var p activities.Progress
	if err != nil || value(&p) != nil || p.TXID != 9 {
		t.Errorf("got %+v, %v", p, err)
	}
}

// SyncOnce asks the host for a snapshot where it is to be one.
func TestSyncOnceMayBeASnapshot(t *testing.T) {
	f := &fakeHost{snapshot: func(_ context.Context, _ host.Database, head, after ltx.TXID) (host.Result, error) {
		return host.Result{Progress: host.Progress{TXID: head + after}}, nil
	}}
	env := (&testsuite.WorkflowTestSuite{}).NewTestActivityEnvironment()
	env.RegisterActivityWithOptions((&activities.HostActivities{Host: f}).SyncOnce, activity.RegisterOptions{Name: activities.NameSyncOnce})
	value, err := env.ExecuteActivity(activities.NameSyncOnce, activities.SyncOnceInput{Head: 3, Snapshot: true, After: 4})
	var p activities.Progress
	if err != nil || value.Get(&p) != nil || p.TXID != 7 {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestAHistoryHoldsABoundedAnswer(t *testing.T) {
	store := shipped(t)
	for i := range 600 {
		txid := ltx.TXID(10 + 2*i)
		if _, err := store.Put(t.Context(), replica.Key(0, txid, txid), strings.NewReader("no object"), nil); err != nil {
			t.Fatal(err)
		}
	}
	res, err := verifyOn(t, workerOn(store, "web-2"), activities.VerifyInput{Host: "web-1", Replica: "mem:", Cheap: true})
	if err != nil || res.Survey.Damages != 600 || len(res.Survey.Damaged) != 500 || res.Survey.GapCount != 600 || len(res.Survey.Gaps) != 500 {
		t.Errorf("%d damaged of %d, %d gaps of %d, %v", len(res.Survey.Damaged), res.Survey.Damages, len(res.Survey.Gaps), res.Survey.GapCount, err)
	}
	if len(fmt.Sprint(res)) > 500_000 {
		t.Errorf("%d bytes", len(fmt.Sprint(res)))
	}
}
