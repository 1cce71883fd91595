package host_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/internal/watch"
)

// rig is a host with stores in memory.
type rig struct {
	stateDir string
	stores   map[string]blob.Store
	files    ship.FS // nil for the operating system's
	seen     seen

	attendance host.Attendance
	watcher    *watch.Watcher
}

func newRig(t *testing.T) *rig {
	return &rig{stateDir: t.TempDir(), stores: make(map[string]blob.Store)}
}

func (r *rig) start(t *testing.T) *host.Host {
	t.Helper()
	h, err := host.New(host.Options{
		StateDir: r.stateDir,
		FS:       r.files,
		Observer: &r.seen, Attendance: r.attendance, Watcher: r.watcher,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		OpenReplica: func(_ context.Context, url string) (*replica.Replica, error) {
			if r.stores[url] == nil {
				r.stores[url] = mem.New()
			}
			return replica.New(r.stores[url]), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close(context.WithoutCancel(t.Context())) })
	return h
}

func mustDatabase(t *testing.T, name string) (host.Database, func(string)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".db")
	app := sqlitetest.Open(t, path)
	sqlitetest.Exec(t, app, "CREATE TABLE t(v)")
	d := host.Database{Name: name, Path: path, Replica: "mem:" + name, Writer: "0123456789abcdef0123456789abcdef"}
	return d, func(q string) { sqlitetest.Exec(t, app, q) }
}

// outcome is what a window came to.
type outcome struct {
	result host.Result
	err    error
}

func window(ctx context.Context, h *host.Host, w host.Window, beats chan<- host.Progress) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		r, err := h.Sync(ctx, w, func(p host.Progress) {
			if beats != nil {
				beats <- p
			}
		})
		done <- outcome{r, err}
	}()
	return done
}

func TestWindowEnds(t *testing.T) {
	stopped := make(chan struct{})
	close(stopped)
	rows := []struct {
		name string
		give func(*host.Window)
		act  func(*testing.T, *host.Host, context.CancelFunc)
		want host.Reason
		err  error
	}{
		{name: "after one pass when it has no length", give: func(w *host.Window) { w.Length = 0 }, want: host.WindowOver},
		{name: "when its time is over", give: func(w *host.Window) { w.Length = 50 * time.Millisecond }, want: host.WindowOver},
		{name: "after the first pass that follows failures", give: func(w *host.Window) { w.Failures = 2 }, want: host.Recovered},
		{name: "when the worker stops", give: func(w *host.Window) { w.Stop = stopped }, want: host.WorkerStopping},
		{
			name: "when it is told to", want: host.Stopped,
			act: func(t *testing.T, h *host.Host, _ context.CancelFunc) {
				start := time.Now()
				if err := h.StopSync(t.Context(), "app"); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took > 300*time.Millisecond {
					t.Errorf("stopping took %v", took)
				}
			},
		},
		{
			name: "when it is cancelled", err: context.Canceled,
			act: func(_ *testing.T, _ *host.Host, cancel context.CancelFunc) { cancel() },
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			h := newRig(t).start(t)
			d, _ := mustDatabase(t, "app")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w := host.Window{Database: d, Interval: 10 * time.Millisecond, Length: time.Hour}
			if row.give != nil {
				row.give(&w)
			}
			beats := make(chan host.Progress, 1000)
			done := window(ctx, h, w, beats)
			<-beats
			if row.act != nil {
				row.act(t, h, cancel)
			}
			got := <-done
			if got.result.Reason != row.want || !errors.Is(got.err, row.err) {
				t.Errorf("got %q, %v; want %q, %v", got.result.Reason, got.err, row.want, row.err)
			}
		})
	}
}

