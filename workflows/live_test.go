package workflows_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/superfly/ltx"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/test/stack"
	"github.com/holdfast-db/holdfast/workflows"
)

// liveHost behaves like a host, in real time. Its passes meet the script's ends
// one by one, and then rest for ever; the end kill makes an attempt fall silent,
// as one does whose process was killed.
type liveHost struct {
	mu       sync.Mutex
	script   []error
	rest     error
	idle     bool          // long windows end as idle after a pass
	slowly   time.Duration // that SyncOnce takes
	check    error
	running  *liveWindow
	windows  []host.Window
	begun    []time.Time
	passes   int
	failed   int
	met      error     // by the last pass
	turned   time.Time // when that was first another end than before
	cleanUps []int     // numbers of failures before each
	txid     ltx.TXID
}

type liveWindow struct{ stop, done chan struct{} }

func (h *liveHost) Sync(ctx context.Context, w host.Window, beat func(host.Progress)) (res host.Result, err error) {
	run := &liveWindow{make(chan struct{}), make(chan struct{})}
	h.mu.Lock()
	h.running = run
	h.mu.Unlock()
	h.begin(w)
	defer close(run.done)
	over := time.After(w.Length)
	for {
		if err := h.pass(&res.Progress); err != nil {
			return res, err
		}
		beat(res.Progress)
		if w.Failures > 0 {
			res.Reason = host.Recovered
			return res, nil
		}
		if w.Length == 0 {
			res.Reason = host.WindowOver
			return res, nil
		}
		if h.idles() {
			res.Reason = host.Idle
			return res, nil
		}
		select {
		case <-over:
			res.Reason = host.WindowOver
			return res, nil
		case <-w.Stop:
			res.Reason = host.WorkerStopping
			return res, nil
		case <-run.stop:
			res.Reason = host.Stopped
			return res, nil
		case <-ctx.Done():
			return res, ctx.Err()
		case <-time.After(max(w.Interval, 5*time.Millisecond)):
		}
	}
}

func (h *liveHost) begin(w host.Window) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.windows = append(h.windows, w)
	h.begun = append(h.begun, time.Now())
}

// idles tells whether nothing is committed any more.
func (h *liveHost) idles() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.idle
}

// become changes what the host meets from now on.
func (h *liveHost) become(rest error, idle bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rest, h.idle = rest, idle
}

// next makes ends what the host meets next, before all else.
func (h *liveHost) next(ends ...error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.script = append(ends, h.script...)
}

// detected is when passes began to end as they do now, or since if that was before it.
func (h *liveHost) detected(since time.Time) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.turned.Before(since) {
		return since
	}
	return h.turned
}

// dies tells whether the next attempt falls silent.
func (h *liveHost) dies() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.script) > 0 && h.script[0] == kill && pop(&h.script) != nil
}

func (h *liveHost) pass(p *host.Progress) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	end := h.rest
	if len(h.script) > 0 {
		end = pop(&h.script)
	}
	if end != h.met || h.turned.IsZero() {
		h.met, h.turned = end, time.Now()
	}
	if end != nil {
		h.failed++
		return end
	}
	h.passes++
	h.txid++
	p.Passes++
	p.Puts++
	p.TXID, p.SyncedAt = h.txid, time.Now()
	return nil
}

func (h *liveHost) SyncOnce(context.Context, host.Database, ltx.TXID) (res host.Result, err error) {
	time.Sleep(h.slowly)
	err = h.pass(&res.Progress)
	return res, err
}

func (h *liveHost) Snapshot(context.Context, host.Database, ltx.TXID, ltx.TXID) (res host.Result, err error) {
	err = h.pass(&res.Progress)
	return res, err
}

func (h *liveHost) Check(context.Context, host.Database) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.check
}

func (h *liveHost) Hold(string) {}

