package activities_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/source"
)

var errNet = errors.New("connection refused")

func TestFailuresAreCountedOverAttempts(t *testing.T) {
	passes := func(n int, err error) func(context.Context, host.Window, func(host.Progress)) (host.Result, error) {
		return func(_ context.Context, _ host.Window, beat func(host.Progress)) (host.Result, error) {
			p := host.Progress{Passes: n, TXID: 9, Puts: n}
			if n > 0 {
				beat(p)
			}
			return host.Result{Progress: p, Reason: host.Stopped}, err
		}
	}
	for _, row := range []struct {
		name   string
		input  int
		last   *activities.Beat
		passes int
		err    error
		want   int
	}{
		{name: "the input's count goes on", input: 4, err: errNet, want: 5},
		{name: "the heartbeat's count wins over the input's", input: 4, last: &activities.Beat{Failures: 1}, err: errNet, want: 2},
		{name: "a heartbeat of zero wins too", input: 4, last: &activities.Beat{}, err: errNet, want: 1},
		{name: "a pass that succeeded takes all back", input: 4, passes: 1, err: errNet, want: 1},
		{name: "a window stopped before its first pass keeps the count", input: 4, want: 4},
		{name: "a window stopped after a pass has none", input: 4, passes: 1, want: 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t, &fakeHost{sync: passes(row.passes, row.err)})
			res, err := b.sync(input(row.input), row.last)
			got := res.Failures
			if row.err != nil {
				var beat activities.Beat
				if derr := mustApplication(t, err).Details(&beat); derr != nil {
					t.Fatal(derr)
				}
				got = beat.Failures
				if last := b.lastBeat(); last.Failures != got {
					t.Errorf("heartbeat has %d, the error %d", last.Failures, got)
				}
			}
			if got != row.want {
				t.Errorf("got %d failures, want %d", got, row.want)
			}
		})
	}
}

func TestHostIsToldWhereTheLastAttemptLeftOff(t *testing.T) {
	var got host.Window
	b := newBench(t, &fakeHost{sync: func(_ context.Context, w host.Window, _ func(host.Progress)) (host.Result, error) {
		got = w
		return host.Result{Reason: host.WindowOver, Progress: host.Progress{Passes: 1, Puts: 2, TXID: 12, Writer: "ab"}}, nil
	}})
	in := input(0)
	in.Interval, in.Length = activities.Duration(time.Second), activities.Duration(time.Minute)
	last := &activities.Beat{Failures: 2, Progress: activities.Progress{TXID: 11, Puts: 5, Passes: 5}}
	res, err := b.sync(in, last)
	if err != nil {
		t.Fatal(err)
	}
	if got.Failures != 2 || got.Head != 11 || got.Interval != time.Second || got.Length != time.Minute || len(got.TaskToken) == 0 || got.Stop == nil || got.Name != "shop" {
		t.Errorf("got %+v", got)
	}
	if want := (activities.Progress{TXID: 12, Puts: 7, Passes: 6, Writer: "ab"}); res.Progress != want {
		t.Errorf("got %+v, want what both attempts did: %+v", res.Progress, want)
	}
}

func TestCancellationIsNoFailureAndCarriesTheCount(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	b := newBench(t, &fakeHost{sync: func(ctx context.Context, _ host.Window, _ func(host.Progress)) (host.Result, error) {
		cancel(temporal.NewCanceledError())
		<-ctx.Done()
		return host.Result{}, errors.Join(source.ErrBusy, ctx.Err())
	}})
	env := b.env(&activities.Beat{Failures: 3})
	env.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	_, err := env.ExecuteActivity(activities.NameSync, input(0))
	var canceled *temporal.CanceledError
	if !errors.As(err, &canceled) {
		t.Fatalf("got %v, want a cancellation", err)
	}
	var beat activities.Beat
	if err := canceled.Details(&beat); err != nil || beat.Failures != 3 {
		t.Errorf("got %+v, %v; want the count of 3 as it was", beat, err)
	}
	if n := b.log.count("error sync failed"); n != 0 || len(b.rep.list()) != 0 {
		t.Errorf("logged %d failures and reported %v", n, b.rep.list())
	}
}

