package host_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/faulty"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/ship/faultfs"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// site is a host whose store and file system fail on demand, and a database.
type site struct {
	t     *testing.T
	rig   *rig
	blobs *faulty.Store
	files *faultfs.FS
	host  *host.Host
	db    host.Database
	exec  func(string)
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, rig: newRig(t), blobs: faulty.New(mem.New()), files: faultfs.New(ship.OS)}
	s.db, s.exec = mustDatabase(t, "app")
	s.rig.stores[s.db.Replica] = s.blobs
	s.rig.files = s.files
	s.host = s.rig.start(t)
	return s
}

// window runs one with a token, of one pass.
func (s *site) window(ctx context.Context) error {
	w := host.Window{Database: s.db, TaskToken: []byte("token")}
	_, err := s.host.Sync(ctx, w, func(host.Progress) {})
	return err
}

// die ends the process without a word, and starts the next one.
func (s *site) die() {
	s.t.Helper()
	s.files.Die()
	s.blobs.Set(faulty.Always(faulty.Fault{Kind: faulty.Refuse}))
	_ = s.host.Close(s.t.Context())
	s.heal()
	s.host = s.rig.start(s.t)
}

func (s *site) heal() {
	s.blobs.Set(nil)
	s.files.Heal()
}

// life is something that happens to a slot as a whole.
type life struct {
	name  string
	setup func(*site)
	run   func(context.Context, *site) error

	closes bool        // the process ends with it
	after  func(*site) // when nothing fails any more
}

var lives = []life{
	{
		name:  "the first window",
		setup: func(*site) {},
		run:   func(ctx context.Context, s *site) error { return s.window(ctx) },
	},
	{
		name: "a window of the next process",
		setup: func(s *site) {
			s.mustWindow()
			s.die()
			s.exec("INSERT INTO t VALUES (2)")
		},
		run: func(ctx context.Context, s *site) error { return s.window(ctx) },
	},
	{
		name:  "the stop of the worker",
		setup: stopping,
		run:   func(ctx context.Context, s *site) error { return s.host.Close(ctx) },

		closes: true,
	},
	{
		name:  "the release of a database",
		setup: func(s *site) { s.mustWindow(); s.exec("INSERT INTO t VALUES (2)") },
		run:   func(ctx context.Context, s *site) error { return s.host.Release(ctx, s.db) },

		after: mustRelease,
	},
}

// stopping is a worker that stops: its window has ended for that, and something
// was committed since.
func stopping(s *site) {
	s.t.Helper()
	stop := make(chan struct{})
	close(stop)
	w := host.Window{Database: s.db, TaskToken: []byte("token"), Interval: time.Hour, Length: time.Hour, Stop: stop}
	if res, err := s.host.Sync(s.t.Context(), w, func(host.Progress) {}); err != nil || res.Reason != host.WorkerStopping {
		s.t.Fatalf("got %+v, %v", res, err)
	}
	s.exec("INSERT INTO t VALUES (2)")
}

// mustRelease releases the database, for the next process too.
func mustRelease(s *site) {
	s.t.Helper()
	if err := s.host.Release(s.t.Context(), s.db); err != nil {
		s.t.Fatal(err)
	}
	known, err := os.ReadFile(filepath.Join(s.rig.stateDir, "databases.json"))
	if err != nil || strings.Contains(string(known), "app") {
		s.t.Errorf("the list of databases is %s, %v; want none", known, err)
	}
}

