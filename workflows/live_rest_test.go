package workflows_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/workflows"
)

// inPhase waits for a phase: for longer than a task that the service has handed to nobody
// takes to be missed.
func (s *site) inPhase(p workflows.Phase) {
	s.t.Helper()
	var st workflows.Status
	defer func() {
		if st.Phase != p {
			s.t.Logf("its status is %+v", st)
		}
	}()
	s.eventually(3*time.Minute, string(p), func() bool { st = s.status(); return st.Phase == p })
}

// newIdle is a database that has come to rest.
func newIdle(t *testing.T) *site {
	t.Helper()
	s := newSite(t, &liveHost{idle: true})
	s.in.Settings = workflows.Settings{Interval: 100 * time.Millisecond, Window: 10 * time.Minute, BackoffCap: time.Second, HostTimeout: time.Second}
	s.in.UseSearchAttributes, s.in.Maintain = true, true
	s.syncWorker()
	return s
}

// TestLiveARestEndsWithAWake parks a database, pauses it, and wakes it.
func TestLiveARestEndsWithAWake(t *testing.T) {
	t.Parallel()
	s := newIdle(t)
	s.start()
	s.restAndWake()
	if st := s.status(); st.Phase != workflows.Replicating || st.Failures != 0 {
		t.Errorf("got %+v", st)
	}
}

// restAndWake wakes a resting database twice: once to rest on, once for good. A pause
// between them is told to the host, and not ended by a wake.
func (s *site) restAndWake() {
	s.t.Helper()
	s.inPhase(workflows.Idle)
	_, before := s.h.count()
	s.signal(workflows.SignalWake, workflows.Message{ID: "w1"})
	s.windows(before + 1)
	s.inPhase(workflows.Idle)
	s.must(workflows.UpdatePause, workflows.Message{})
	s.signal(workflows.SignalWake, nil)
	s.inPhase(workflows.Paused)
	s.must(workflows.UpdateResume, workflows.Message{})
	s.inPhase(workflows.Idle)
	s.h.become(nil, false)
	_, before = s.h.count()
	s.signal(workflows.SignalWake, nil)
	s.windows(before + 1)
	s.inPhase(workflows.Replicating)
}

// recordParked is a database at rest: woken, paused, registered again, continued as new
// and stopped there.
func recordParked(t *testing.T) {
	s := newIdle(t)
	s.in.MaxWindows = 6
	if _, err := s.register(workflows.Registration{Spec: s.in.Spec, Wait: true}); err != nil {
		t.Fatal(err)
	}
	s.restAndWake()
	s.h.become(nil, true)
	s.must(workflows.UpdateSync, workflows.Message{})
	s.must(workflows.UpdatePause, workflows.Message{})
	s.must(workflows.UpdateResume, workflows.Message{})
	s.inPhase(workflows.Idle)
	for id := 'a'; s.status().Runs < 2; id++ {
		_, before := s.h.count()
		s.signal(workflows.SignalWake, workflows.Message{ID: string(id)})
		s.windows(before + 1)
		s.inPhase(workflows.Idle)
	}
	s.must(workflows.UpdateRegister, workflows.Registration{Spec: s.in.Spec})
	s.inPhase(workflows.Idle)
	s.must(workflows.UpdateStop, workflows.StopRequest{})
	s.save("parked")
}

// recordMoved is a database whose file is gone, that is registered at another path, whose
// store is away until a sync succeeds, and that is misconfigured until it is registered
// with another replica.
func recordMoved(t *testing.T) {
	s := newIdle(t)
	s.h.become(nil, false)
	s.start()
	s.windows(2)
	s.h.become(missing, false)
	s.inPhase(workflows.DatabaseMissing)
	_, before := s.h.count()
	s.windows(before + 2)
	s.h.become(nil, false)
	moved := s.in.Spec
	moved.Path = filepath.Join(filepath.Dir(moved.Path), "moved.db")
	s.must(workflows.UpdateRegister, workflows.Registration{Spec: moved, Move: true, Wait: true})
	s.inPhase(workflows.Replicating)
	s.h.become(net, false)
	s.inPhase(workflows.StoreUnavailable)
	s.h.become(nil, false)
	s.must(workflows.UpdateSync, workflows.Message{})
	s.inPhase(workflows.Replicating)
	s.h.become(notWAL, false)
	s.inPhase(workflows.Misconfigured)
	s.h.become(nil, false)
	moved.Replica += "-2"
	s.must(workflows.UpdateRegister, workflows.Registration{Spec: moved})
	s.inPhase(workflows.Replicating)
	s.must(workflows.UpdateStop, workflows.StopRequest{SkipFinalPass: true})
	s.save("moved")
}
