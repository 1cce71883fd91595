package activities_test

import (
	"context"
	"sync"
	"testing"

	"github.com/superfly/ltx"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/host"
)

// fakeHost does what its functions say; one that is nil does nothing.
type fakeHost struct {
	sync     func(ctx context.Context, w host.Window, beat func(host.Progress)) (host.Result, error)
	syncOnce func(ctx context.Context, db host.Database, head ltx.TXID) (host.Result, error)
	snapshot func(ctx context.Context, db host.Database, head, after ltx.TXID) (host.Result, error)
	check    func(ctx context.Context, db host.Database) error
	stopSync func(name string) error
	cleanUp  func(db host.Database) (host.CleanUp, error)
	release  func(db host.Database) error
	held     []string
}

func (f *fakeHost) Sync(ctx context.Context, w host.Window, beat func(host.Progress)) (host.Result, error) {
	return f.sync(ctx, w, beat)
}

func (f *fakeHost) SyncOnce(ctx context.Context, db host.Database, head ltx.TXID) (host.Result, error) {
	return f.syncOnce(ctx, db, head)
}

func (f *fakeHost) Snapshot(ctx context.Context, db host.Database, head, after ltx.TXID) (host.Result, error) {
	return f.snapshot(ctx, db, head, after)
}

func (f *fakeHost) Check(ctx context.Context, db host.Database) error { return f.check(ctx, db) }

func (f *fakeHost) StopSync(_ context.Context, name string) error {
	if f.stopSync == nil {
		return nil
	}
	return f.stopSync(name)
}

func (f *fakeHost) Hold(name string) { f.held = append(f.held, name) }
func (f *fakeHost) CleanUp(_ context.Context, db host.Database, _ bool) (host.CleanUp, error) {
	return f.cleanUp(db)
}

func (f *fakeHost) Release(_ context.Context, db host.Database) error { return f.release(db) }

// lines keeps what was logged.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(level, msg string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, level+" "+msg)
}

func (l *lines) count(line string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, have := range l.all {
		if have == line {
			n++
		}
	}
	return n
}

func (l *lines) Debug(string, ...any)          {}
func (l *lines) Info(msg string, _ ...any)     { l.add("info", msg) }
func (l *lines) Warn(msg string, _ ...any)     { l.add("warn", msg) }
func (l *lines) Error(msg string, _ ...any)    { l.add("error", msg) }
func (l *lines) With(_ ...any) log.Logger      { return l }
func (l *lines) WithCallerSkip(int) log.Logger { return l }

// reported keeps what was reported, and fails as long as broken says so.
type reported struct {
	mu     sync.Mutex
	all    []activities.Report
	broken error
}

func (r *reported) Report(_ context.Context, _ string, rep activities.Report) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		return r.broken
	}
	r.all = append(r.all, rep)
	return nil
}

func (r *reported) list() []activities.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]activities.Report(nil), r.all...)
}

func (r *reported) mend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = nil
}

// bench runs activities as a worker does.
type bench struct {
	t   *testing.T
	a   *activities.HostActivities
	log *lines
	rep *reported

	mu    sync.Mutex
	beats []activities.Beat
}

func newBench(t *testing.T, h *fakeHost) *bench {
	b := &bench{t: t, log: &lines{}, rep: &reported{}}
	b.a = &activities.HostActivities{Host: h, Reporter: b.rep}
	return b
}

// env is one attempt's surroundings. last, when not nil, is what the attempt
// before it left in its heartbeat.
func (b *bench) env(last *activities.Beat) *testsuite.TestActivityEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(b.log)
	env := suite.NewTestActivityEnvironment()
	for name, fn := range map[string]any{
		activities.NameSync: b.a.Sync, activities.NameSyncOnce: b.a.SyncOnce, activities.NameStopSync: b.a.StopSync,
		activities.NameCleanUp: b.a.CleanUp, activities.NameRelease: b.a.Release,
	} {
		env.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
	if last != nil {
		env.SetHeartbeatDetails(*last)
	}
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		var beat activities.Beat
		if err := details.Get(&beat); err != nil {
			b.t.Error(err)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.beats = append(b.beats, beat)
	})
	return env
}

func (b *bench) lastBeat() activities.Beat {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.beats) == 0 {
		b.t.Fatal("no heartbeat")
	}
	return b.beats[len(b.beats)-1]
}

// sync makes one attempt at a window.
func (b *bench) sync(in activities.SyncInput, last *activities.Beat) (activities.SyncResult, error) {
	b.t.Helper()
	var res activities.SyncResult
	value, err := b.env(last).ExecuteActivity(activities.NameSync, in)
	if err == nil {
		err = value.Get(&res)
	}
	return res, err
}

func input(failures int) activities.SyncInput {
	return activities.SyncInput{Database: activities.Database{Name: "shop", Path: "/shop.db", Replica: "file:///replica"}, Window: 7, Failures: failures, Head: 3}
}
