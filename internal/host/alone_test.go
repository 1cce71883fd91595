package host_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/internal/watch"
)

// attendance is somebody who decides, or is away.
type attendance struct {
	mu      sync.Mutex
	away    bool
	stirred []string
	missed  int
}

func (a *attendance) Away(string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.away
}

func (a *attendance) Stirred(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stirred = append(a.stirred, name)
}

func (a *attendance) Missed(string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.missed++
}

func (a *attendance) misses() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.missed
}

func (a *attendance) goes(away bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.away = away
}

func (a *attendance) heard() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.stirred)
}

// stage is a host, somebody who decides, and a database with its application.
type stage struct {
	*testing.T
	*rig
	who *attendance
	h   *host.Host
	d   host.Database
	do  func(string)
}

func newStage(t *testing.T) *stage {
	s := &stage{T: t, rig: newRig(t), who: &attendance{}}
	s.rig.attendance = s.who
	path := filepath.Join(t.TempDir(), "app.db")
	app := sqlitetest.StartShell(t, path) // another process, whose locks nothing here touches
	app.Run(t, "CREATE TABLE t(v);")
	s.do = func(q string) { app.Run(s.T, q+";") }
	s.d = host.Database{Name: "app", Path: path, Replica: "mem:app", Writer: "0123456789abcdef0123456789abcdef"}
	s.h = s.start(t)
	return s
}

// watched starts the host again, with directories watched.
func (s *stage) watched(t *testing.T) {
	t.Helper()
	if err := s.h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	w, err := watch.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	s.watcher = w
	s.h = s.start(t)
}

// rules are quick.
var rules = host.Rules{BackoffCap: 200 * time.Millisecond, Autonomy: time.Hour, Heartbeat: 200 * time.Millisecond}

func (s *stage) window(change func(*host.Window)) host.Window {
	w := host.Window{Database: s.d, Interval: 20 * time.Millisecond, Length: time.Hour, Rules: rules, Spec: []byte(`{"a": 1}`)}
	if change != nil {
		change(&w)
	}
	return w
}

func (s *stage) head() ltx.TXID {
	s.Helper()
	all, err := replica.New(s.stores[s.d.Replica]).All(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	head := ltx.TXID(0)
	for _, o := range all {
		head = max(head, o.Max)
	}
	return head
}

func (s *stage) eventually(what string, is func() bool) {
	s.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("never: %s", what)
		}
	}
}

// mustShip makes a transaction and waits for it to be in the replica.
func (s *stage) mustShip() {
	s.Helper()
	before := s.head()
	s.do("INSERT INTO t VALUES (1)")
	s.eventually("a transaction is shipped", func() bool { return s.head() > before })
}

// mustNotShip makes a transaction and sees it stay where it is.
func (s *stage) mustNotShip() {
	s.Helper()
	before := s.head()
	s.do("INSERT INTO t VALUES (2)")
	time.Sleep(time.Second)
	if head := s.head(); head != before {
		s.Errorf("TXID %s was shipped, want none after %s", head, before)
	}
}

func (s *stage) mustEnd(done <-chan outcome, want host.Reason) {
	s.Helper()
	select {
	case o := <-done:
		if o.err != nil || o.result.Reason != want {
			s.Fatalf("the window ended with %q, %v; want %q", o.result.Reason, o.err, want)
		}
	case <-time.After(20 * time.Second):
		s.Fatalf("the window did not end with %q", want)
	}
}

func TestADatabaseGoesOnWhileNobodyDecides(t *testing.T) {
	s := newStage(t)
	s.mustEnd(window(t.Context(), s.h, s.window(func(w *host.Window) { w.Length = 0 }), nil), host.WindowOver)
	s.mustNotShip()
	s.who.goes(true)
	s.mustShip()
	s.mustShip()
	t.Run("until somebody does", func(t *testing.T) {
		s.T = t
		s.who.goes(false)
		done := window(t.Context(), s.h, s.window(nil), nil)
		s.mustShip()
		if err := s.h.StopSync(t.Context(), s.d.Name); err != nil {
			t.Fatal(err)
		}
		s.mustEnd(done, host.Stopped)
		s.mustNotShip()
	})
	t.Run("but not if it was held", func(t *testing.T) {
		s.T = t
		done := window(t.Context(), s.h, s.window(nil), nil)
		s.mustShip()
		s.h.Hold(s.d.Name)
		if err := s.h.StopSync(t.Context(), s.d.Name); err != nil {
			t.Fatal(err)
		}
		s.mustEnd(done, host.Stopped)
		s.who.goes(true)
		s.mustNotShip()
		s.mustEnd(window(t.Context(), s.h, s.window(func(w *host.Window) { w.Length = 0 }), nil), host.WindowOver)
		s.mustShip()
	})
}

// TestNobodyComesBack lets whoever decides be back without sending a window: what was
// begun without them goes on for some heartbeats, and no longer.
func TestNobodyComesBack(t *testing.T) {
	s := newStage(t)
	s.mustEnd(window(t.Context(), s.h, s.window(func(w *host.Window) { w.Length = 0 }), nil), host.WindowOver)
	s.who.goes(true)
	s.mustShip()
	if err := s.h.StopSync(t.Context(), s.d.Name); err != nil { // ends a minute that nobody has sent
		t.Fatal(err)
	}
	s.who.goes(false)
	time.Sleep(4 * rules.Heartbeat)
	if err := s.h.StopSync(t.Context(), s.d.Name); err != nil {
		t.Fatal(err)
	}
	s.mustNotShip()
}

