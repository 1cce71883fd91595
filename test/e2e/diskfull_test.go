package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.temporal.io/api/failure/v1"
	"go.temporal.io/sdk/converter"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/test/ledger"
	"github.com/holdfast-db/holdfast/workflows"
)

// ballastSize is more than may wait in the log, so that it goes to the spool, and
// less than twice that, so that the database is not let go when it cannot.
const ballastSize = 1300 << 10

const diskFullSettings = "sync: {interval: 500ms, heartbeat: 3s, wal-limit: 1MiB}\nbackoff: {cap: 2s}"

// ballast commits one large transaction.
func (s *stand) ballast() error {
	db, err := ledger.Open(s.path)
	if err != nil {
		return err
	}
	_, err = db.Exec("CREATE TABLE IF NOT EXISTS ballast (data BLOB); INSERT INTO ballast VALUES (randomblob(?))", ballastSize)
	return errors.Join(err, db.Close())
}

// refusePuts lets the store answer everything but puts.
func (s *stand) refusePuts() { s.front.Before(func(r *http.Request) bool { return !isPut(r) }) }

// TestDiskFullCleansUpAfterTheThirdFailure fills the disk under the spool while
// the store is away.
func TestDiskFullCleansUpAfterTheThirdFailure(t *testing.T) {
	t.Parallel()
	if !asRoot(t) {
		return
	}
	s := newStand(t, diskFullSettings, "2")
	d := s.smallDisk()
	s.replicate()
	s.waitForWindow()
	live, foreign := s.prepareForFullDisk(d)

	var once sync.Once
	s.front.Before(func(r *http.Request) bool {
		once.Do(func() {
			if err := errors.Join(s.ballast(), d.fill()); err != nil {
				t.Error(err)
			}
		})
		return false
	})
	s.run("resume", s.name)
	s.waitPhase(s.name, "DiskFull", 10*time.Second)
	eventually(t, 20*time.Second, func() bool { return s.cleanUps() > 0 }, func() string { return "no CleanUp" })
	if exists(d.path(stale)) {
		t.Error("what the dead attempt left is still there after CleanUp")
	}
	eventually(t, 10*time.Second, func() bool { return len(d.spooled()) == 2 }, func() string { return fmt.Sprintf("there is room, and the spool has %q", d.spooled()) })
	d.mustHold(live)
	s.waitPhase(s.name, "StoreUnavailable", 20*time.Second)
	s.mustHaveCleanedUpOnce()
	if got := s.status(s.name)["clean_ups"]; got != 1.0 {
		t.Errorf("clean_ups: got %v, want 1", got)
	}
	s.mustRecover(d)
	d.mustHold(foreign)
}

// prepareForFullDisk pauses the database and puts onto d what a clean-up must
// remove, and what it must not touch: a live spool file, which the replica lacks,
// and what is foreign.
func (s *stand) prepareForFullDisk(d *disk) (live, foreign map[string]string) {
	s.t.Helper()
	s.run("pause", s.name)
	if err := s.ballast(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, 10*time.Second, func() bool { return len(d.spooled()) == 1 }, func() string { return "nothing was spooled" })
	live = d.contents(d.spooled()...)
	d.leaveStale()
	foreign = d.write("notes.txt", "0000000000000009.0badcafe.tmp", "spool/notes.txt", "spool/0000000000000009.tmp",
		"spool/0000000000000009.0badcafe.tmp.old", "spool/00ABCDEF00000009.0badcafe.tmp", "spool/00000000deadbeef.ltx",
		"spool/0000000000000008.0badcafe.tmp/notes.txt")
	return live, foreign
}

// cleanUps is the number of CleanUp activities that have ended.
func (s *stand) cleanUps() (n int) {
	s.t.Helper()
	for _, o := range s.orders(activities.NameCleanUp) {
		if o.closed != nil {
			n++
		}
	}
	return n
}

