package control_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/test/stack"
	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

func TestMain(m *testing.M) { stack.Main(m) }

// mustDial connects to the tests' Temporal.
func mustDial(t *testing.T) *control.Connection {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real Temporal")
	}
	return mustDialAt(t, stack.Start(t).Temporal)
}

func mustDialAt(t *testing.T, address string) *control.Connection {
	t.Helper()
	c, err := control.Dial(t.Context(), control.Dialing{Environ: append(os.Environ(), "TEMPORAL_ADDRESS="+address)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// spec is a database that no other test has.
func spec(prefix string) workflows.Spec {
	name := prefix + "-" + uuid.NewString()[:8]
	return workflows.Spec{Name: name, Host: "host-" + name, Path: "/srv/" + name + ".db", Replica: "file:///r/" + name}
}

// data is a data plane without data.
type data struct {
	mu      sync.Mutex
	refuse  error
	stop    chan struct{} // ends the window
	failing error         // what a pass meets
}

func (d *data) Sync(ctx context.Context, w host.Window, beat func(host.Progress)) (host.Result, error) {
	d.mu.Lock()
	d.stop = make(chan struct{})
	stop, failing := d.stop, d.failing
	d.mu.Unlock()
	if failing != nil {
		return host.Result{}, failing
	}
	p := host.Progress{TXID: 7, SyncedAt: time.Now(), Passes: 1, Puts: 1, Bytes: 512}
	beat(p)
	if w.Length == 0 {
		return host.Result{Progress: p, Reason: host.WindowOver}, nil
	}
	select {
	case <-stop:
		return host.Result{Progress: p, Reason: host.Stopped}, nil
	case <-w.Stop:
		return host.Result{Progress: p, Reason: host.WorkerStopping}, nil
	case <-ctx.Done():
		return host.Result{Progress: p}, ctx.Err()
	}
}

func (d *data) SyncOnce(context.Context, host.Database, ltx.TXID) (host.Result, error) {
	return host.Result{Progress: host.Progress{TXID: 9, SyncedAt: time.Now(), Passes: 1}}, nil
}

func (d *data) Snapshot(_ context.Context, _ host.Database, _, after ltx.TXID) (host.Result, error) {
	return host.Result{Progress: host.Progress{TXID: after + 1, SyncedAt: time.Now(), Passes: 1}}, nil
}

func (d *data) Check(context.Context, host.Database) error { return d.refuse }

func (d *data) StopSync(context.Context, string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stop != nil {
		close(d.stop)
		d.stop = nil
	}
	return nil
}

func (d *data) Hold(string) {}

func (d *data) CleanUp(context.Context, host.Database, bool) (host.CleanUp, error) {
	return host.CleanUp{}, nil
}

func (d *data) Release(context.Context, host.Database) error { return nil }

// work runs a worker for a host until the test's end or the returned function.
func work(t *testing.T, c *control.Connection, hostName string, d *data) {
	t.Helper()
	acts := &activities.HostActivities{Host: d, Reporter: activities.BySignal(c)}
	w := worker.New(c.Client, workflows.TaskQueue, worker.Options{
		LocalActivityWorkerOnly: true,
		Interceptors:            []interceptor.WorkerInterceptor{workflows.SignalsInOrder()},
	})
	workflows.RegisterWorkflows(w)
	syncing := worker.New(c.Client, workflows.SyncQueue(hostName), worker.Options{
		DisableWorkflowWorker: true, WorkerStopTimeout: 5 * time.Second, MaxHeartbeatThrottleInterval: 50 * time.Millisecond,
	})
	workflows.RegisterSyncActivities(syncing, acts)
	controlling := worker.New(c.Client, workflows.ControlQueue(hostName), worker.Options{DisableWorkflowWorker: true})
	workflows.RegisterControlActivities(controlling, acts)
	workflows.RegisterRestoreActivities(controlling, &activities.RestoreActivities{Host: &restorer{}})
	for _, each := range []worker.Worker{w, syncing, controlling} {
		if err := each.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(each.Stop)
	}
}

// eventually waits for something that the service does in its own time.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestNobodyIsThere has a Temporal of its own: workers of other tests, which
// take workflows from the same queue, would be somebody.
func TestNobodyIsThere(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real Temporal")
	}
	c := mustDialAt(t, stack.StartOwn(t, stack.Options{Only: stack.Temporal}).Temporal)
	ctl := control.New(c, c.Namespace)
	s := spec("lonely")
	res, err := ctl.Register(t.Context(), workflows.Registration{Spec: s, Wait: true})
	if err != nil || !res.New || !res.Unanswered {
		t.Fatalf("register: got %+v, %v; want a new one that nobody looked at", res, err)
	}
	t.Run("status shows what is on record", func(t *testing.T) {
		got, err := ctl.Status(t.Context(), s.Name)
		if err != nil || got.Answering || got.Host != s.Host || got.Path != s.Path || got.Replica != s.Replica || got.Phase != workflows.Starting {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("list shows it", func(t *testing.T) {
		want := control.Entry{Name: s.Name, Host: s.Host, Path: s.Path, Replica: s.Replica, Phase: workflows.Starting}
		eventually(t, "list", func() bool {
			all, err := ctl.List(t.Context())
			return err == nil && slices.Contains(all, want)
		})
	})
	t.Run("what needs a worker says so", func(t *testing.T) {
		for what, do := range map[string]func(context.Context) error{
			"register": func(ctx context.Context) error {
				_, err := ctl.Register(ctx, workflows.Registration{Spec: s})
				return err
			},
			"sync": func(ctx context.Context) error { _, err := ctl.Sync(ctx, s.Name); return err },
			"stop": func(ctx context.Context) error { _, err := ctl.Stop(ctx, s.Name, false); return err },
		} {
			t.Run(what, func(t *testing.T) {
				t.Parallel()
				if err := do(t.Context()); !errors.Is(err, control.ErrNoAnswer) || !strings.Contains(err.Error(), "; start holdfast-worker") {
					t.Errorf("got %v", err)
				}
			})
		}
	})
	t.Run("a pause is sent as a signal and holds later", func(t *testing.T) {
		if told, err := ctl.Pause(t.Context(), s.Name, "moving"); err != nil || !told.Pending {
			t.Fatalf("got %+v, %v", told, err)
		}
		work(t, c, s.Host, &data{})
		eventually(t, "paused", func() bool {
			got, err := ctl.Status(t.Context(), s.Name)
			return err == nil && got.Answering && got.Paused && got.PauseReason == "moving"
		})
	})
}

func TestTheLifeOfADatabase(t *testing.T) {
	c := mustDial(t)
	ctl := control.New(c, c.Namespace)
	s := spec("alive")
	work(t, c, s.Host, &data{})
	res, err := ctl.Register(t.Context(), workflows.Registration{Spec: s, Wait: true})
	if err != nil || !res.New || res.Unanswered || !res.Answering || res.Status.TXID != 7 {
		t.Fatalf("register: got %+v, %v", res, err)
	}
	if res, err := ctl.Register(t.Context(), workflows.Registration{Spec: s, Wait: true}); err != nil || res.New || res.Changed {
		t.Errorf("register again: got %+v, %v", res, err)
	}
	eventually(t, "the heartbeat of a window in the status", func() bool {
		got, err := ctl.Status(t.Context(), s.Name)
		return err == nil && got.Answering && got.Attempt != nil && got.Puts == 2 && got.Phase == workflows.Replicating
	})
	if told, err := ctl.Pause(t.Context(), s.Name, "why not"); err != nil || told.Pending || told.Status.Phase != workflows.Paused {
		t.Errorf("pause: got %+v, %v", told, err)
	}
	var refused *control.Refused
	if _, err := ctl.Sync(t.Context(), s.Name); !errors.As(err, &refused) || refused.Type != workflows.ErrPaused || strings.Contains(err.Error(), "retryable") {
		t.Errorf("sync while paused: got %v", err)
	}
	if told, err := ctl.Resume(t.Context(), s.Name); err != nil || told.Pending || told.Status.Paused {
		t.Errorf("resume: got %+v, %v", told, err)
	}
	if synced, err := ctl.Sync(t.Context(), s.Name); err != nil || synced.TXID != 9 {
		t.Errorf("sync: got %+v, %v", synced, err)
	}
	if stopped, err := ctl.Stop(t.Context(), s.Name, false); err != nil || !stopped.Released || stopped.Status.Replica != s.Replica {
		t.Errorf("stop: got %+v, %v", stopped, err)
	}
	for what, err := range map[string]error{"status": second(ctl.Status(t.Context(), s.Name)), "pause": second(ctl.Pause(t.Context(), s.Name, ""))} {
		if !errors.Is(err, control.ErrNotRegistered) || !strings.Contains(err.Error(), s.Name+" is not registered; see holdfast list") {
			t.Errorf("%s after the stop: got %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestABackoffShowsInTheStatus looks at a second failure, of which only the
// service knows: the host reports the first one of a kind.
func TestABackoffShowsInTheStatus(t *testing.T) {
	c := mustDial(t)
	ctl := control.New(c, c.Namespace)
	s := spec("failing")
	s.Settings = workflows.Settings{Interval: time.Second, Window: time.Minute, BackoffCap: time.Hour}
	work(t, c, s.Host, &data{failing: source.ErrBusy})
	if _, err := ctl.Register(t.Context(), workflows.Registration{Spec: s}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.TerminateWorkflow(context.Background(), workflows.WorkflowID(s.Name), "", "") })
	eventually(t, "a third attempt to come", func() bool {
		got, err := ctl.Status(t.Context(), s.Name)
		return err == nil && got.Failures == 2 && got.Problem != nil && got.Problem.Type == activities.DatabaseBusy &&
			got.Attempt != nil && got.Attempt.Number == 3 && time.Until(got.Attempt.Next) > 0 && got.Attempt.Failure != ""
	})
}

func TestTwoOfOneAreRefused(t *testing.T) {
	c := mustDial(t)
	ctl := control.New(c, c.Namespace)
	first := spec("first")
	work(t, c, first.Host, &data{})
	if _, err := ctl.Register(t.Context(), workflows.Registration{Spec: first}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.TerminateWorkflow(context.Background(), workflows.WorkflowID(first.Name), "", "") })
	eventually(t, "list", func() bool {
		all, err := ctl.List(t.Context())
		return err == nil && slices.ContainsFunc(all, func(e control.Entry) bool { return e.Name == first.Name })
	})
	for what, change := range map[string]func(*workflows.Spec){
		"replica": func(s *workflows.Spec) { s.Replica = first.Replica },
		"file":    func(s *workflows.Spec) { s.Host, s.Path = first.Host, first.Path },
	} {
		s := spec("second")
		change(&s)
		_, err := ctl.Register(t.Context(), workflows.Registration{Spec: s})
		if !errors.Is(err, control.ErrTaken) || !strings.Contains(err.Error(), first.Name) || !strings.Contains(err.Error(), s.Name) {
			t.Errorf("two of one %s: got %v, want both named", what, err)
		}
		if got, err := ctl.Status(t.Context(), s.Name); !errors.Is(err, control.ErrNotRegistered) {
			t.Errorf("two of one %s: a workflow was started: %+v, %v", what, got, err)
		}
	}
	var refused *control.Refused
	other := spec("other")
	other.Name = first.Name
	if _, err := ctl.Register(t.Context(), workflows.Registration{Spec: other}); !errors.As(err, &refused) || refused.Type != workflows.ErrRefused {
		t.Errorf("a name that belongs to another: got %v", err)
	}
}

func TestWhatTheHostRefusesIsNotRegistered(t *testing.T) {
	c := mustDial(t)
	ctl := control.New(c, c.Namespace)
	s := spec("refused")
	work(t, c, s.Host, &data{refuse: source.ErrNotDatabase})
	var refused *control.Refused
	_, err := ctl.Register(t.Context(), workflows.Registration{Spec: s, Wait: true})
	if !errors.As(err, &refused) || refused.Type != activities.Misconfigured || err.Error() != source.ErrNotDatabase.Error() {
		t.Errorf("got %v", err)
	}
	eventually(t, "not registered", func() bool {
		_, err := ctl.Status(t.Context(), s.Name)
		return errors.Is(err, control.ErrNotRegistered)
	})
}

// TestWhatTheHostHasJudgedIsNotAskedAgain has a host that would refuse everything, if asked.
func TestWhatTheHostHasJudgedIsNotAskedAgain(t *testing.T) {
	c := mustDial(t)
	ctl := control.New(c, c.Namespace)
	good, bad := spec("judged"), spec("condemned")
	work(t, c, good.Host, &data{refuse: source.ErrNotDatabase})
	registrar, err := ctl.Registrar(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var judged []string
	registrar.Judge = func(ctx context.Context, s workflows.Spec) error {
		judged = append(judged, s.Name)
		h := &data{}
		if s.Name == bad.Name {
			h.refuse = source.ErrNotDatabase
		}
		return activities.Check(ctx, h, s.Database("0"))
	}
	got, err := registrar.Register(t.Context(), workflows.Registration{Spec: good, Wait: true})
	if err != nil || !got.New || !got.Answering || got.Status.TXID != 7 {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err = registrar.Register(t.Context(), workflows.Registration{Spec: good}); err != nil || got.New {
		t.Errorf("again: got %+v, %v", got, err)
	}
	var refused *control.Refused
	if _, err = registrar.Register(t.Context(), workflows.Registration{Spec: bad}); !errors.As(err, &refused) || refused.Type != activities.Misconfigured {
		t.Errorf("got %v", err)
	}
	if _, err := ctl.Status(t.Context(), bad.Name); !errors.Is(err, control.ErrNotRegistered) {
		t.Errorf("something is left: %v", err)
	}
	if want := []string{good.Name, bad.Name}; !slices.Equal(judged, want) {
		t.Errorf("judged %q, want %q", judged, want)
	}
}

func TestSetupIsDoneOnce(t *testing.T) {
	c := mustDial(t)
	created, err := control.New(c, c.Namespace).Setup(t.Context())
	if err != nil || len(created) > 0 {
		t.Errorf("got %v, %v; the stack has created them all", created, err)
	}
}