func TestWorkerStopIsSuccess(t *testing.T) {
	stop := make(chan struct{})
	b := newBench(t, &fakeHost{sync: func(_ context.Context, w host.Window, _ func(host.Progress)) (host.Result, error) {
		close(stop)
		<-w.Stop
		return host.Result{Reason: host.WorkerStopping}, nil
	}})
	env := b.env(nil)
	env.SetWorkerStopChannel(stop)
	value, err := env.ExecuteActivity(activities.NameSync, input(2))
	if err != nil {
		t.Fatal(err)
	}
	var res activities.SyncResult
	if err := value.Get(&res); err != nil || res.Reason != host.WorkerStopping || res.Failures != 2 {
		t.Errorf("got %+v, %v; want worker_stopping with 2 failures", res, err)
	}
}

// A service that does not answer must not hold up a pass.
func TestABeatNeverWaitsForTheService(t *testing.T) {
	over := make(chan struct{})
	b := newBench(t, &fakeHost{sync: func(_ context.Context, _ host.Window, beat func(host.Progress)) (host.Result, error) {
		for i := range 1000 {
			beat(host.Progress{Passes: i, TXID: 4})
		}
		close(over)
		return host.Result{Reason: host.WindowOver, Progress: host.Progress{Passes: 1000}}, nil
	}})
	env := b.env(nil)
	env.SetOnActivityHeartbeatListener(func(*activity.Info, converter.EncodedValues) {
		select {
		case <-over:
		case <-time.After(10 * time.Second):
			t.Error("the passes wait for a heartbeat")
		}
	})
	if _, err := env.ExecuteActivity(activities.NameSync, input(0)); err != nil {
		t.Fatal(err)
	}
}

func TestStopSyncReturnsOnlyWhenNoSyncIsAtWork(t *testing.T) {
	inHost, letGo, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	b := newBench(t, &fakeHost{sync: func(context.Context, host.Window, func(host.Progress)) (host.Result, error) {
		close(inHost)
		<-letGo
		return host.Result{Reason: host.Stopped}, nil
	}})
	go func() {
		defer close(ended)
		if _, err := b.env(nil).ExecuteActivity(activities.NameSync, input(0)); err != nil {
			t.Error(err)
		}
	}()
	<-inHost
	time.AfterFunc(50*time.Millisecond, func() { close(letGo) })
	start := time.Now()
	if _, err := b.env(nil).ExecuteActivity(activities.NameStopSync, activities.StopSyncInput{Name: "shop"}); err != nil {
		t.Fatal(err)
	}
	if since := time.Since(start); since < 50*time.Millisecond {
		t.Errorf("returned after %s, while the window was still at work", since)
	}
	<-ended
}

// A window at work for a minute sends a heartbeat every ten seconds when it is told so,
// and what takes a moment sends none but its last word, if it fails.
func TestHeartbeatsKeepTheirRhythm(t *testing.T) {
	for _, row := range []struct {
		name  string
		takes time.Duration
		err   error
		want  int
	}{
		{"a minute", time.Minute, nil, 6},
		{"nine minutes", 9 * time.Minute, nil, 54}, // after ten the test's environment ends an activity
		{"a moment", activities.Quiet / 2, nil, 0},
		{"a failure", activities.Quiet / 2, errNet, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, &fakeHost{sync: func(_ context.Context, _ host.Window, beat func(host.Progress)) (host.Result, error) {
					for begun := time.Now(); time.Since(begun) < row.takes; time.Sleep(min(time.Second, row.takes)) {
						beat(host.Progress{TXID: 4})
					}
					return host.Result{Reason: host.WindowOver}, row.err
				}})
				sent := 0 // each asks when the next may be
				b.a.BeatEvery = func(windows int, _ time.Duration) time.Duration {
					if sent++; windows != 1 {
						t.Errorf("%d windows are at work, want 1", windows)
					}
					return 10 * time.Second
				}
				_, err := b.sync(input(0), nil)
				if (err == nil) != (row.err == nil) || err != nil && b.lastBeat().Failures != 1 {
					t.Errorf("got %v", err)
				}
				if sent != row.want {
					t.Errorf("%d heartbeats in %v, want %d", sent, row.takes, row.want)
				}
			})
		})
	}
}

