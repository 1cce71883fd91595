package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/superfly/ltx"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/workflows"
)

// What a pass can meet.
var (
	disk    = fmt.Errorf("ship shop: %w: no space left on device", source.ErrDiskFull)
	net     = fmt.Errorf("ship shop: %w: connection refused", blob.ErrUnavailable)
	fenced  = fmt.Errorf("ship shop: %w: head belongs to another", ship.ErrFenced)
	missing = fmt.Errorf("open shop: %w: /shop.db", source.ErrMissing)
	notWAL  = fmt.Errorf("open shop: %w: /shop.db", source.ErrNotWAL)
	kill    = errors.New("the worker dies")
	ok      error
)

// fakeHost plays a script: each Sync takes the next end from it. A nil end is a
// pass that succeeds. When the script is over, done is called once and every
// Sync says that the worker stops.
type fakeHost struct {
	mu     sync.Mutex
	script []error
	done   func()
	now    func() time.Time
	sync   func(ctx context.Context, w host.Window, beat func(host.Progress)) (host.Result, error) // instead of the script
	checks []error                                                                                 // ends of Check
	once   []error                                                                                 // ends of SyncOnce
	clean  error
	slowly time.Duration // that SyncOnce takes

	attempts []time.Time // when each Sync began
	windows  []host.Window
	events   []string // all other calls, with the number of Syncs that failed before
	failed   int
	txid     ltx.TXID
}

func (f *fakeHost) Sync(ctx context.Context, w host.Window, beat func(host.Progress)) (host.Result, error) {
	f.mu.Lock()
	f.attempts = append(f.attempts, f.now())
	f.windows = append(f.windows, w)
	if f.sync != nil {
		f.mu.Unlock()
		return f.sync(ctx, w, beat)
	}
	defer f.mu.Unlock()
	if len(f.script) == 0 {
		if f.done != nil {
			f.done()
			f.done = nil
		}
		return host.Result{Reason: host.WorkerStopping}, nil
	}
	end := f.script[0]
	f.script = f.script[1:]
	if end != nil {
		f.failed++
		return host.Result{}, end
	}
	f.txid++
	res := host.Result{Reason: host.WindowOver, Progress: host.Progress{Passes: 1, Puts: 1, TXID: f.txid, SyncedAt: f.now()}}
	if w.Failures > 0 {
		res.Reason = host.Recovered
	}
	return res, nil
}

func (f *fakeHost) SyncOnce(_ context.Context, _ host.Database, _ ltx.TXID) (host.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("SyncOnce")
	f.mu.Unlock()
	time.Sleep(f.slowly)
	f.mu.Lock()
	if err := pop(&f.once); err != nil {
		return host.Result{}, err
	}
	f.txid++
	return host.Result{Progress: host.Progress{Passes: 1, TXID: f.txid, SyncedAt: f.now()}}, nil
}

func (f *fakeHost) Snapshot(_ context.Context, _ host.Database, _, after ltx.TXID) (host.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note(fmt.Sprintf("Snapshot after %d", after))
	if err := pop(&f.once); err != nil {
		return host.Result{}, err
	}
	f.txid = max(f.txid, after) + 1
	return host.Result{Progress: host.Progress{Passes: 1, TXID: f.txid, SyncedAt: f.now()}}, nil
}

func (f *fakeHost) Check(_ context.Context, db host.Database) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("Check " + db.Path)
	return pop(&f.checks)
}

func (f *fakeHost) StopSync(context.Context, string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("StopSync")
	return nil
}

func (f *fakeHost) Hold(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("Hold " + name)
}

func (f *fakeHost) CleanUp(_ context.Context, _ host.Database, fold bool) (host.CleanUp, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !fold {
		f.note("CleanUp")
		return host.CleanUp{Files: 1, Bytes: 10}, f.clean
	}
	f.note("CleanUp with folding")
	folded := ship.Folded{Files: 2, From: f.now(), Until: f.now().Add(time.Second)}
	return host.CleanUp{Files: 2, Bytes: 20, Folded: folded}, f.clean
}

func (f *fakeHost) Release(_ context.Context, db host.Database) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("Release " + db.Path)
	return nil
}

func (f *fakeHost) note(event string) {
	f.events = append(f.events, fmt.Sprintf("%s after %d", event, f.failed))
}

// called tells how often an event was noted.
func (f *fakeHost) called(event string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if e == event {
			n++
		}
	}
	return n
}

func pop(ends *[]error) (end error) {
	if len(*ends) > 0 {
		end, *ends = (*ends)[0], (*ends)[1:]
	}
	return end
}

// gaps are the times between attempts.
func (f *fakeHost) gaps() (all []time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := 1; i < len(f.attempts); i++ {
		all = append(all, f.attempts[i].Sub(f.attempts[i-1]))
	}
	return all
}

func spec() workflows.Spec {
	return workflows.Spec{
		Name: "shop", Host: "web-1", Path: "/shop.db", Replica: "file:///replica",
		Settings: workflows.Settings{Interval: time.Second, Window: 10 * time.Minute, BackoffCap: 8 * time.Second},
	}
}

// newEnv is a test environment whose host is f, with virtual time.
func newEnv(t *testing.T, f *fakeHost) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(newLog(t))
	env := suite.NewTestWorkflowEnvironment()
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{workflows.SignalsInOrder()}})
	env.SetTestTimeout(20 * time.Second)
	workflows.RegisterWorkflows(env)
	acts := &activities.HostActivities{Host: f} // reports would come in real time, beside the virtual one
	workflows.RegisterSyncActivities(env, acts)
	workflows.RegisterControlActivities(env, acts)
	f.now = env.Now
	return env
}

// start begins the replication of in and returns when it has ended.
func start(env *testsuite.TestWorkflowEnvironment, in workflows.Input) {
	env.ExecuteWorkflow(workflows.TypeReplicateDatabase, in)
}

func mustStatus(t *testing.T, env *testsuite.TestWorkflowEnvironment) (s workflows.Status) {
	t.Helper()
	value, err := env.QueryWorkflow(workflows.QueryStatus)
	if err == nil {
		err = value.Get(&s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// anything matches any argument of an activity.
const anything = mock.Anything
