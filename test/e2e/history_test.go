package e2e_test

import (
	"context"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/workflows"
)

// order is what the workflow's history tells of one activity.
type order struct {
	kind      string // the activity's type
	scheduled *historypb.HistoryEvent
	started   *historypb.HistoryEvent // of the last attempt; the server writes it when that has ended
	closed    *historypb.HistoryEvent // nil while it goes on
}

// history is all events of the workflow's newest run.
func (s *stand) history() (events []*historypb.HistoryEvent) {
	s.t.Helper()
	it := s.client.GetWorkflowHistory(context.Background(), workflows.WorkflowID(s.name), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for it.HasNext() {
		e, err := it.Next()
		if err != nil {
			s.t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

// orders are the activities of the given type, oldest first; all of them without
// one.
func (s *stand) orders(kind string) (all []order) {
	s.t.Helper()
	known := map[int64]int{} // by the id of the scheduled event
	for _, e := range s.history() {
		if a := e.GetActivityTaskScheduledEventAttributes(); a != nil {
			if kind == "" || kind == a.ActivityType.Name {
				known[e.EventId] = len(all)
				all = append(all, order{kind: a.ActivityType.Name, scheduled: e})
			}
			continue
		}
		if a := e.GetActivityTaskStartedEventAttributes(); a != nil {
			if i, ok := known[a.ScheduledEventId]; ok {
				all[i].started = e
			}
			continue
		}
		if i, ok := known[closes(e)]; ok {
			all[i].closed = e
		}
	}
	return all
}

// closes returns which activity e ends, 0 for none.
func closes(e *historypb.HistoryEvent) int64 {
	return e.GetActivityTaskCompletedEventAttributes().GetScheduledEventId() +
		e.GetActivityTaskCanceledEventAttributes().GetScheduledEventId() +
		e.GetActivityTaskFailedEventAttributes().GetScheduledEventId() +
		e.GetActivityTaskTimedOutEventAttributes().GetScheduledEventId()
}

// signalled returns the newest event of a signal, nil when there is none.
func (s *stand) signalled(name string) (last *historypb.HistoryEvent) {
	s.t.Helper()
	for _, e := range s.history() {
		if e.GetWorkflowExecutionSignaledEventAttributes().GetSignalName() == name {
			last = e
		}
	}
	return last
}

// pending is the window under way as the service sees it, nil when there is
// none, with its last heartbeat.
func (s *stand) pending() (*workflowpb.PendingActivityInfo, activities.Beat) {
	s.t.Helper()
	d, err := s.client.DescribeWorkflowExecution(s.t.Context(), workflows.WorkflowID(s.name), "")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, a := range d.PendingActivities {
		if a.ActivityType.Name == activities.NameSync {
			var beat activities.Beat
			if a.HeartbeatDetails != nil {
				if err := converter.GetDefaultDataConverter().FromPayloads(a.HeartbeatDetails, &beat); err != nil {
					s.t.Fatal(err)
				}
			}
			return a, beat
		}
	}
	return nil, activities.Beat{}
}

// waitForWindow waits until a long window runs that no failure precedes, and
// ships.
func (s *stand) waitForWindow() {
	s.t.Helper()
	eventually(s.t, 20*time.Second, func() bool {
		all := s.orders(activities.NameSync)
		in := syncInput(s, all[len(all)-1])
		a, _ := s.pending()
		return in.Failures == 0 && in.Length > 0 && a.GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED
	}, func() string { return "no window is under way" })
	s.mustShip(s.t, s.name, 5*time.Second)
}

// syncInput is what a Sync was asked for.
func syncInput(s *stand, o order) (in activities.SyncInput) {
	s.t.Helper()
	payloads := o.scheduled.GetActivityTaskScheduledEventAttributes().Input
	if err := converter.GetDefaultDataConverter().FromPayloads(payloads, &in); err != nil {
		s.t.Fatal(err)
	}
	return in
}

// syncResult is what a Sync said that completed.
func syncResult(s *stand, o order) (res activities.SyncResult) {
	s.t.Helper()
	done := o.closed.GetActivityTaskCompletedEventAttributes()
	if done == nil {
		s.t.Fatalf("Sync ended with %v, want it completed", o.closed)
	}
	if err := converter.GetDefaultDataConverter().FromPayloads(done.Result, &res); err != nil {
		s.t.Fatal(err)
	}
	return res
}
