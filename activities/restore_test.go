package activities_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/restore"
)

// restorer answers as do says, and keeps what it was asked.
type restorer struct {
	do    func(ctx context.Context, r host.Restoring) (restore.Result, error)
	err   error // of what else is asked
	asked []string
	got   host.Restoring
}

func (f *restorer) CheckRestore(_ context.Context, r host.Restoring) (string, error) {
	f.asked, f.got = append(f.asked, "check"), r
	return "shop", f.err
}

func (f *restorer) Restore(ctx context.Context, r host.Restoring) (restore.Result, error) {
	f.asked, f.got = append(f.asked, "restore"), r
	return f.do(ctx, r)
}

func (f *restorer) DiscardRestore(_ context.Context, r host.Restoring) error {
	f.asked, f.got = append(f.asked, "discard"), r
	return f.err
}

// attempt runs Restore as a worker does that lives until stop, and returns its
// heartbeats. The activity is cancelled with ctx.
func (f *restorer) attempt(t *testing.T, ctx context.Context, stop chan struct{}, in activities.RestoreInput) (res activities.RestoreResult, beats []activities.RestoreBeat, err error) { //nolint:revive // t first, as in all helpers
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(&lines{})
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerStopChannel(stop)
	env.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	var mu sync.Mutex
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		mu.Lock()
		defer mu.Unlock()
		var b activities.RestoreBeat
		if err := details.Get(&b); err != nil {
			t.Error(err)
		}
		beats = append(beats, b)
	})
	env.RegisterActivityWithOptions((&activities.RestoreActivities{Host: f}).Restore, activity.RegisterOptions{Name: activities.NameRestore})
	value, err := env.ExecuteActivity(activities.NameRestore, in)
	if err == nil {
		err = value.Get(&res)
	}
	mu.Lock()
	defer mu.Unlock()
	return res, beats, err
}

func restoreInput() activities.RestoreInput {
	return activities.RestoreInput{
		ID: "holdfast/restore/shop/1", Replica: "file:///replica", Path: "/srv/copy.db", TXID: 7, At: time.Unix(8, 0).UTC(),
		Force: true, Replace: "shop", Integrity: "quick", Mode: 0o640, Owner: "12:34",
	}
}

func TestRestoreDoesWhatItsInputSays(t *testing.T) {
	created := time.Unix(5, 0).UTC()
	f := &restorer{do: func(context.Context, host.Restoring) (restore.Result, error) {
		return restore.Result{TXID: 7, Created: created, Bytes: 4096, Objects: 2, Fetched: 100, Digested: true}, nil
	}}
	res, _, err := f.attempt(t, t.Context(), nil, restoreInput())
	want := activities.RestoreResult{TXID: 7, Created: created, Bytes: 4096, Objects: 2, Fetched: 100, Digested: true}
	if err != nil || res != want {
		t.Errorf("got %+v, %v, want %+v", res, err, want)
	}
	f.got.Progress = nil
	asked := host.Restoring{ID: "holdfast/restore/shop/1", Replica: "file:///replica", Replace: "shop", Options: restore.Options{
		Output: "/srv/copy.db", Target: plan.Target{TXID: 7, At: time.Unix(8, 0).UTC()}, Force: true,
		Integrity: restore.QuickIntegrity, Mode: 0o640, Owner: &restore.Owner{User: 12, Group: 34},
	}}
	if !reflect.DeepEqual(f.got, asked) {
		t.Errorf("asked for %+v, want %+v", f.got, asked)
	}
}

func TestRestoreAlsoChecksAndDiscards(t *testing.T) {
	f := &restorer{}
	check, discard := restoreInput(), restoreInput()
	check.Check, discard.Discard = true, true
	if res, _, err := f.attempt(t, t.Context(), nil, check); err != nil || res.Occupant != "shop" {
		t.Errorf("check: got %+v, %v", res, err)
	}
	if _, _, err := f.attempt(t, t.Context(), nil, discard); err != nil {
		t.Errorf("discard: %v", err)
	}
	if fmt.Sprint(f.asked) != "[check discard]" {
		t.Errorf("asked %q", f.asked)
	}
	f.err = restore.ErrExists
	if _, _, err := f.attempt(t, t.Context(), nil, check); mustApplication(t, err).Type() != activities.Exists {
		t.Errorf("got %v", err)
	}
}