func (h *liveHost) StopSync(context.Context, string) error {
	h.mu.Lock()
	run := h.running
	h.running = nil
	h.mu.Unlock()
	if run != nil {
		close(run.stop)
		<-run.done
	}
	return nil
}

func (h *liveHost) CleanUp(context.Context, host.Database, bool) (host.CleanUp, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cleanUps = append(h.cleanUps, h.failed)
	return host.CleanUp{}, nil
}

func (h *liveHost) Release(context.Context, host.Database) error { return nil }

// count returns passes and windows so far.
func (h *liveHost) count() (passes, windows int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.passes, len(h.windows)
}

// site is one host and one database on a real server.
type site struct {
	t    *testing.T
	c    client.Client
	h    *liveHost
	acts *activities.HostActivities
	rest *liveRestorer
	in   workflows.Input

	queue   string
	handled *ids         // as the workflow's log has them
	again   atomic.Int32 // updates that were sent again as their run was about to end
}

// newSite connects and starts the workflow and control workers; the sync worker
// is the test's to start.
func newSite(t *testing.T, h *liveHost) *site { return newSiteIn(t, h, "") }

// newSiteIn is newSite in a namespace; an empty one is that which all tests share.
func newSiteIn(t *testing.T, h *liveHost, namespace string) *site {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the stack")
	}
	log := newLog(t)
	c, err := client.Dial(client.Options{HostPort: stack.Start(t).Temporal, Logger: log, Identity: "test", Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	if namespace != "" {
		mustMake(t, c, namespace)
	}
	t.Cleanup(c.Close)
	s := &site{t: t, c: c, h: h, handled: log.handled, rest: &liveRestorer{}, in: workflows.Input{Spec: spec()}}
	s.in.Name, s.in.Host = uuid.NewString(), uuid.NewString()
	s.acts = &activities.HostActivities{Host: h, Reporter: activities.BySignal(c)}
	t.Cleanup(func() { s.acts.Close(context.Background()) })
	t.Cleanup(s.end)
	s.queue = workflows.TaskQueue + "-" + s.in.Host // no other test's worker takes its tasks
	s.work(s.queue, worker.Options{Interceptors: []interceptor.WorkerInterceptor{workflows.SignalsInOrder()}},
		func(w worker.Worker) { workflows.RegisterWorkflows(w) })
	s.work(workflows.ControlQueue(s.in.Host), worker.Options{DisableWorkflowWorker: true},
		func(w worker.Worker) {
			workflows.RegisterControlActivities(w, s.acts)
			workflows.RegisterRestoreActivities(w, &activities.RestoreActivities{Host: s.rest})
		})
	return s
}

// work runs a worker until the test ends, or until the returned function is
// called.
func (s *site) work(queue string, options worker.Options, register func(worker.Worker)) (stop func()) {
	s.t.Helper()
	options.WorkerStopTimeout = 5 * time.Second
	w := worker.New(s.c, queue, options)
	register(w)
	if err := w.Start(); err != nil {
		s.t.Fatal(err)
	}
	stop = sync.OnceFunc(w.Stop)
	s.t.Cleanup(stop)
	return stop
}

// syncWorker starts the sync worker.
func (s *site) syncWorker() (stop func()) {
	s.t.Helper()
	sync := func(ctx context.Context, in activities.SyncInput) (activities.SyncResult, error) {
		if s.h.dies() {
			s.h.begin(host.Window{TaskToken: activity.GetInfo(ctx).TaskToken})
			<-ctx.Done()
			return activities.SyncResult{}, ctx.Err()
		}
		return s.acts.Sync(ctx, in)
	}
	return s.syncBy(sync)
}

// syncBy starts a sync worker that has sync for its activity.
func (s *site) syncBy(sync func(context.Context, activities.SyncInput) (activities.SyncResult, error)) (stop func()) {
	s.t.Helper()
	return s.work(workflows.SyncQueue(s.in.Host), worker.Options{DisableWorkflowWorker: true}, func(w worker.Worker) {
		w.RegisterActivityWithOptions(sync, activity.RegisterOptions{Name: activities.NameSync})
	})
}

// start begins replication without a registration.
func (s *site) start() {
	s.t.Helper()
	if _, err := s.c.ExecuteWorkflow(s.t.Context(), s.startOptions(), workflows.TypeReplicateDatabase, s.in); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) startOptions() client.StartWorkflowOptions {
	options := workflows.StartOptions(s.in)
	options.TaskQueue = s.queue
	return options
}

// end replays what the workflow did, whatever the test was about, and ends it.
func (s *site) end() {
	for _, run := range s.runs() {
		if h := s.history(run); len(h.Events) > 3 { // else it has not begun
			mustReplay(s.t, h)
		}
	}
	_ = s.c.TerminateWorkflow(context.Background(), s.id(), "", "the test is over")
}

func (s *site) id() string { return workflows.WorkflowID(s.in.Name) }

func (s *site) signal(name string, arg any) {
	s.t.Helper()
	if err := s.c.SignalWorkflow(s.t.Context(), s.id(), "", name, arg); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) status() (st workflows.Status) {
	s.t.Helper()
	value, err := s.c.QueryWorkflow(s.t.Context(), s.id(), "", workflows.QueryStatus)
	if err == nil {
		err = value.Get(&st)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}

// eventually waits until it holds.
func (s *site) eventually(within time.Duration, what string, holds func() bool) {
	s.t.Helper()
	for begin := time.Now(); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > within {
			s.t.Fatalf("not within %s: %s", within, what)
		}
	}
}

// history is all of one run's events; an empty run is the newest.
func (s *site) history(run string) *historypb.History {
	h := &historypb.History{}
	for it := s.c.GetWorkflowHistory(context.Background(), s.id(), run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
		event, err := it.Next()
		if err != nil {
			s.t.Fatal(err)
		}
		h.Events = append(h.Events, event)
	}
	return h
}

// runs are the ids of all runs, newest first.
func (s *site) runs() (ids []string) {
	for run := ""; ; {
		started := s.history(run).Events[0].GetWorkflowExecutionStartedEventAttributes()
		if run == "" {
			d, err := s.c.DescribeWorkflowExecution(context.Background(), s.id(), "")
			if err != nil {
				s.t.Fatal(err)
			}
			run = d.WorkflowExecutionInfo.Execution.RunId
		}
		ids = append(ids, run)
		if run = started.GetContinuedExecutionRunId(); run == "" {
			return ids
		}
	}
}

// closed is the n-th event, counted from 0, that ended an activity of a type.
func (s *site) closed(run, activityType string, n int) *historypb.HistoryEvent {
	scheduled := map[int64]bool{}
	for _, e := range s.history(run).Events {
		if a := e.GetActivityTaskScheduledEventAttributes(); a != nil && a.ActivityType.Name == activityType {
			scheduled[e.EventId] = true
		}
		id := e.GetActivityTaskCompletedEventAttributes().GetScheduledEventId() +
			e.GetActivityTaskCanceledEventAttributes().GetScheduledEventId() +
			e.GetActivityTaskFailedEventAttributes().GetScheduledEventId() +
			e.GetActivityTaskTimedOutEventAttributes().GetScheduledEventId()
		if scheduled[id] {
			if n == 0 {
				return e
			}
			n--
		}
	}
	return nil
}

// syncResult is what a Sync that completed had to say.
func syncResult(t *testing.T, e *historypb.HistoryEvent) (res activities.SyncResult) {
	t.Helper()
	done := e.GetActivityTaskCompletedEventAttributes()
	if done == nil {
		t.Fatalf("got %s, want a completed Sync", e.GetEventType())
	}
	if err := converter.GetDefaultDataConverter().FromPayloads(done.Result, &res); err != nil {
		t.Fatal(err)
	}
	return res
}