func TestWindowShipsWhatIsCommittedMeanwhile(t *testing.T) {
	h := newRig(t).start(t)
	d, exec := mustDatabase(t, "app")
	beats := make(chan host.Progress, 1000)
	done := window(t.Context(), h, host.Window{Database: d, Length: time.Hour, Interval: time.Millisecond}, beats)
	<-beats
	exec("INSERT INTO t VALUES (1)")
	for p := range beats {
		if p.TXID == 2 && p.Transactions > 0 {
			break
		}
	}
	if err := h.StopSync(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got.result.TXID != 2 || got.result.Writer != d.Writer || got.result.Resyncs != 0 {
		t.Errorf("got %+v, want TXID 2", got.result)
	}
}

func TestLostWindowIsFoundByTheNextProcess(t *testing.T) {
	r := newRig(t)
	first := r.start(t)
	d, _ := mustDatabase(t, "app")
	beats := make(chan host.Progress, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := host.Window{Database: d, Length: time.Hour, Interval: time.Second, TaskToken: []byte("token"), Failures: 0}
	done := window(ctx, first, w, beats)
	<-beats

	second := r.start(t) // as after a kill: the first has not ended its window
	lost, err := second.LostWindows()
	if err != nil || len(lost) != 1 || lost[0].Name != "app" || string(lost[0].TaskToken) != "token" {
		t.Fatalf("got %v, %v; want the window of app", lost, err)
	}
	if err := second.ForgetLost("app"); err != nil {
		t.Fatal(err)
	}
	if lost, err = second.LostWindows(); err != nil || len(lost) != 0 {
		t.Errorf("got %v, %v after it was ended", lost, err)
	}
	cancel()
	<-done

	if _, err := first.Sync(t.Context(), host.Window{Database: d, TaskToken: []byte("t")}, func(host.Progress) {}); err != nil {
		t.Fatal(err)
	}
	if lost, err = r.start(t).LostWindows(); err != nil || len(lost) != 0 {
		t.Errorf("got %v, %v after a window that ended by itself", lost, err)
	}
}

func TestSecondProcessIsKeptOut(t *testing.T) {
	r := newRig(t)
	d, _ := mustDatabase(t, "app")
	if _, err := r.start(t).SyncOnce(t.Context(), d, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := r.start(t).SyncOnce(t.Context(), d, 0); !errors.Is(err, source.ErrBusy) {
		t.Errorf("got %v, want that another worker has it", err)
	}
}

func TestReplacedFileIsTakenAnew(t *testing.T) {
	r := newRig(t)
	h := r.start(t)
	d, exec := mustDatabase(t, "app")
	if _, err := h.SyncOnce(t.Context(), d, 0); err != nil {
		t.Fatal(err)
	}
	exec("INSERT INTO t VALUES (1)")
	other, execOther := mustDatabase(t, "other")
	execOther("CREATE TABLE u(v)")
	execOther("PRAGMA wal_checkpoint(TRUNCATE)")
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(other.Path+suffix, d.Path+suffix); err != nil {
			t.Fatal(err)
		}
	}
	got, err := h.SyncOnce(t.Context(), d, 0)
	if err != nil || got.Resyncs != 1 || got.TXID != 2 {
		t.Fatalf("got %+v, %v; want one resync as TXID 2", got, err)
	}
	if _, err := os.Stat(d.Path + "-wal"); err != nil {
		t.Errorf("the new file's log is gone: %v", err)
	}
}

func TestMissingFileIsSaid(t *testing.T) {
	h := newRig(t).start(t)
	d, _ := mustDatabase(t, "app")
	if _, err := h.SyncOnce(t.Context(), d, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(d.Path, d.Path+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.SyncOnce(t.Context(), d, 0); !errors.Is(err, source.ErrMissing) {
		t.Fatalf("got %v, want that it is missing", err)
	}
	if err := os.Rename(d.Path+".away", d.Path); err != nil {
		t.Fatal(err)
	}
	if _, err := h.SyncOnce(t.Context(), d, 0); err != nil {
		t.Errorf("got %v after it came back", err)
	}
}

func TestCheckRefuses(t *testing.T) {
	r := newRig(t)
	h := r.start(t)
	taken, _ := mustDatabase(t, "taken")
	if _, err := h.SyncOnce(t.Context(), taken, 0); err != nil {
		t.Fatal(err)
	}
	free, _ := mustDatabase(t, "free")
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rows := []struct {
		name string
		give func(*host.Database)
		want error
	}{
		{name: "nothing about a good one", give: func(*host.Database) {}},
		{name: "a path without a file", give: func(d *host.Database) { d.Path += "x" }, want: source.ErrMissing},
		{name: "a directory", give: func(d *host.Database) { d.Path = dir }, want: source.ErrNotDatabase},
		{name: "another kind of file", give: func(d *host.Database) { d.Path = write("text", "hello") }, want: source.ErrNotDatabase},
		{name: "an empty file", give: func(d *host.Database) { d.Path = write("empty", "") }, want: source.ErrNotDatabase},
		{name: "a file that is replicated under another name", give: func(d *host.Database) { d.Path = taken.Path }, want: host.ErrConflict},
		{name: "a replica that another database has", give: func(d *host.Database) { d.Replica = taken.Replica }, want: host.ErrConflict},
		{name: "a replica of another writer", give: func(d *host.Database) {
			r.stores["mem:copy"] = r.stores[taken.Replica]
			d.Replica, d.Writer = "mem:copy", "ffffffffffffffffffffffffffffffff"
		}, want: ship.ErrForeign},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			d := free
			row.give(&d)
			if err := h.Check(t.Context(), d); !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(d.Path), "."+filepath.Base(d.Path)+"-holdfast")); err == nil && d.Path != taken.Path {
				t.Error("a check made a state directory")
			}
		})
	}
}