func TestRestoreTellsHowFarItIs(t *testing.T) {
	f := &restorer{do: func(_ context.Context, r host.Restoring) (restore.Result, error) {
		time.Sleep(20 * time.Millisecond)
		r.Progress(restore.Progress{Objects: 1, ObjectsTotal: 2, Bytes: 1 << 20, BytesTotal: 3 << 20})
		time.Sleep(100 * time.Millisecond)           // heartbeats go out beside it
		return restore.Result{}, blob.ErrUnavailable // before a failure the last heartbeat goes out at once
	}}
	_, beats, _ := f.attempt(t, t.Context(), nil, restoreInput())
	last := beats[len(beats)-1]
	if last.Objects != 1 || last.ObjectsTotal != 2 || last.Bytes != 1<<20 || last.BytesTotal != 3<<20 || last.Rate <= 0 || last.Rate > 50<<20 {
		t.Errorf("got %+v", last)
	}
}

func TestWhatFailsARestore(t *testing.T) {
	for _, row := range []struct {
		name  string
		err   error
		typ   string
		again bool
	}{
		{"a store that is away", blob.ErrUnavailable, activities.StoreUnavailable, true},
		{"a store that is busy", &blob.ThrottledError{RetryAfter: 7 * time.Second, Err: errors.New("503")}, activities.StoreThrottled, true},
		{"an object that was merged away", blob.ErrNotFound, activities.Internal, true},
		{"a full disk", restore.ErrNoSpace, activities.DiskFull, false},
		{"a wrong key", blob.ErrDenied, activities.Misconfigured, false},
		{"a gap", plan.ErrGap, activities.ReplicaDamaged, false},
		{"what nobody has thought of", errors.New("surprise"), activities.Internal, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &restorer{do: func(context.Context, host.Restoring) (restore.Result, error) {
				return restore.Result{}, fmt.Errorf("restore: %w", row.err)
			}}
			_, _, err := f.attempt(t, t.Context(), nil, restoreInput())
			app := mustApplication(t, err)
			if app.Type() != row.typ || app.NonRetryable() == row.again {
				t.Errorf("got %s, again %t; want %s, %t", app.Type(), !app.NonRetryable(), row.typ, row.again)
			}
			if wait, ok := blob.RetryAfter(row.err); ok && app.NextRetryDelay() != wait {
				t.Errorf("tried again after %v, want %v", app.NextRetryDelay(), wait)
			}
		})
	}
}

func TestRestoreRefusesAnOwnerThatTheHostDoesNotKnow(t *testing.T) {
	in := restoreInput()
	in.Owner = "nobody-of-that-name"
	_, _, err := (&restorer{}).attempt(t, t.Context(), nil, in)
	if app := mustApplication(t, err); app.Type() != activities.Misconfigured || !app.NonRetryable() {
		t.Errorf("got %v", err)
	}
}

// untilEnd is a restore that goes on until its context ends.
func untilEnd(ctx context.Context, _ host.Restoring) (restore.Result, error) {
	<-ctx.Done()
	return restore.Result{}, ctx.Err()
}

func TestARestoreGoesOnAfterTheWorkersEnd(t *testing.T) {
	stop := make(chan struct{})
	close(stop)
	_, _, err := (&restorer{do: untilEnd}).attempt(t, t.Context(), stop, restoreInput())
	if app := mustApplication(t, err); app.Type() != activities.WorkerStopping || app.NonRetryable() || app.NextRetryDelay() != time.Second {
		t.Errorf("got %v", err)
	}
}

func TestARestoreThatIsCancelledSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &restorer{do: func(within context.Context, r host.Restoring) (restore.Result, error) {
		cancel()
		return untilEnd(within, r)
	}}
	_, _, err := f.attempt(t, ctx, nil, restoreInput())
	if !temporal.IsCanceledError(err) {
		t.Errorf("got %v, want a cancellation", err)
	}
}