// mustHaveCleanedUpOnce looks in the history for one CleanUp, right after the
// third of three attempts that met a full disk, and for what it removed.
func (s *stand) mustHaveCleanedUpOnce() {
	s.t.Helper()
	all := s.orders("")
	at := slices.IndexFunc(all, func(o order) bool { return o.kind == activities.NameCleanUp })
	if n := len(s.orders(activities.NameCleanUp)); n != 1 || at < 1 {
		s.t.Fatalf("%d clean-ups, want 1", n)
	}
	sync, cleanUp := all[at-1], all[at]
	failed := sync.closed.GetActivityTaskFailedEventAttributes()
	if failed == nil || sync.closed.EventId > cleanUp.scheduled.EventId {
		s.t.Fatalf("before the clean-up: got %v, want a failed Sync", sync.closed)
	}
	beat := mustBeDiskFull(s, failed.Failure)
	last := sync.started.GetActivityTaskStartedEventAttributes()
	before := mustBeDiskFull(s, last.LastFailure)
	reported := s.reportedFirst(syncInput(s, sync).Window)
	s.t.Logf("attempt %d: failure %d (before it failure %d, reported first: %s %d), then %s: %s", last.Attempt, beat.Failures, before.Failures,
		reported.Type, reported.Failures, cleanUp.kind, cleanUp.closed.GetEventType())
	if last.Attempt != 3 || beat.Failures != 3 || before.Failures != 2 || reported.Type != activities.DiskFull || reported.Failures != 1 {
		s.t.Error("CleanUp came after other than three attempts that all met a full disk")
	}
	var removed activities.CleanUpResult
	if err := converter.GetDefaultDataConverter().FromPayloads(cleanUp.closed.GetActivityTaskCompletedEventAttributes().GetResult(), &removed); err != nil {
		s.t.Fatal(err)
	}
	if want := (activities.CleanUpResult{Files: 1, Bytes: staleSize}); removed != want {
		s.t.Errorf("removed %+v, want %+v", removed, want)
	}
}

// mustBeDiskFull returns the count that came with a failure.
func mustBeDiskFull(s *stand, f *failure.Failure) (beat activities.Beat) {
	s.t.Helper()
	info := f.GetApplicationFailureInfo()
	if info.GetType() != activities.DiskFull {
		s.t.Fatalf("got failure %v, want %s", f, activities.DiskFull)
	}
	if err := converter.GetDefaultDataConverter().FromPayloads(info.GetDetails(), &beat); err != nil {
		s.t.Fatal(err)
	}
	return beat
}

// reportedFirst is the first report of a window.
func (s *stand) reportedFirst(window int) (r activities.Report) {
	s.t.Helper()
	for _, e := range s.history() {
		a := e.GetWorkflowExecutionSignaledEventAttributes()
		if a.GetSignalName() != workflows.SignalReport {
			continue
		}
		if err := converter.GetDefaultDataConverter().FromPayloads(a.Input, &r); err != nil {
			s.t.Fatal(err)
		}
		if r.Window == window {
			return r
		}
	}
	return activities.Report{}
}

// mustRecover gives the store back and waits until everything is in it.
func (s *stand) mustRecover(d *disk) {
	s.t.Helper()
	s.back()
	s.waitPhase(s.name, "Replicating", 20*time.Second)
	if left := d.spooled(); len(left) > 0 {
		s.t.Errorf("the spool still has %q", left)
	}
	st := s.status(s.name)
	if st["failures"] != 0.0 || st["problem"] != nil || st["spool_bytes"] != 0.0 {
		s.t.Errorf("after the recovery: failures %v, problem %v, %v bytes spooled", st["failures"], st["problem"], st["spool_bytes"])
	}
	s.mustLoseNothing()
	s.mustHoldBallast()
}

