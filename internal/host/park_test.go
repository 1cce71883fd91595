package host_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

func TestAParkedDatabaseShipsWhatIsCommitted(t *testing.T) {
	for _, row := range []struct {
		name    string
		watched bool
		cold    time.Duration
		rests   time.Duration
	}{
		{"warm, and watched", true, 0, 0},
		{"warm, and looked at", false, 0, 0},
		{"warm, and looked at for a while", false, 0, 3 * time.Second},
		{"cold, and watched", true, 100 * time.Millisecond, 0},
		{"cold, and looked at", false, 100 * time.Millisecond, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newStage(t)
			if row.watched {
				s.watched(t)
			}
			parking := s.window(func(w *host.Window) { w.IdleAfter, w.ColdAfter = 50*time.Millisecond, row.cold })
			for n := range 2 {
				s.mustEnd(window(t.Context(), s.h, parking, nil), host.Idle)
				if row.cold > 0 {
					s.eventually("nothing of it is open", func() bool { return s.descriptors() == 0 })
				}
				time.Sleep(row.rests)
				s.mustShip()
				s.eventually("it is told of", func() bool { return s.who.heard() > n })
				if got := s.who.heard(); got != n+1 {
					t.Errorf("told of %d changes, want %d", got, n+1)
				}
			}
			if got := s.seen.resyncs(); row.cold == 0 && got > 1 { // the first state is one
				t.Errorf("%d resyncs, want none", got-1)
			}
		})
	}
}

// TestAColdDatabaseIsNotOpenedForNothing sends windows to one that rests.
func TestAColdDatabaseIsNotOpenedForNothing(t *testing.T) {
	s := newStage(t)
	s.watched(t)
	parking := s.window(func(w *host.Window) { w.IdleAfter, w.ColdAfter = 50*time.Millisecond, 100*time.Millisecond })
	s.mustEnd(window(t.Context(), s.h, parking, nil), host.Idle)
	s.eventually("nothing of it is open", func() bool { return s.descriptors() == 0 })
	passes, head := s.seen.passes(), s.head()
	o := <-window(t.Context(), s.h, parking, nil)
	if o.err != nil || o.result.Reason != host.Idle || o.result.TXID != head || time.Since(o.result.SyncedAt) > time.Minute {
		t.Errorf("got %+v, %v", o.result, o.err)
	}
	if n := s.seen.passes() - passes; n != 0 || s.descriptors() != 0 {
		t.Errorf("%d passes, %d files open; want none", n, s.descriptors())
	}
	s.mustShip()
}

// TestAColdDatabaseIsHeldNoLongerThanItIs pauses one that is closed and resumes it: a
// process that starts while nobody decides goes on with it.
func TestAColdDatabaseIsHeldNoLongerThanItIs(t *testing.T) {
	s := newStage(t)
	s.watched(t)
	parking := s.window(func(w *host.Window) { w.IdleAfter, w.ColdAfter = 50*time.Millisecond, 100*time.Millisecond })
	s.mustEnd(window(t.Context(), s.h, parking, nil), host.Idle)
	s.eventually("nothing of it is open", func() bool { return s.descriptors() == 0 })
	s.h.Hold(s.d.Name)
	if !s.h.Instructions()[s.d.Name].Held {
		t.Error("it is not held")
	}
	s.mustEnd(window(t.Context(), s.h, parking, nil), host.Idle)
	if s.descriptors() != 0 {
		t.Errorf("%d files open, want none", s.descriptors())
	}
	if err := s.h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.who.goes(true)
	s.h = s.start(t)
	s.mustShip()
}

func TestAParkedDatabaseThatIsHeldShipsNothing(t *testing.T) {
	s := newStage(t)
	s.watched(t)
	s.mustEnd(window(t.Context(), s.h, s.window(func(w *host.Window) { w.IdleAfter = 50 * time.Millisecond }), nil), host.Idle)
	s.h.Hold(s.d.Name)
	s.mustNotShip()
	if n := s.who.heard(); n != 0 {
		t.Errorf("told of %d changes, want none", n)
	}
}

// TestAParkedDatabaseIsInNobodysWay has an application empty its log, without any
// patience, while the database rests.
func TestAParkedDatabaseIsInNobodysWay(t *testing.T) {
	s := newStage(t)
	s.watched(t)
	s.mustEnd(window(t.Context(), s.h, s.window(func(w *host.Window) { w.IdleAfter = 50 * time.Millisecond }), nil), host.Idle)
	s.mustShip()
	s.mustEnd(window(t.Context(), s.h, s.window(func(w *host.Window) { w.IdleAfter = 50 * time.Millisecond }), nil), host.Idle)
	other := sqlitetest.StartShell(t, s.d.Path)
	if got := other.Run(t, ".timeout 0", "PRAGMA wal_checkpoint(TRUNCATE);"); len(got) != 1 || got[0] != "0|0|0" {
		t.Errorf("emptying the log: got %q, want 0|0|0", got)
	}
}

// TestAParkedDatabaseThatIsWrittenOver copies another database over one that rests, in
// place, as it must not be done: its log says nothing of that.
func TestAParkedDatabaseThatIsWrittenOver(t *testing.T) {
	for _, cold := range []time.Duration{0, 100 * time.Millisecond} {
		t.Run("cold after "+cold.String(), func(t *testing.T) {
			s := newStage(t)
			s.watched(t)
			s.mustEnd(window(t.Context(), s.h, s.window(func(w *host.Window) { w.IdleAfter, w.ColdAfter = 50*time.Millisecond, cold }), nil), host.Idle)
			if cold > 0 {
				s.eventually("nothing of it is open", func() bool { return s.descriptors() == 0 })
			}
			other := filepath.Join(t.TempDir(), "other.db")
			shell := sqlitetest.StartShell(t, other)
			shell.Run(t, "CREATE TABLE t(v);", "INSERT INTO t VALUES ('another');", "PRAGMA wal_checkpoint(TRUNCATE);") // of the same size
			shell.Quit()
			s.do("PRAGMA wal_checkpoint(TRUNCATE)") // or it holds all that there is
			if cold > 0 {
				time.Sleep(time.Second) // which has the database looked at
				s.eventually("nothing of it is open again", func() bool { return s.descriptors() == 0 })
			}
			before := s.head()
			if out, err := exec.Command("cp", other, s.d.Path).CombinedOutput(); err != nil {
				t.Fatalf("cp: %v: %s", err, out)
			}
			s.eventually("the other database is shipped", func() bool { return s.head() > before })
		})
	}
}

// TestAParkedDatabaseBehindALink is watched where it is, not where the link is.
func TestAParkedDatabaseBehindALink(t *testing.T) {
	s := newStage(t)
	s.watched(t)
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(s.d.Path, link); err != nil {
		t.Fatal(err)
	}
	s.d.Path = link
	s.mustEnd(window(t.Context(), s.h, s.window(func(w *host.Window) { w.IdleAfter, w.ColdAfter = 50*time.Millisecond, 100*time.Millisecond }), nil), host.Idle)
	time.Sleep(3 * time.Second) // for it to be closed
	s.mustShip()
}
