package ship_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/faulty"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/ship/faultfs"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// stand is a bench whose store and file system fail on demand. Its pages are
// small, so that few bytes make a long log.
type stand struct {
	*bench
	blobs   *faulty.Store
	files   *faultfs.FS
	onPut   func()                        // runs ahead of each put
	foreign map[string]string             // content of files in the state directory that are not ours
	resyncs []string                      // rules of those that the passes have reported
	excused bool                          // taking all pages is, or may be, the right answer
	ready   struct{ requests, files int } // calls that belong to the setup
}

func newStand(t testing.TB) *stand {
	t.Helper()
	s := &stand{blobs: faulty.New(mem.New()), files: faultfs.New(unsynced{ship.OS})}
	s.bench = &bench{t: t, path: filepath.Join(t.TempDir(), "app.db"), fs: s.files}
	s.store = &moody{Store: hooked{s.blobs, s}}
	s.openApp("page_size=512", "synchronous=OFF")
	s.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
	s.opts = newOptions(s.store)
	s.start()
	t.Cleanup(func() { _ = errors.Join(s.db.Abandon(), s.ship.Close(), s.dir.Close()) })
	s.foreign = make(map[string]string)
	for _, name := range []string{"notes.txt", "state.json.bak", "spool/notes.tmp", "spool/0000000000000002.0BADCAFE.tmp", "spool/00000000000000ff.ltx"} {
		s.foreign[name] = "this is " + name
		s.plant(name, s.foreign[name])
	}
	return s
}

func newOptions(store blob.Store) ship.Options {
	return ship.Options{Name: "app", URL: "mem:", Writer: writerA, WALLimit: 64 << 10, Replica: replica.New(store), Log: quiet}
}

// unsynced saves the time of bringing files to a disk that no test takes away.
type unsynced struct{ ship.FS }

func (u unsynced) Create(name string) (ship.File, error) {
	f, err := u.FS.Create(name)
	return unsyncedFile{f}, err
}

func (unsynced) SyncDir(string) error { return nil }

type unsyncedFile struct{ ship.File }

func (unsyncedFile) Sync() error { return nil }

// hooked lets the application act ahead of each put.
type hooked struct {
	blob.Store
	stand *stand
}

func (h hooked) Put(ctx context.Context, key string, body io.Reader, meta blob.Metadata) (int64, error) {
	if h.stand.onPut != nil {
		h.stand.onPut()
	}
	return h.Store.Put(ctx, key, body, meta)
}

func (s *stand) openApp(pragmas ...string) {
	s.t.Helper()
	s.app = sqlitetest.Open(s.t, s.path, pragmas...)
}

// in returns a path in the state directory.
func (s *stand) in(name string) string {
	return filepath.Join(filepath.Dir(s.path), ".app.db-holdfast", name)
}

func (s *stand) plant(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(s.in(name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// pass makes one pass as a slot does.
func (s *stand) pass(ctx context.Context) error {
	out, err := s.ship.Pass(ctx)
	for _, rule := range out.Resyncs {
		s.resyncs = append(s.resyncs, string(rule))
	}
	if ctx.Err() != nil {
		s.ship.Forget()
	}
	return err
}

// kill ends the process without a word, and starts the next one.
func (s *stand) kill() {
	s.t.Helper()
	if err := errors.Join(s.db.Abandon(), s.ship.Close(), s.dir.Close()); err != nil {
		s.t.Fatal(err)
	}
	s.start()
}

// A weapon makes the n-th call of some kind fail.
type weapon struct {
	name  string
	arm   func(s *stand, n int, cut context.CancelFunc)
	want  error // what must be said of it
	dies  bool  // the process does not outlive it
	files bool  // of the file system, not of the store
}

// weapons are all faults: of the store, with a process that is cut off, or dies
// before or after what it was about to do; and of the file system.
func weapons() []weapon {
	refuse, lose := faulty.Fault{Kind: faulty.Refuse}, faulty.Fault{Kind: faulty.LoseAnswer}
	all := []weapon{
		storeWeapon("store refuses", blob.ErrUnavailable, refuse),
		storeWeapon("store throttles", blob.ErrThrottled, faulty.Fault{Kind: faulty.Throttle}),
		storeWeapon("answer is lost", blob.ErrUnavailable, lose),
		storeWeapon("transfer breaks off", blob.ErrUnavailable, faulty.Fault{Kind: faulty.BreakOff, After: 60}),
		storeWeapon("pass is cut off", context.Canceled, faulty.Fault{Kind: faulty.TimeOut}),
		storeWeapon("process dies before a request", nil, refuse),
		storeWeapon("process dies after a request", nil, lose),
	}
	for _, k := range faultfs.Kinds {
		w := weapon{name: "file system: " + k.String(), files: true, dies: k == faultfs.Dead, want: syscall.EIO}
		if k == faultfs.NoSpace || k == faultfs.ShortWrite {
			w.want = syscall.ENOSPC
		}
		w.arm = func(s *stand, n int, _ context.CancelFunc) {
			s.files.Fail(n, k, func() {
				if w.dies {
					s.blobs.Set(faulty.Always(refuse))
				}
			})
		}
		all = append(all, w)
	}
	return all
}

// storeWeapon does f to the n-th request that it applies to. Without an error to
// be told, the process dies of it.
func storeWeapon(name string, want error, f faulty.Fault) weapon {
	w := weapon{name: name, want: want, dies: want == nil}
	w.arm = func(s *stand, n int, cut context.CancelFunc) {
		nth, dead := faulty.Nth(n, f), false
		s.blobs.Set(func(c faulty.Call) faulty.Fault {
			if dead {
				return faulty.Fault{Kind: faulty.Refuse}
			}
			got := nth(c)
			if got.Kind == faulty.TimeOut {
				cut()
			}
			if w.dies && got.Kind != faulty.None {
				dead = true
				s.files.Die()
			}
			return got
		})
	}
	return w
}

// hit returns the first call that has failed since s was ready, of the store or
// of the file system; empty if none did.
func (s *stand) hit(files bool) string {
	if files {
		for _, c := range s.files.Failed() {
			if c.Number > s.ready.files {
				return "file " + c.String()
			}
		}
		return ""
	}
	for _, c := range s.blobs.Failed() {
		if c.Number > s.ready.requests {
			return "request " + c.String()
		}
	}
	return ""
}

// TestEveryFault runs each operation with each call failing in each way, one at
// a time, until none fails any more. Whatever happens, the same process or the
// next one goes on: the replica then restores to what the source is, no TXID is
// missing, no files but our own were touched, none of ours is left lying about,
// and nothing was taken anew that did not have to be.
func TestEveryFault(t *testing.T) {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		t.Setenv("TMPDIR", "/dev/shm") // where SQLite's many syncs cost nothing
	}
	total := 0
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			var failed []string
			for _, w := range weapons() {
				failed = append(failed, sweep(t, op, w)...)
			}
			t.Logf("%d points:\n%s", len(failed), strings.Join(failed, "\n"))
			if len(failed) == 0 {
				t.Error("nothing was tried")
			}
			total += len(failed)
		})
	}
	t.Logf("%d points in all", total)
	if total <= 300 && !testing.Short() && !t.Failed() {
		t.Errorf("%d points in all, want more than 300", total)
	}
}

