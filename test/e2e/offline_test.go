package e2e_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

// TestAStoppedWorkersWindowIsNoFailure ends the worker in order in the middle of
// a window, and starts another one.
func TestAStoppedWorkersWindowIsNoFailure(t *testing.T) {
	for _, row := range []struct {
		name string
		stop func(s *stand) // sends SIGTERM
	}{
		{"between two passes", func(s *stand) { s.work.signal(s.t, syscall.SIGTERM) }},
		{"in a put", (*stand).stopInPut},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newStand(t, "sync: {interval: 200ms}", gently)
			s.replicate()
			s.waitForWindow()
			first, begun := s.work, time.Now()
			row.stop(s)
			select {
			case <-first.done:
			case <-time.After(30 * time.Second):
				t.Fatal("the worker is still there 30 s after SIGTERM")
			}
			t.Logf("the worker ended %v after SIGTERM, with status %d", time.Since(begun).Round(time.Millisecond), first.ProcessState.ExitCode())
			if code := first.ProcessState.ExitCode(); code != 0 {
				t.Errorf("the worker ended with status %d", code)
			}
			s.mustHaveStopped()
			if st := s.status(s.name); st["answering"] != false || st["failures"] != 0.0 || st["problem"] != nil {
				t.Errorf("without a worker: answering %v, failures %v, problem %v", st["answering"], st["failures"], st["problem"])
			}
			s.mustGoOn()
			s.mustNeverHaveFailed()
			s.mustLoseNothing()
			s.mustNotHaveResynced(first, s.work)
		})
	}
}

// stopInPut sends SIGTERM while the store takes a second over a put.
func (s *stand) stopInPut() {
	reached, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.front.Before(func(r *http.Request) bool {
		if isPut(r) {
			once.Do(func() { close(reached) })
			<-release
		}
		return true
	})
	<-reached
	s.work.signal(s.t, syscall.SIGTERM)
	time.Sleep(time.Second)
	close(release)
	s.back()
}

// gently is a rate at which the application does not fill a log, and so start it
// over, in the seconds for which a worker is away.
const gently = "20"

// mustGoOn starts a worker, which ships within 2 s and without all pages.
func (s *stand) mustGoOn() {
	s.t.Helper()
	r := s.replicaOf(s.name)
	if !logContinues(s.t, r, s.path) {
		s.t.Fatal("the application has started its log over, so nothing is shown")
	}
	before, begun := headOf(s.t, r), time.Now()
	s.work = s.worker()
	eventually(s.t, 20*time.Second, func() bool { return headOf(s.t, r) > before }, func() string { return "nothing is shipped" })
	took := time.Since(begun)
	s.t.Logf("the next worker ships %v after its start", took.Round(time.Millisecond))
	if took > 2*time.Second {
		s.t.Errorf("the next worker ships %v after its start, want 2 s at most", took)
	}
}

// mustHaveStopped looks for how the last window ended.
func (s *stand) mustHaveStopped() {
	s.t.Helper()
	all := s.orders(activities.NameSync)
	last := all[len(all)-1]
	if last.closed == nil {
		s.t.Fatal("Sync goes on after the end of its worker")
	}
	res := syncResult(s, last)
	attempt := last.started.GetActivityTaskStartedEventAttributes().Attempt
	s.t.Logf("Sync: %s, %s, attempt %d, %d passes", last.closed.EventType, res.Reason, attempt, res.Passes)
	if res.Reason != host.WorkerStopping || res.Failures != 0 || res.Passes == 0 || attempt != 1 {
		s.t.Errorf("the window of a stopped worker: got %+v at attempt %d", res, attempt)
	}
}

// mustNeverHaveFailed fails if a failure shows anywhere.
func (s *stand) mustNeverHaveFailed() {
	s.t.Helper()
	for _, o := range s.orders("") {
		if a := o.started.GetActivityTaskStartedEventAttributes(); a != nil && (a.Attempt != 1 || a.LastFailure != nil) {
			s.t.Errorf("%s took %d attempts: %v", o.kind, a.Attempt, a.LastFailure)
		}
		if o.closed.GetActivityTaskFailedEventAttributes() != nil {
			s.t.Errorf("%s: %v", o.kind, o.closed)
		}
	}
	if a, beat := s.pending(); a.GetAttempt() > 1 || beat.Failures > 0 {
		s.t.Errorf("Sync is at attempt %d with %d failures", a.Attempt, beat.Failures)
	}
	if st := s.status(s.name); st["failures"] != 0.0 || st["problem"] != nil || st["clean_ups"] != 0.0 {
		s.t.Errorf("status: failures %v, problem %v, clean-ups %v", st["failures"], st["problem"], st["clean_ups"])
	}
}

// TestAHostThatIsAwayIsNoFailure ends the only worker of a host while one of
// another host still serves workflows.
func TestAHostThatIsAwayIsNoFailure(t *testing.T) {
	const patience = 2 * time.Second
	s := newStand(t, "", gently)
	s.otherHost()
	s.work = s.worker()
	first := s.work
	s.register(workflows.Settings{Interval: 200 * time.Millisecond, Window: 10 * time.Minute, HostTimeout: patience})
	s.waitPhase(s.name, "Replicating", 20*time.Second)
	s.waitForWindow()
	if code := first.interrupt(t, 20*time.Second); code != 0 {
		t.Errorf("the worker ended with status %d", code)
	}
	stopped := time.Now()
	s.waitPhase(s.name, "HostOffline", 20*time.Second)
	t.Logf("HostOffline %v after the end of the worker, with a patience of %v", time.Since(stopped).Round(time.Millisecond), patience)
	s.waitLabel("HoldfastPhase", "HostOffline")
	eventually(t, 20*time.Second, func() bool { return s.untaken() >= 2 }, func() string { return "nobody looks for the host again" })
	if st := s.status(s.name); st["phase"] != "HostOffline" || st["answering"] != true || st["failures"] != 0.0 || st["problem"] != nil {
		t.Errorf("got phase %v, failures %v, problem %v", st["phase"], st["failures"], st["problem"])
	}
	s.mustGoOn()
	s.waitPhase(s.name, "Replicating", 10*time.Second)
	s.mustNeverHaveFailed()
	s.mustLoseNothing()
	s.mustNotHaveResynced(first, s.work)
}

