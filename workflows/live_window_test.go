package workflows_test

import (
	"context"
	"slices"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/workflows"
)

// TestLiveBackoff is TestBackoff on a real server, where the server keeps the
// time, to a second, and carries the heartbeat's details.
func TestLiveBackoff(t *testing.T) {
	t.Parallel()
	const unit, tolerance = time.Second, 1500 * time.Millisecond
	for _, row := range []struct {
		name     string
		ends     []error
		gaps     []time.Duration // in units, from the first of the ends
		cleanUps []int
	}{
		{
			name: "the script of the design", ends: []error{disk, net, disk, disk, net, disk, ok, disk, ok},
			gaps: []time.Duration{1, 2, 4, 8, 8, 8, 1, 1}, cleanUps: []int{3, 4, 6},
		},
		{
			name: "two kills and one full disk do not clean up", ends: []error{kill, kill, disk, ok},
			gaps: []time.Duration{1 + 1, 1 + 2, 4}, // a second until the silence is noticed
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			h := &liveHost{script: append([]error{ok}, row.ends...)}
			s := newSite(t, h)
			s.in.Settings = workflows.Settings{Interval: unit, Window: 0, Heartbeat: time.Second, BackoffCap: 8 * unit, HostTimeout: time.Second}
			s.syncWorker()
			s.start()
			s.eventually(time.Minute, "the end of the script", func() bool { _, n := h.count(); return n > len(row.ends)+1 })
			h.mu.Lock()
			defer h.mu.Unlock()
			for i, want := range row.gaps {
				got := h.begun[i+2].Sub(h.begun[i+1])
				if want *= unit; got < want-100*time.Millisecond || // the one before may be noted late
					got > want+tolerance {
					t.Errorf("gap %d: got %s, want %s", i, got, want)
				}
			}
			if !slices.Equal(h.cleanUps, row.cleanUps) {
				t.Errorf("clean-ups after %v failures, want %v", h.cleanUps, row.cleanUps)
			}
		})
	}
}

// pending is the Sync that the server has not seen the end of.
func (s *site) pending() (attempt int32, backingOff bool) {
	s.t.Helper()
	d, err := s.c.DescribeWorkflowExecution(s.t.Context(), s.id(), "")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, a := range d.PendingActivities {
		if a.ActivityType.Name == activities.NameSync {
			return a.Attempt, a.State == enumspb.PENDING_ACTIVITY_STATE_SCHEDULED
		}
	}
	return 0, false
}

func TestLivePauseEndsSyncWithinASecondAndResumeBeginsOne(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		fails bool
	}{{"in mid-window", false}, {"in backoff", true}} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			h := &liveHost{}
			if row.fails {
				h.rest = net
			}
			s := newSite(t, h)
			s.in.Settings = workflows.Settings{Interval: 500 * time.Millisecond, Window: 10 * time.Minute}
			s.syncWorker()
			s.start()
			ended := 0 // windows that ended before
			if row.fails {
				s.eventually(20*time.Second, "the fourth attempt to come", func() bool { n, off := s.pending(); return n == 4 && off })
			} else {
				ended = 1
				s.eventually(20*time.Second, "the second window at work", func() bool { n, w := h.count(); return n > 3 && w == 2 })
			}

			sent := time.Now()
			s.signal(workflows.SignalPause, workflows.Message{Reason: "test"})
			s.eventually(10*time.Second, "the end of Sync", func() bool { return s.closed("", activities.NameSync, ended) != nil })
			e := s.closed("", activities.NameSync, ended)
			took := e.EventTime.AsTime().Sub(sent)
			t.Logf("pause: %s after %s", e.EventType, took)
			if took > time.Second {
				t.Errorf("Sync ended %s after the signal", took)
			}
			passes, windows := h.count()
			time.Sleep(2 * time.Second)
			if p, w := h.count(); p != passes || w != windows {
				t.Errorf("%d passes and %d windows after the end", p-passes, w-windows)
			}
			if st := s.status(); st.Phase != workflows.Paused || st.PauseReason != "test" {
				t.Errorf("got %+v", st)
			}

			sent = time.Now()
			s.signal(workflows.SignalResume, nil)
			s.eventually(10*time.Second, "a window", func() bool { _, w := h.count(); return w > windows })
			took = h.begun[windows].Sub(sent)
			t.Logf("resume: Sync after %s", took)
			if took > time.Second {
				t.Errorf("Sync began %s after the signal", took)
			}
			if want := map[bool]int{true: 3, false: 0}[row.fails]; h.windows[windows].Failures != want {
				t.Errorf("%d failures after the resume, want %d", h.windows[windows].Failures, want)
			}
		})
	}
}

func TestLiveWakeEndsABackoffAndNothingElse(t *testing.T) {
	t.Parallel()
	h := &liveHost{rest: net}
	s := newSite(t, h)
	s.in.Settings = workflows.Settings{Interval: 500 * time.Millisecond, Window: 10 * time.Minute}
	s.syncWorker()
	s.start()
	s.eventually(20*time.Second, "the fifth attempt to come", func() bool { n, off := s.pending(); return n == 5 && off })
	h.mu.Lock()
	h.rest = nil
	h.mu.Unlock()
	sent := time.Now()
	s.signal(workflows.SignalWake, nil)
	s.eventually(5*time.Second, "a window", func() bool { _, w := h.count(); return w == 5 })
	if took := h.begun[4].Sub(sent); took > time.Second || h.windows[4].Failures != 4 {
		t.Errorf("Sync began after %s, with %d failures", took, h.windows[4].Failures)
	}
	s.eventually(5*time.Second, "a window in good order", func() bool { _, w := h.count(); return w == 6 })
	s.signal(workflows.SignalWake, nil)
	time.Sleep(500 * time.Millisecond)
	if _, w := h.count(); w != 6 {
		t.Errorf("a wake ended a window in good order")
	}
}