// TestAWindowThatIsMissedIsToldOf ends windows well, and badly, and sends no other.
func TestAWindowThatIsMissedIsToldOf(t *testing.T) {
	s := newStage(t)
	s.mustEnd(window(t.Context(), s.h, s.window(func(w *host.Window) { w.Length = 0 }), nil), host.WindowOver)
	s.eventually("a window is missed", func() bool { return s.who.misses() > 0 })
	s.mustNotShip()
	s.h.GoOn(s.d.Name)
	s.mustShip()
	s.h.Hold(s.d.Name)
	if err := s.h.StopSync(t.Context(), s.d.Name); err != nil {
		t.Fatal(err)
	}
	s.who.goes(false)
	before := s.who.misses()
	time.Sleep(2 * time.Second)
	if n := s.who.misses() - before; n != 0 {
		t.Errorf("missed %d times while held", n)
	}
	s.stores[s.d.Replica] = &refusing{Store: s.stores[s.d.Replica], err: fmt.Errorf("%w: for a test", blob.ErrUnavailable)}
	if err := s.h.Release(t.Context(), s.d); err != nil {
		t.Fatal(err)
	}
	s.do("INSERT INTO t VALUES (3)")
	if o := <-window(t.Context(), s.h, s.window(func(w *host.Window) { w.Length = 0 }), nil); !errors.Is(o.err, blob.ErrUnavailable) {
		t.Fatalf("got %v", o.err)
	}
	time.Sleep(2 * time.Second)
	if n := s.who.misses() - before; n != 0 {
		t.Errorf("missed %d times after a failure", n)
	}
}

func TestAutonomyHasAnEnd(t *testing.T) {
	s := newStage(t)
	s.who.goes(true)
	w := s.window(func(w *host.Window) { w.Length, w.Autonomy = 0, time.Second })
	s.mustEnd(window(t.Context(), s.h, w, nil), host.WindowOver)
	s.mustShip()
	time.Sleep(w.Autonomy)
	if err := s.h.StopSync(t.Context(), s.d.Name); err != nil {
		t.Fatal(err)
	}
	s.mustNotShip()
}

func TestAProcessThatStartsWhileNobodyDecides(t *testing.T) {
	for _, row := range []struct {
		name string
		held bool
	}{{"goes on with what it was told last", false}, {"holds what was held", true}} {
		t.Run(row.name, func(t *testing.T) {
			s := newStage(t)
			s.mustEnd(window(t.Context(), s.h, s.window(func(w *host.Window) { w.Length = 0 }), nil), host.WindowOver)
			if row.held {
				s.h.Hold(s.d.Name)
			}
			if err := s.h.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.who.goes(true)
			s.h = s.start(t)
			got := s.h.Instructions()[s.d.Name]
			if got.Database != s.d || got.Rules != rules || got.Held != row.held || strings.Join(strings.Fields(string(got.Spec)), "") != `{"a":1}` {
				t.Errorf("got instructions %+v", got)
			}
			if row.held {
				s.mustNotShip()
			} else {
				s.mustShip()
			}
		})
	}
}

// TestFailuresAloneBackOff fails each put, as somebody who decides would have it tried:
// after 20, 40, 80, 160 ms and then every 200.
func TestFailuresAloneBackOff(t *testing.T) {
	s := newStage(t)
	s.mustEnd(window(t.Context(), s.h, s.window(func(w *host.Window) { w.Length = 0 }), nil), host.WindowOver)
	broken := &refusing{Store: s.stores[s.d.Replica], err: fmt.Errorf("%w: for a test", blob.ErrUnavailable)}
	s.who.goes(true)
	s.mustShip()
	if err := s.h.Release(t.Context(), s.d); err != nil {
		t.Fatal(err)
	}
	s.stores[s.d.Replica] = broken
	s.do("INSERT INTO t VALUES (3)")
	if o := <-window(t.Context(), s.h, s.window(func(w *host.Window) { w.Length = 0 }), nil); !errors.Is(o.err, blob.ErrUnavailable) {
		t.Fatalf("got %v", o.err)
	}
	before := broken.count()
	time.Sleep(2 * time.Second)
	if n := broken.count() - before; n < 3 || n > 16 {
		t.Errorf("tried %d times in 2 s, want about 11", n)
	}
	broken.mend()
	s.mustShip()
}

// descriptors counts the files beside the database that this process has open.
func (s *stage) descriptors() (n int) {
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		s.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, filepath.Dir(s.d.Path)) {
			n++
		}
	}
	return n
}

// seen counts what passes came to.
type seen struct {
	mu           sync.Mutex
	all, resyncd int
}

// Passed implements host.Observer.
func (s *seen) Passed(_ string, out ship.Outcome, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all++
	s.resyncd += len(out.Resyncs)
}

// Released implements host.Observer.
func (s *seen) Released(string) {}

func (s *seen) passes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

func (s *seen) resyncs() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resyncd
}

// refusing is a store that takes nothing, until it is mended.
type refusing struct {
	blob.Store
	err error

	mu    sync.Mutex
	tries int
	well  bool
}

func (r *refusing) Put(ctx context.Context, key string, body io.Reader, m blob.Metadata) (int64, error) {
	r.mu.Lock()
	r.tries++
	well := r.well
	r.mu.Unlock()
	if !well {
		return 0, r.err
	}
	return r.Store.Put(ctx, key, body, m)
}

func (r *refusing) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tries
}

func (r *refusing) mend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.well = true
}