// The server cancels a Sync that backs off without a word on its count.
func TestStopSyncKnowsTheFailuresOfItsWindow(t *testing.T) {
	synctest.Test(t, stopSyncKnows)
}

func stopSyncKnows(t *testing.T) {
	b := newBench(t, &fakeHost{})
	left := func(window int) *activities.Beat {
		t.Helper()
		value, err := b.env(nil).ExecuteActivity(activities.NameStopSync, activities.StopSyncInput{Name: "shop", Window: window})
		if err != nil {
			t.Fatal(err)
		}
		var res activities.StopSyncResult
		if err := value.Get(&res); err != nil {
			t.Fatal(err)
		}
		return res.Beat
	}
	if beat := left(7); beat != nil {
		t.Errorf("before any attempt: got %+v", beat)
	}
	script(b, errNet, errNet)
	if beat := left(7); beat == nil || beat.Failures != 2 || beat.Type != activities.Internal {
		t.Errorf("after two failures: got %+v", beat)
	}
	if beat := left(8); beat != nil {
		t.Errorf("of another window: got %+v", beat)
	}
	script(b, nil)
	if beat := left(7); beat != nil {
		t.Errorf("after a success: got %+v", beat)
	}
}

func TestACheckDoesNotWaitLongForAStoreThatIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &fakeHost{check: func(ctx context.Context, _ host.Database) error {
			<-ctx.Done()
			return ctx.Err()
		}})
		begun := time.Now()
		_, err := b.env(nil).ExecuteActivity(activities.NameSyncOnce, activities.SyncOnceInput{Database: input(0).Database, Check: true})
		app := mustApplication(t, err)
		if app.Type() != activities.StoreUnavailable || !strings.Contains(app.Message(), "file:///replica gave no answer within 20s; check the replica URL") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took > 25*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestOtherActivitiesTranslate(t *testing.T) {
	h := &fakeHost{
		check:   func(context.Context, host.Database) error { return source.ErrNotWAL },
		cleanUp: func(host.Database) (host.CleanUp, error) { return host.CleanUp{Files: 2, Bytes: 99}, nil },
		release: func(host.Database) error { return blob.ErrUnavailable },
	}
	b := newBench(t, h)
	db := input(0).Database
	_, err := b.env(nil).ExecuteActivity(activities.NameSyncOnce, activities.SyncOnceInput{Database: db, Check: true})
	if app := mustApplication(t, err); app.Type() != activities.Misconfigured || !app.NonRetryable() {
		t.Errorf("check: got %v", err)
	}
	value, err := b.env(nil).ExecuteActivity(activities.NameCleanUp, activities.CleanUpInput{Database: db})
	if err != nil {
		t.Fatal(err)
	}
	var removed activities.CleanUpResult
	if err := value.Get(&removed); err != nil || removed != (activities.CleanUpResult{Files: 2, Bytes: 99}) {
		t.Errorf("clean-up: got %+v, %v", removed, err)
	}
	_, err = b.env(nil).ExecuteActivity(activities.NameRelease, activities.ReleaseInput{Database: db})
	if app := mustApplication(t, err); app.Type() != activities.StoreUnavailable || app.NonRetryable() {
		t.Errorf("release: got %v", err)
	}
}