func TestLiveWorkerStopBurnsNoAttempt(t *testing.T) {
	t.Parallel()
	h := &liveHost{}
	s := newSite(t, h)
	s.in.Settings = workflows.Settings{Interval: 200 * time.Millisecond, Window: 10 * time.Minute}
	stop := s.syncWorker()
	s.start()
	s.eventually(20*time.Second, "the second window at work", func() bool { n, w := h.count(); return n > 3 && w == 2 })
	stop()
	s.eventually(5*time.Second, "the end of Sync", func() bool { return s.closed("", activities.NameSync, 1) != nil })
	if res := syncResult(t, s.closed("", activities.NameSync, 1)); res.Reason != host.WorkerStopping || res.Failures != 0 || res.Passes == 0 {
		t.Errorf("got %+v", res)
	}
	s.syncWorker()
	s.eventually(20*time.Second, "the third window", func() bool { _, w := h.count(); return w == 3 })
	for _, e := range s.history("").Events {
		if a := e.GetActivityTaskStartedEventAttributes(); a != nil && a.Attempt != 1 {
			t.Errorf("attempt %d", a.Attempt)
		}
	}
	if got := h.windows[2].Failures; got != 0 {
		t.Errorf("%d failures", got)
	}
}

func TestLiveHostAwayIsShownAndIsNoFailure(t *testing.T) {
	t.Parallel()
	h := &liveHost{}
	s := newSite(t, h)
	s.in.Settings = workflows.Settings{Interval: 200 * time.Millisecond, Window: 10 * time.Minute, HostTimeout: time.Second}
	stop := s.syncWorker()
	s.start()
	s.eventually(20*time.Second, "a window", func() bool { _, w := h.count(); return w == 2 })
	stop()
	s.eventually(10*time.Second, "HostOffline", func() bool { return s.status().Phase == workflows.HostOffline })
	time.Sleep(2500 * time.Millisecond)
	if st := s.status(); st.Phase != workflows.HostOffline || st.Failures != 0 || st.Problem != nil || len(h.cleanUps) > 0 {
		t.Errorf("got %+v, clean-ups %v", st, h.cleanUps)
	}
	s.syncWorker()
	s.eventually(5*time.Second, "Replicating, in the middle of the window", func() bool { return s.status().Phase == workflows.Replicating })
	h.mu.Lock()
	defer h.mu.Unlock()
	if last := h.windows[len(h.windows)-1]; last.Failures != 0 || last.Length == 0 {
		t.Errorf("got %+v", last)
	}
}

// The host time-out is about being taken, not about a backoff that is longer.
func TestLiveBackoffIsNotHostOffline(t *testing.T) {
	t.Parallel()
	h := &liveHost{rest: net}
	s := newSite(t, h)
	s.in.Settings = workflows.Settings{Interval: time.Second, Window: 10 * time.Minute, HostTimeout: time.Second}
	s.syncWorker()
	s.start()
	s.eventually(30*time.Second, "the fourth attempt", func() bool { _, w := h.count(); return w == 4 })
	if e := s.closed("", activities.NameSync, 0); e != nil {
		t.Errorf("Sync ended with %s", e.EventType)
	}
	if st := s.status(); st.Phase != workflows.StoreUnavailable || st.Problem.Message != net.Error() {
		t.Errorf("got %+v", st)
	}
}

// lost is what a host has kept of a window whose process died.
type lost []host.LostWindow

func (l lost) LostWindows() ([]host.LostWindow, error) { return l, nil }
func (lost) ForgetLost(string) error                   { return nil }

// lastBeat is what the service has of the lost window.
func lastBeat(context.Context, string) activities.Beat {
	return activities.Beat{Progress: activities.Progress{TXID: 7, Transactions: 70}}
}

func TestLiveLostWindowIsFollowedWithinASecond(t *testing.T) {
	t.Parallel()
	h := &liveHost{script: []error{ok, kill}}
	s := newSite(t, h)
	s.in.Settings = workflows.Settings{Interval: 100 * time.Millisecond, Window: 10 * time.Minute, Heartbeat: time.Minute}
	s.syncWorker()
	s.start()
	s.eventually(20*time.Second, "the window that falls silent", func() bool { _, w := h.count(); return w == 2 })
	time.Sleep(200 * time.Millisecond)
	came := time.Now()
	n, err := activities.EndLostWindows(t.Context(), s.c, lost{{Name: s.in.Name, TaskToken: h.windows[1].TaskToken, Failures: 2}}, lastBeat)
	if n != 1 || err != nil {
		t.Fatalf("ended %d, %v", n, err)
	}
	s.eventually(5*time.Second, "the next window", func() bool { _, w := h.count(); return w == 3 })
	if took := h.begun[2].Sub(came); took > time.Second {
		t.Errorf("the next window began after %s", took)
	} else {
		t.Logf("the next window began after %s", took)
	}
	if res := syncResult(t, s.closed("", activities.NameSync, 1)); res.Reason != host.Lost || res.Failures != 2 || res.Transactions != 70 {
		t.Errorf("got %+v", res)
	}
	if h.windows[2].Failures != 2 || h.windows[2].Name != s.in.Name {
		t.Errorf("%d failures are carried, want 2", h.windows[2].Failures)
	}
	n, err = activities.EndLostWindows(t.Context(), s.c, lost{{Name: s.in.Name, TaskToken: h.windows[1].TaskToken}}, lastBeat)
	if n != 0 || err != nil {
		t.Errorf("the same token again: ended %d, %v", n, err)
	}
}
