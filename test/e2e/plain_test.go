package e2e_test

import (
	"testing"
	"time"

	historypb "go.temporal.io/api/history/v1"
	sdkpb "go.temporal.io/api/sdk/v1"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/host"
)

// TestPlainForm replicates with a window of 0: no long activity, but a timer and
// a pass each, as anybody would expect of a first look into the history.
func TestPlainForm(t *testing.T) {
	for _, row := range []struct {
		name, yaml string
		flags      []string
	}{
		{name: "by the configuration", yaml: "sync: {interval: 250ms, window: 0}"},
		{name: "by a flag", yaml: "sync: {interval: 250ms}", flags: []string{"--window", "0"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newStand(t, row.yaml, "100")
			s.replicate(row.flags...)
			if got := s.status(s.name)["window_seconds"]; got != 0.0 {
				t.Errorf("window: got %v s, want 0", got)
			}
			eventually(t, 20*time.Second, func() bool { return len(s.orders(activities.NameSync)) > 6 }, func() string { return "too few passes" })
			s.mustPauseBetweenPasses()
			s.run("resume", s.name)
			s.mustShip(t, s.name, 2*time.Second)
			s.mustTakeTurns()
			s.mustNeverHaveFailed()
			s.mustLoseNothing()
			s.mustNotHaveResynced(s.work)
		})
	}
}

// mustPauseBetweenPasses pauses for a while.
func (s *stand) mustPauseBetweenPasses() {
	s.t.Helper()
	s.run("pause", s.name)
	objects, passes := s.objects(), len(s.orders(activities.NameSync))
	time.Sleep(time.Second)
	if n := s.objects() - objects; n != 0 {
		s.t.Errorf("%d objects appeared while it was paused", n)
	}
	if n := len(s.orders(activities.NameSync)) - passes; n != 0 {
		s.t.Errorf("%d passes began while it was paused", n)
	}
	s.waitPhase(s.name, "Paused", time.Second)
}

// mustTakeTurns looks in the history for passes with timers between them.
func (s *stand) mustTakeTurns() {
	s.t.Helper()
	const pause = "timer: next window in 250ms"
	story := s.story()
	s.t.Logf("%q", story)
	turns := 0
	for i := range len(story) - 1 {
		switch {
		case story[i] == pause && story[i+1] == activities.NameSync:
			turns++
		case story[i] == activities.NameSync && story[i+1] == activities.NameSync:
			s.t.Error("two passes without a timer between them")
		}
	}
	if turns < 5 {
		s.t.Errorf("%d times a timer and a pass, want at least 5", turns)
	}
	for _, o := range s.orders(activities.NameSync) {
		if o.closed.GetActivityTaskCompletedEventAttributes() == nil {
			continue // it goes on, or a pause came before it began
		}
		in, res := syncInput(s, o), syncResult(s, o)
		if res.Reason == host.Stopped {
			continue // the pause cut it off
		}
		if in.Length != 0 || res.Reason != host.WindowOver || res.Passes != 1 {
			s.t.Errorf("a Sync of %v: %s, %d passes", time.Duration(in.Length), res.Reason, res.Passes)
		}
	}
}

// story is what the workflow did and was asked, in order.
func (s *stand) story() (all []string) {
	s.t.Helper()
	for _, e := range s.history() {
		switch {
		case e.GetActivityTaskScheduledEventAttributes() != nil:
			all = append(all, e.GetActivityTaskScheduledEventAttributes().ActivityType.Name)
		case e.GetTimerStartedEventAttributes() != nil:
			all = append(all, "timer: "+s.summary(e))
		case e.GetWorkflowExecutionUpdateAcceptedEventAttributes() != nil:
			all = append(all, "update: "+e.GetWorkflowExecutionUpdateAcceptedEventAttributes().AcceptedRequest.GetInput().GetName())
		}
	}
	return all
}

// summary is what the Temporal UI shows of an event.
func (s *stand) summary(e *historypb.HistoryEvent) string {
	s.t.Helper()
	return s.words(e.UserMetadata, (*sdkpb.UserMetadata).GetSummary)
}