func TestPausedDatabasesLogIsUsedAgain(t *testing.T) {
	r := newRig(t)
	h := r.start(t)
	d, exec := mustDatabase(t, "app")
	d.WALLimit = 100 << 10
	if _, err := h.SyncOnce(t.Context(), d, 0); err != nil {
		t.Fatal(err)
	}
	var size int64
	for range 60 { // the caretaker looks once a second
		exec("INSERT INTO t VALUES (randomblob(60000))")
		exec("PRAGMA wal_checkpoint(PASSIVE)")
		info, err := os.Stat(d.Path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() == size {
			return // the log is used again
		}
		size = info.Size()
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("the log has grown to %d bytes", size)
}

func TestReleaseLeavesNoWindowBehind(t *testing.T) {
	for i := range 20 {
		h := newRig(t).start(t)
		d, _ := mustDatabase(t, "app")
		w := host.Window{Database: d, Interval: 10 * time.Millisecond, Length: time.Hour}
		beats := make(chan host.Progress, 10000)
		first := window(t.Context(), h, w, beats)
		<-beats
		second := window(t.Context(), h, w, beats) // waits for the first to end
		if err := h.Release(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		<-first
		if err := h.StopSync(t.Context(), d.Name); err != nil { // one that began after the release can be stopped
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Second); ; {
			select {
			case o := <-second:
				if o.err != nil {
					t.Fatalf("try %d: %v", i, o.err)
				}
			case <-time.After(10 * time.Millisecond): // it may begin after it was told to stop
				if err := h.StopSync(t.Context(), d.Name); err != nil {
					t.Fatal(err)
				}
				if time.Now().Before(end) {
					continue
				}
				t.Fatalf("try %d: a window is at work that nobody can stop", i)
			}
			break
		}
		if _, err := h.SyncOnce(t.Context(), d, 0); err != nil {
			t.Fatalf("try %d: %v", i, err)
		}
	}
}

// TestCheckLeavesAnOpenDatabaseLocked asks for a database that is open to get
// another replica. SQLite's locks on it must outlive the question: else the
// application, closing last as it thinks, removes the log under us.
func TestCheckLeavesAnOpenDatabaseLocked(t *testing.T) {
	h := newRig(t).start(t)
	path := filepath.Join(t.TempDir(), "app.db")
	app := sqlitetest.StartShell(t, path)
	app.Run(t, "CREATE TABLE t(v);")
	d := host.Database{Name: "app", Path: path, Replica: "mem:app", Writer: "0123456789abcdef0123456789abcdef"}
	if _, err := h.SyncOnce(t.Context(), d, 0); err != nil {
		t.Fatal(err)
	}
	other := d
	other.Replica = "mem:other"
	if err := h.Check(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	app.Run(t, "INSERT INTO t VALUES (1);")
	app.Quit()
	if _, err := os.Stat(path + "-wal"); err != nil {
		t.Fatalf("the log is gone: %v", err)
	}
	if res, err := h.SyncOnce(t.Context(), d, 0); err != nil || res.Resyncs != 0 || res.TXID != 2 {
		t.Errorf("got %+v, %v; want TXID 2 without a resync", res, err)
	}
}
