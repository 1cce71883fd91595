package activities_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/superfly/ltx"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/faulty"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/wal"
)

// keeper runs Maintain on a replica in memory of some puts, one a second, the last of
// them age ago.
type keeper struct {
	t     *testing.T
	store blob.Store
	a     *activities.ReplicaActivities
	log   *lines
	stop  chan struct{}
	told  []error

	cancelled chan struct{} // closed when the activity of flow is
}

const keptPuts = 66 // the first with all pages, 8 merges of 8, and one

func newKeeper(t *testing.T, age time.Duration) *keeper {
	t.Helper()
	begin, putting := time.Now().Add(-age-keptPuts*time.Second), true
	clock := begin
	store := mem.NewAt(func() time.Time {
		if putting {
			return clock
		}
		return time.Now()
	})
	k := &keeper{t: t, store: store, log: &lines{}, stop: make(chan struct{}), cancelled: make(chan struct{})}
	k.a = &activities.ReplicaActivities{
		Open:       func(context.Context, string) (*replica.Replica, error) { return replica.New(k.store), nil },
		Log:        slog.New(slog.DiscardHandler),
		Maintained: func(_ string, _ activities.MaintainResult, err error) { k.told = append(k.told, err) },
	}
	for txid := ltx.TXID(1); txid <= keptPuts; txid++ {
		clock = begin.Add(time.Duration(txid) * time.Second)
		d := replica.Draft{
			Min: txid, Max: txid, Created: clock, Writer: strings.Repeat("ab", 16),
			Position: wal.Position{PageSize: 512, Commit: 3},
		}
		if _, err := replica.New(k.store).Put(t.Context(), d, func(emit func(uint32, []byte) error) error {
			for p := uint32(1); p <= 3; p++ {
				if txid > 1 && p != 1 {
					continue
				}
				if err := emit(p, binary.BigEndian.AppendUint64(make([]byte, 504), uint64(txid))); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	putting = false
	return k
}

func keep() activities.MaintainInput {
	return activities.MaintainInput{Name: "shop", Replica: "mem:shop", Window: activities.Duration(100 * time.Hour), Level0: activities.Duration(time.Hour)}
}

func (k *keeper) run(in activities.MaintainInput) (res activities.MaintainResult, err error) {
	k.t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(k.log)
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerStopChannel(k.stop)
	env.RegisterActivityWithOptions(k.a.Maintain, activity.RegisterOptions{Name: activities.NameMaintain})
	value, err := env.ExecuteActivity(activities.NameMaintain, in)
	if err == nil {
		err = value.Get(&res)
	}
	return res, err
}

func (k *keeper) must(in activities.MaintainInput) activities.MaintainResult {
	k.t.Helper()
	res, err := k.run(in)
	if err != nil {
		k.t.Fatal(err)
	}
	return res
}

func TestMaintainSaysWhatItDidAndWhatIsToCome(t *testing.T) {
	k := newKeeper(t, 2*time.Hour)
	first := k.must(keep())
	if d := first.Done; d.Merged != 9 || d.Expired != 0 || d.ReadBytes == 0 || d.WrittenBytes == 0 || first.Objects != keptPuts+9 || first.Left != 64 {
		t.Errorf("the first run: %+v, want 8 merges of 8 and one of those, and 64 objects left", first)
	}
	second := k.must(keep())
	if d := second.Done; d.Merged != 0 || d.Expired != 64 || second.Objects != keptPuts+9-64 || second.Left != 0 || second.Bytes == 0 {
		t.Errorf("the second run: %+v, want 64 objects removed", second)
	}
	if want := time.Now().Add(6 * time.Hour); second.Next.Sub(want).Abs() > time.Minute {
		t.Errorf("more goes at %v, want in 6 hours, when level 1 is 8 hours old", second.Next)
	}
	if age := time.Since(second.Oldest); age < 2*time.Hour || age > 3*time.Hour {
		t.Errorf("the oldest state is of %v ago", age)
	}
	if len(k.told) != 2 || k.told[0] != nil || k.log.count("info maintained") != 2 {
		t.Errorf("told %v, logged %v", k.told, k.log.all)
	}
}

func TestMaintainRemovesNothingWhereOthersDo(t *testing.T) {
	k := newKeeper(t, 2*time.Hour)
	in := keep()
	in.Keep = true
	k.must(in)
	if res := k.must(in); res.Done.Expired != 0 || res.Objects != keptPuts+9 || res.Left != 0 || !res.Next.IsZero() {
		t.Errorf("got %+v, want all objects and nothing to come", res)
	}
}

func TestMaintainSparesWhatIsBeingRestored(t *testing.T) {
	k := newKeeper(t, 2*time.Hour)
	in := keep()
	in.Pins = []activities.Target{{At: time.Now()}}
	k.must(in)
	if res := k.must(in); res.Done.Expired != 0 || res.Left != 0 || !res.Next.IsZero() {
		t.Errorf("beside a restore: %+v, want that nothing goes or would", res)
	}
	if res := k.must(keep()); res.Done.Expired != 64 {
		t.Errorf("after it: %+v", res)
	}
}

func TestMaintainRefusesToKeepTooLittle(t *testing.T) {
	for _, change := range []func(*activities.MaintainInput){
		func(in *activities.MaintainInput) { in.Window = 0 },
		func(in *activities.MaintainInput) { in.Level0 = activities.Duration(plan.LeastLevel0 - 1) },
		func(in *activities.MaintainInput) { in.Window = in.Level0 - 1 },
	} {
		k := newKeeper(t, 2*time.Hour)
		in := keep()
		change(&in)
		_, err := k.run(in)
		if app := mustApplication(t, err); app.Type() != activities.Misconfigured || !app.NonRetryable() || !strings.Contains(err.Error(), "maintain shop") {
			t.Errorf("%+v: got %v", in, err)
		}
	}
}

func TestMaintainsErrorsHaveTypes(t *testing.T) {
	for _, row := range []struct {
		err     error
		typ     string
		retries bool
	}{
		{blob.ErrUnavailable, activities.StoreUnavailable, true},
		{blob.ErrDenied, activities.Misconfigured, false},
		{replica.ErrNewerFormat, activities.Misconfigured, false},
		{errors.New("what?"), activities.Internal, true},
	} {
		k := newKeeper(t, 2*time.Hour)
		k.a.Open = func(context.Context, string) (*replica.Replica, error) { return nil, fmt.Errorf("open: %w", row.err) }
		_, err := k.run(keep())
		if app := mustApplication(t, err); app.Type() != row.typ || app.NonRetryable() == row.retries {
			t.Errorf("%v: got %v, want %s", row.err, err, row.typ)
		}
		if len(k.told) != 1 || !errors.Is(k.told[0], row.err) {
			t.Errorf("told %v", k.told)
		}
	}
}

// wrongClock is a store whose clock is not that of this machine.
type wrongClock struct{ blob.Store }

func (wrongClock) Clock(context.Context) (time.Time, error) {
	return time.Now().Add(-time.Hour), nil
}

// Another worker's clock may be right, so it is tried again; and the one whose is not is
// named.
func TestMaintainSaysWhoseClockIsWrong(t *testing.T) {
	k := newKeeper(t, 2*time.Hour)
	k.must(keep()) // merges
	k.store, k.a.Host = wrongClock{k.store}, "web-2"
	_, err := k.run(keep())
	app := mustApplication(t, err)
	if app.Type() != activities.Misconfigured || app.NonRetryable() {
		t.Errorf("got %s, final %t; want %s, and another try", app.Type(), app.NonRetryable(), activities.Misconfigured)
	}
	for _, want := range []string{"worker web-2", "1h0m0s ahead of the store's", "set it right"} {
		if !strings.Contains(app.Message(), want) {
			t.Errorf("%q does not say %q", app.Message(), want)
		}
	}
}

// Damage is what a run has to say, and no reason to make it again at once.
func TestMaintainRemembersDamage(t *testing.T) {
	k := newKeeper(t, 2*time.Hour)
	key := replica.Key(0, 20, 20)
	info, err := k.store.Stat(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.store.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := k.store.Put(t.Context(), key, strings.NewReader("rubbish"), info.Metadata); err != nil {
		t.Fatal(err)
	}
	res := k.must(keep())
	if !strings.Contains(res.Damage, key) || res.Done.Merged != 8 || res.Objects == 0 {
		t.Errorf("got %+v, want the damaged object named, the other 7 merges, and one of the two before the gap", res)
	}
}

// blocking lets do happen ahead of the n-th put.
func (k *keeper) blocking(n int, do func(ctx context.Context)) {
	store := faulty.New(k.store)
	store.Set(func(c faulty.Call) faulty.Fault {
		if c.Op == faulty.Put {
			if n--; n == 0 {
				do(k.t.Context())
			}
		}
		return faulty.Fault{}
	})
	k.store = store
}

func TestAWorkerThatStopsEndsMaintainWell(t *testing.T) {
	k := newKeeper(t, 2*time.Hour)
	k.blocking(4, func(context.Context) {
		close(k.stop)
		time.Sleep(20 * time.Millisecond)
	})
	res := k.must(keep())
	if !res.Stopped || res.Done.Merged < 3 || res.Done.Merged > 4 {
		t.Errorf("got %+v, want that it was stopped after some merges", res)
	}
	k.stop = make(chan struct{})
	if rest := k.must(keep()); rest.Stopped || res.Done.Plus(rest.Done).Merged != 9 {
		t.Errorf("the next run: %+v, want that it makes the rest", rest)
	}
}

// flow runs Maintain as a workflow does, with heartbeats, and lets each be heard. It
// returns what Maintain itself did, which may be after the workflow's end.
func (k *keeper) flow(heard func(env *testsuite.TestWorkflowEnvironment, done activities.Maintained)) error {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(k.log)
	env := suite.NewTestWorkflowEnvironment()
	ended := make(chan error, 1)
	env.RegisterActivityWithOptions(func(ctx context.Context, in activities.MaintainInput) (activities.MaintainResult, error) {
		context.AfterFunc(ctx, func() { close(k.cancelled) })
		res, err := k.a.Maintain(ctx, in)
		ended <- err
		return res, err
	}, activity.RegisterOptions{Name: activities.NameMaintain})
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		var done activities.Maintained
		if err := details.Get(&done); err != nil {
			k.t.Error(err)
		}
		heard(env, done)
	})
	env.ExecuteWorkflow(func(ctx workflow.Context) error {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			StartToCloseTimeout: time.Minute, HeartbeatTimeout: 300 * time.Millisecond, WaitForCancellation: true,
			RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
		})
		return workflow.ExecuteActivity(ctx, activities.NameMaintain, keep()).Get(ctx, nil)
	})
	return <-ended
}

// One merge does not go on before three heartbeats were heard: so they come while it runs.
func TestALongMergeHeartbeats(t *testing.T) {
	k := newKeeper(t, 2*time.Hour)
	var mu sync.Mutex
	var beats []activities.Maintained
	enough := make(chan struct{})
	k.blocking(4, func(context.Context) { <-enough })
	err := k.flow(func(_ *testsuite.TestWorkflowEnvironment, done activities.Maintained) {
		mu.Lock()
		defer mu.Unlock()
		if beats = append(beats, done); len(beats) == 3 {
			close(enough)
		}
	})
	if err != nil || beats[0].Merged != 3 || beats[2].Merged != 3 {
		t.Errorf("got %v, heartbeats %+v; want three after three merges", err, beats)
	}
}

func TestACancelledMaintainIsNoFailure(t *testing.T) {
	k := newKeeper(t, 2*time.Hour)
	k.blocking(4, func(context.Context) { <-k.cancelled })
	var once sync.Once
	err := k.flow(func(env *testsuite.TestWorkflowEnvironment, _ activities.Maintained) { once.Do(env.CancelWorkflow) })
	if !errors.Is(err, context.Canceled) || len(k.told) != 0 {
		t.Errorf("got %v, told %v; want a cancellation", err, k.told)
	}
}
