package changes_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// rig is a database under replication, and what is known of its past.
type rig struct {
	host.Database
	replica  *replica.Replica
	stateDir string
	host     *host.Host // nil while there is no worker
	logbook  *logbook
	resyncs  int                 // so far, as the results told
	last     string              // rule of the last one
	rules    []string            // of all of them, as an observer was told
	states   map[ltx.TXID][]byte // what the source was when that TXID was shipped
}

func mustReplicate(t *testing.T, path string) *rig {
	t.Helper()
	return mustReplicateTo(t, path, mem.New())
}

func mustReplicateTo(t *testing.T, path string, store blob.Store) *rig {
	t.Helper()
	r := &rig{
		Database: host.Database{Name: "app", Path: path, Replica: "mem:app", Writer: "0123456789abcdef0123456789abcdef"},
		replica:  replica.New(store),
		stateDir: t.TempDir(),
		logbook:  &logbook{},
		states:   make(map[ltx.TXID][]byte),
	}
	r.start(t)
	t.Cleanup(func() { _ = r.close() })
	t.Cleanup(func() {
		if t.Failed() {
			r.logbook.print(t)
		}
	})
	return r
}

// start starts a worker.
func (r *rig) start(t *testing.T) {
	t.Helper()
	h, err := host.New(host.Options{
		StateDir:    r.stateDir,
		Log:         slog.New(r.logbook),
		Observer:    r,
		OpenReplica: func(context.Context, string) (*replica.Replica, error) { return r.replica, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	r.host = h
}

// Passed takes down the resyncs of a pass. One pass runs at a time.
func (r *rig) Passed(_ string, out ship.Outcome, _ error) {
	for _, rule := range out.Resyncs {
		r.rules = append(r.rules, string(rule))
	}
}

// Released has nothing to say.
func (r *rig) Released(string) {}

// stop ends the worker in order.
func (r *rig) stop(t *testing.T) {
	t.Helper()
	if err := r.close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

func (r *rig) close() error {
	if r.host == nil {
		return nil
	}
	err := r.host.Close(context.Background())
	r.host = nil
	return err
}

// try makes a pass that may fail.
func (r *rig) try(t *testing.T) (host.Result, error) {
	t.Helper()
	res, err := r.host.SyncOnce(t.Context(), r.Database, 0)
	r.count(res)
	return res, err
}

// count takes down the resyncs of a result.
func (r *rig) count(res host.Result) {
	if r.resyncs += res.Resyncs; res.Resyncs > 0 {
		r.last = res.ResyncReason
	}
}

// pass makes a pass that must succeed.
func (r *rig) pass(t *testing.T) host.Result {
	t.Helper()
	res, err := r.try(t)
	if err != nil {
		t.Fatalf("pass: %v", err)
	}
	if res.SyncedAt.IsZero() {
		t.Fatalf("pass: got %+v, want that source and replica are equal", res)
	}
	return res
}

// mark makes a pass and remembers the source as the state of its TXID. Nobody
// may write meanwhile.
func (r *rig) mark(t *testing.T) {
	t.Helper()
	res := r.pass(t)
	r.states[res.TXID] = sqlitetest.Truth(t, r.Path)
}

// fails makes a pass that must fail with want.
func (r *rig) fails(t *testing.T, want error) {
	t.Helper()
	if res, err := r.try(t); !errors.Is(err, want) {
		t.Fatalf("got %+v, %v; want %v", res, err, want)
	}
}

// check makes a last pass, and compares what is restored with the source, and
// each earlier state with what it was. rules are those of all resyncs since the
// first state.
func (r *rig) check(t *testing.T, rules ...source.Rule) {
	t.Helper()
	r.mark(t)
	latest := sqlitetest.Truth(t, r.Path)
	same(t, "the latest state", r.restored(t, plan.Target{}), latest)
	for txid, want := range r.states {
		same(t, "TXID "+txid.String(), r.restored(t, plan.Target{TXID: txid}), want)
	}
	r.wantResyncs(t, rules...)
}

// wantResyncs compares the resyncs that results, observer and log told of.
func (r *rig) wantResyncs(t *testing.T, rules ...source.Rule) {
	t.Helper()
	want := make([]string, len(rules))
	for i, rule := range rules {
		want[i] = string(rule)
	}
	if !slices.Equal(r.rules, want) {
		t.Errorf("the observer was told of resyncs %q, want %q", r.rules, want)
	}
	if r.resyncs != len(want) || len(want) > 0 && r.last != want[len(want)-1] {
		t.Errorf("the results told of %d resyncs, the last one for %q; want %q", r.resyncs, r.last, want)
	}
	told := r.logbook.told("resyncing", "rule")
	if first := string(source.RuleFirst); len(told) > 0 && told[0] == first {
		told = told[1:]
	}
	if !slices.Equal(told, want) {
		t.Errorf("the log told of resyncs %q, want %q", told, want)
	}
}

// restored returns a state as a restore gives it.
func (r *rig) restored(t *testing.T, target plan.Target) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "restored.db")
	if _, err := restore.Run(t.Context(), r.replica, restore.Options{Output: out, Target: target}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// same fails unless got and want are equal, and says what of.
func same(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	if len(got) != len(want) {
		t.Fatalf("%s: restored to %d bytes, the source had %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s: restored, it differs from the source at byte %d of %d", what, i, len(want))
		}
	}
}

// window replicates at interval in the background.
type window struct {
	rig  *rig
	done chan windowEnd
}

type windowEnd struct {
	result host.Result
	err    error
}

// startWindow returns when the window's first pass is done.
func (r *rig) startWindow(t *testing.T, interval time.Duration) *window {
	t.Helper()
	w := &window{rig: r, done: make(chan windowEnd, 1)}
	first := make(chan struct{})
	once := sync.OnceFunc(func() { close(first) })
	go func() {
		res, err := r.host.Sync(t.Context(), host.Window{Database: r.Database, Interval: interval, Length: time.Hour}, func(host.Progress) { once() })
		w.done <- windowEnd{res, err}
	}()
	select {
	case <-first:
	case end := <-w.done:
		t.Fatalf("window: %v", end.err)
	}
	return w
}

// stop ends the window, which must be at work still.
func (w *window) stop(t *testing.T) host.Result {
	t.Helper()
	if err := w.rig.host.StopSync(t.Context(), w.rig.Name); err != nil {
		t.Fatal(err)
	}
	end := <-w.done
	w.rig.count(end.result)
	if end.err != nil {
		t.Fatalf("window: %v", end.err)
	}
	return end.result
}

// end ends the window, which may have ended by itself.
func (w *window) end(t *testing.T) {
	t.Helper()
	if err := w.rig.host.StopSync(t.Context(), w.rig.Name); err != nil {
		t.Fatal(err)
	}
	end := <-w.done
	w.rig.count(end.result)
	if end.err != nil {
		t.Log("the window ended by itself:", end.err)
	}
}

// fails waits until the window ends by itself with want.
func (w *window) fails(t *testing.T, want error) {
	t.Helper()
	end := <-w.done
	w.rig.count(end.result)
	if !errors.Is(end.err, want) {
		t.Fatalf("the window ended with %+v, %v; want %v", end.result, end.err, want)
	}
}

// logbook is a log that can be asked.
type logbook struct {
	mu      sync.Mutex
	records []slog.Record
}

func (l *logbook) Enabled(context.Context, slog.Level) bool { return true }

func (l *logbook) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, r.Clone())
	return nil
}

func (l *logbook) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l *logbook) WithGroup(string) slog.Handler { return l }

// told returns the values that the records with message have under key.
func (l *logbook) told(message, key string) (values []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records {
		if r.Message != message {
			continue
		}
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == key {
				values = append(values, a.Value.String())
			}
			return true
		})
	}
	return values
}

// print shows all records, for a test that failed.
func (l *logbook) print(t *testing.T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records {
		text := r.Message
		r.Attrs(func(a slog.Attr) bool {
			text += " " + a.String()
			return true
		})
		t.Log("the worker said:", text)
	}
}