func (s *site) mustWindow() {
	s.t.Helper()
	if err := s.window(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// TestEveryFault lets each call fail in each way while a slot is opened, used and
// closed, one at a time, until none fails any more. Whatever happens, the next
// window ships all there is, the process after that finds a window that was lost,
// and no foreign file was touched.
func TestEveryFault(t *testing.T) {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		t.Setenv("TMPDIR", "/dev/shm") // where SQLite's many syncs cost nothing
	}
	step := 1
	if testing.Short() {
		step = 5 // a sample
	}
	total := 0
	for _, l := range lives {
		t.Run(l.name, func(t *testing.T) {
			var failed []string
			for _, kind := range []faulty.Kind{faulty.Refuse, faulty.LoseAnswer, faulty.BreakOff} {
				failed = append(failed, sweep(t, l, step, kind.String(), func(s *site, n int) {
					s.blobs.Set(faulty.Nth(n, faulty.Fault{Kind: kind, After: 30}))
				})...)
			}
			for _, kind := range faultfs.Kinds {
				failed = append(failed, sweep(t, l, step, "file system: "+kind.String(), func(s *site, n int) {
					s.files.Fail(n, kind, func() {
						if kind == faultfs.Dead {
							s.blobs.Set(faulty.Always(faulty.Fault{Kind: faulty.Refuse}))
						}
					})
				})...)
			}
			t.Logf("%d points:\n%s", len(failed), strings.Join(failed, "\n"))
			if len(failed) == 0 {
				t.Error("nothing was tried")
			}
			total += len(failed)
		})
	}
	t.Logf("%d points in all", total)
}

func sweep(t *testing.T, l life, step int, name string, arm func(*site, int)) (failed []string) {
	seen := make(map[string]bool)
	for n := 1; ; n += step {
		hit := ""
		t.Run(fmt.Sprintf("%s, %d", name, n), func(t *testing.T) { hit = strike(t, l, arm, n) })
		if hit == "" {
			return failed
		}
		if seen[hit] {
			t.Errorf("%s was hit before", hit)
		}
		seen[hit] = true
		failed = append(failed, hit)
	}
}

// strike runs l once with the n-th call failing, and checks what must hold then.
// It returns the call.
func strike(t *testing.T, l life, arm func(*site, int), n int) string {
	s := newSite(t)
	l.setup(s)
	requests, files := len(s.blobs.Calls()), len(s.files.Calls())
	arm(s, n)
	err := l.run(t.Context(), s)
	hit := ""
	for _, c := range s.blobs.Failed() {
		if c.Number > requests {
			hit = "request " + c.String()
			break
		}
	}
	for _, c := range s.files.Failed() {
		if c.Number > files {
			hit = "file " + c.String() // a process that died of it makes no requests either
		}
	}
	if err != nil && (hit == "" || !errors.Is(err, blob.ErrUnavailable) && !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.ENOSPC)) {
		t.Errorf("%s: %v", hit, err)
	}
	if strings.HasSuffix(hit, faultfs.Dead.String()) {
		s.die()
	}
	s.heal()
	if l.closes {
		s.host = s.rig.start(t)
	}
	if l.after != nil {
		l.after(s)
	}
	s.exec("INSERT INTO t VALUES (3)")
	s.mustWindow()
	s.mustRestore(hit)
	s.mustFindLostWindow(hit)
	s.rest()
	return hit
}

// rest makes the file look as if it had not been written to for an hour, so that
// closing it need not wait until it can be told from one that is written to now.
func (s *site) rest() {
	s.t.Helper()
	s.exec("PRAGMA wal_checkpoint(PASSIVE)")
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(s.db.Path, past, past); err != nil {
		s.t.Fatal(err)
	}
}

// mustRestore compares what a restore gives with the source.
func (s *site) mustRestore(hit string) {
	s.t.Helper()
	out := filepath.Join(s.t.TempDir(), "restored.db")
	if _, err := restore.Run(s.t.Context(), replica.New(s.blobs), restore.Options{Output: out}); err != nil {
		s.t.Fatalf("%s: %v", hit, err)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		s.t.Fatal(err)
	}
	sqlitetest.Same(s.t, got, sqlitetest.Truth(s.t, s.db.Path), 4096)
}

// mustFindLostWindow dies in a window, and looks for it with the next process.
func (s *site) mustFindLostWindow(hit string) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	beats := make(chan host.Progress, 1000)
	done := window(ctx, s.host, host.Window{Database: s.db, Length: time.Hour, Interval: time.Hour, TaskToken: []byte("lost")}, beats)
	<-beats
	lost, err := s.rig.start(s.t).LostWindows()
	if err != nil || len(lost) != 1 || lost[0].Name != "app" || string(lost[0].TaskToken) != "lost" {
		s.t.Errorf("%s: got %v, %v; want the window of app", hit, lost, err)
	}
	cancel()
	<-done
}