// sweep lets w strike at each call of op. It returns the calls that it has hit,
// each once although it was tried with the same process going on, and with the
// next one.
func sweep(t *testing.T, op operation, w weapon) (failed []string) {
	seen, step := make(map[string]bool), 1
	if testing.Short() {
		step = 5 // a sample
	}
	for n := 1; ; n += step {
		var hit string
		for _, next := range []bool{true, false} {
			if w.dies && !next {
				continue
			}
			name := fmt.Sprintf("%s, %d, same process", w.name, n)
			if next {
				name = fmt.Sprintf("%s, %d, next process", w.name, n)
			}
			t.Run(name, func(t *testing.T) { hit = strike(t, op, w, n, next) })
			if hit == "" {
				return failed
			}
		}
		if seen[hit] {
			t.Errorf("%s, %d: %s was hit before", w.name, n, hit)
		}
		seen[hit] = true
		failed = append(failed, hit)
	}
}

// strike runs op once with the n-th call failing, lets it recover, and checks
// what must hold then. It returns the call.
func strike(t *testing.T, op operation, w weapon, n int, next bool) string {
	s := newStand(t)
	op.setup(s)
	s.ready.requests, s.ready.files = len(s.blobs.Calls()), len(s.files.Calls())
	ctx, cut := context.WithCancel(t.Context())
	defer cut()
	w.arm(s, n, cut)
	err := op.run(ctx, s)
	hit := s.hit(w.files)
	switch {
	case hit == "" && err != nil && !errors.Is(err, op.err):
		t.Fatalf("without a fault: %v", err)
	case strings.Contains(hit, string(faultfs.Remove)) && strings.HasSuffix(hit, faultfs.Late.String()):
		// What is gone is gone: that need not be said.
	case hit != "" && w.want != nil && !errors.Is(err, w.want):
		t.Errorf("%s, and nobody said so: %v", hit, err)
	}
	s.blobs.Set(nil)
	s.files.Heal()
	s.store.away, s.onPut = false, nil
	if next {
		s.kill()
	}
	s.recover(hit, next, n == 1)
	return hit
}

// recover makes a fresh pass, and checks. What the application sees is cheaper to
// ask for than what SQLite finds in a copy of the files; thorough compares both.
func (s *stand) recover(hit string, next, thorough bool) {
	s.t.Helper()
	s.insert(1)
	if next && s.salts() != s.lastKnown().Salts {
		s.excused = true // the log was restarted since, and nobody is left who saw it
	}
	if err := s.pass(s.t.Context()); err != nil {
		s.t.Fatalf("%s; the pass after it: %v", hit, err)
	}
	got, size := s.restored()
	sqlitetest.Same(s.t, got, sqlitetest.Live(s.t, s.app), size)
	if thorough {
		s.mustEqual()
	}
	s.mustHaveEveryTXID()
	if err := s.ship.Save(); err != nil { // as at the end of a window
		s.t.Fatal(err)
	}
	if _, err := s.ship.CleanUp(s.t.Context(), false); err != nil {
		s.t.Errorf("clean up: %v", err)
	}
	s.mustBeTidy()
	if len(s.resyncs) > 0 && !s.excused {
		s.t.Errorf("%s: resynced by %v", hit, s.resyncs)
	}
	s.kill()
	out := s.mustPass()
	if out.Puts != 0 || out.SpoolBytes != 0 {
		s.t.Errorf("%s: a process that follows put %d objects, %v, and has %d bytes in its spool; want nothing to do", hit, out.Puts, out.Resyncs, out.SpoolBytes)
	}
}