// mustHoldBallast compares the large transactions with the restored ones.
func (s *stand) mustHoldBallast() {
	s.t.Helper()
	out := filepath.Join(s.t.TempDir(), "restored.db")
	s.run("restore", s.replicaURL(s.name), "-o", out)
	if got, want := ballastIn(s.t, out), ballastIn(s.t, s.path); !slices.Equal(got, want) || len(want) == 0 {
		s.t.Errorf("%d large transactions are in the restored database, or others than the %d that were committed", len(got), len(want))
	}
}

func ballastIn(t *testing.T, path string) (all []string) {
	t.Helper()
	db, err := ledger.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // only read
	rows, err := db.Query("SELECT data FROM ballast ORDER BY rowid")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // Err is checked
	for rows.Next() {
		var data string
		if err := rows.Scan(&data); err != nil {
			t.Fatal(err)
		}
		all = append(all, data)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestKillsAreNoFailuresOnAFullDisk kills the worker twice between one full disk
// and the next: only the third full disk brings a clean-up.
func TestKillsAreNoFailuresOnAFullDisk(t *testing.T) {
	t.Parallel()
	if !asRoot(t) {
		return
	}
	s := newStand(t, diskFullSettings, "2")
	d := s.smallDisk()
	s.replicate()
	s.waitForWindow()
	d.leaveStale()

	s.front.Before(func(r *http.Request) bool {
		if !isPut(r) || r.ContentLength < ballastSize {
			return true
		}
		if err := d.fill(); err != nil {
			t.Error(err)
		}
		return false
	})
	if err := s.ballast(); err != nil {
		t.Fatal(err)
	}
	s.waitForFailures(1)
	for range 2 {
		s.killInPut()
		if err := os.Remove(d.path("token")); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err) // so that the attempt ends by its heartbeat and the next one has another number
		}
	}
	s.work = s.worker()
	s.waitForFailures(2)
	a, _ := s.pending()
	t.Logf("attempt %d is next, after two full disks and two kills", a.Attempt)
	if a.Attempt < 5 {
		t.Errorf("attempt %d is next, want 5: the kills were to be attempts too", a.Attempt)
	}
	if n := len(s.orders(activities.NameCleanUp)); n > 0 || !exists(d.path(stale)) {
		t.Errorf("%d clean-ups after two failures", n)
	}
	s.killInPut() // whether its window is ended by its token or by its heartbeat
	s.work = s.worker()
	eventually(t, 20*time.Second, func() bool { return s.cleanUps() > 0 }, func() string { return "no CleanUp after the third failure" })
	all := s.orders("")
	at := slices.IndexFunc(all, func(o order) bool { return o.kind == activities.NameCleanUp })
	if beat := mustBeDiskFull(s, all[at-1].closed.GetActivityTaskFailedEventAttributes().GetFailure()); beat.Failures != 3 {
		t.Errorf("CleanUp after %d failures, want 3", beat.Failures)
	}
	s.mustRecover(d)
}

// waitForFailures waits until n consecutive failures are known of the window
// under way, and the next attempt is to come.
func (s *stand) waitForFailures(n int) {
	s.t.Helper()
	var got activities.Beat
	eventually(s.t, 30*time.Second, func() bool {
		_, got = s.pending()
		return got.Failures == n
	}, func() string { return fmt.Sprintf("failures: got %d (%s), want %d", got.Failures, got.Type, n) })
	if got.Type != activities.DiskFull {
		s.t.Fatalf("failure %d is %s, want %s", n, got.Type, activities.DiskFull)
	}
}

// killInPut kills the worker in the middle of its next put; a new one is started
// before that if the last one is dead. The store refuses puts afterwards.
func (s *stand) killInPut() {
	s.t.Helper()
	reached, dead := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.front.Before(func(r *http.Request) bool {
		if !isPut(r) {
			return true
		}
		once.Do(func() { close(reached) })
		<-dead
		return false
	})
	select {
	case <-s.work.done:
		s.work = s.worker()
	default:
	}
	select {
	case <-reached:
	case <-time.After(30 * time.Second):
		s.t.Error("no put")
	}
	s.work.kill()
	s.refusePuts()
	close(dead)
}