// otherHost starts a worker of a host that has no database.
func (s *stand) otherHost() {
	s.t.Helper()
	file := filepath.Join(s.dir, "other.yml")
	if err := os.WriteFile(file, []byte("host: other-"+s.host[len(s.host)-10:]+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	p := s.start(nil, "holdfast-worker", "--config", file)
	eventually(s.t, 10*time.Second, func() bool { return strings.Contains(p.out.String(), "worker started") }, func() string { return "the other host has no worker" })
}

// register registers the database with settings that no configuration has.
func (s *stand) register(settings workflows.Settings) {
	s.t.Helper()
	_, err := control.New(s.client, s.namespace).Register(s.t.Context(), workflows.Registration{
		Spec: workflows.Spec{Name: s.name, Host: s.host, Path: s.path, Replica: s.configured(), Settings: settings}, Wait: true,
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// configured is the database's replica as the worker reaches it.
func (s *stand) configured() string {
	return strings.ReplaceAll(s.replicaURL(s.name), s.stack.Blob, s.front.URL)
}

// untaken is the number of windows that no worker took in time.
func (s *stand) untaken() (n int) {
	s.t.Helper()
	for _, o := range s.orders(activities.NameSync) {
		timeout := o.closed.GetActivityTaskTimedOutEventAttributes().GetFailure().GetTimeoutFailureInfo()
		if timeout.GetTimeoutType() == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START {
			n++
		}
	}
	return n
}

// TestCancellingTheWorkflowClosesTheDatabase cancels from outside, as anybody can
// in the Temporal UI, and registers the database again.
func TestCancellingTheWorkflowClosesTheDatabase(t *testing.T) {
	for _, row := range []struct {
		name    string
		prepare func(s *stand)
	}{
		{"in mid-window", func(*stand) {}},
		{"in a backoff", func(s *stand) {
			s.away()
			s.waitForBackoff(time.Second)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newStand(t, "sync: {interval: 200ms}", gently)
			s.replicate()
			s.waitForWindow()
			row.prepare(s)
			s.mustCancel()
			s.back()
			s.mustBeClosed()
			s.run("register", s.path, "--name", s.name, "--host", s.host)
			s.waitPhase(s.name, "Replicating", 20*time.Second)
			s.mustNeverHaveFailed()
			s.mustLoseNothing()
			s.mustNotHaveResynced(s.work)
		})
	}
}

// mustCancel cancels the workflow and waits for its end.
func (s *stand) mustCancel() {
	s.t.Helper()
	begun := time.Now()
	if err := s.client.CancelWorkflow(s.t.Context(), workflows.WorkflowID(s.name), ""); err != nil {
		s.t.Fatal(err)
	}
	err := s.client.GetWorkflow(s.t.Context(), workflows.WorkflowID(s.name), "").Get(s.t.Context(), nil)
	if canceled := new(temporal.CanceledError); !errors.As(err, &canceled) {
		s.t.Errorf("the workflow ended with %v, want it canceled", err)
	}
	s.mustHaveBeenCancelled(begun, time.Now())
}

// mustBeClosed fails if anything goes on after the end of the workflow.
func (s *stand) mustBeClosed() {
	s.t.Helper()
	objects := s.objects()
	if st := s.try("status", s.name); st.code != 1 || !strings.Contains(st.stderr, "not registered") {
		s.t.Errorf("status of a cancelled one: exit status %d, %s", st.code, st.stderr)
	}
	if held(s.t, filepath.Join(s.dir, ".orders.db-holdfast", "lock")) {
		s.t.Error("the worker still holds the database")
	}
	time.Sleep(time.Second)
	if n := s.objects() - objects; n != 0 {
		s.t.Errorf("%d objects appeared after the end", n)
	}
}

// mustHaveBeenCancelled looks at how the last window ended, and that the database
// was released.
func (s *stand) mustHaveBeenCancelled(cancelled, closed time.Time) {
	s.t.Helper()
	all := s.orders("")
	release := all[len(all)-1]
	windows := s.orders(activities.NameSync)
	sync := windows[len(windows)-1]
	took := sync.closed.GetEventTime().AsTime().Sub(cancelled)
	s.t.Logf("Sync: %s %v after the cancellation; then %s: %s; the workflow ended after %v", sync.closed.GetEventType(), took.Round(time.Millisecond),
		release.kind, release.closed.GetEventType(), closed.Sub(cancelled).Round(time.Millisecond))
	if took > time.Second {
		s.t.Errorf("Sync ended %v after the cancellation, want 1 s at most", took)
	}
	if release.kind != activities.NameRelease || release.closed.GetActivityTaskCompletedEventAttributes() == nil {
		s.t.Errorf("the last activity is %s, %v, want a completed Release", release.kind, release.closed)
	}
	for _, o := range all {
		if o.closed.GetActivityTaskFailedEventAttributes() != nil {
			s.t.Errorf("%s failed: %v", o.kind, o.closed)
		}
	}
}

// held tells whether a process holds the lock on a file.
func held(t *testing.T, name string) bool {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // with it goes the lock
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil
}
