package workflows_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/workflows"
)

// liveMaintainer maintains nothing, in real time.
type liveMaintainer struct {
	mu     sync.Mutex
	inputs []activities.MaintainInput
	end    func(ctx context.Context, n int) (activities.MaintainResult, error) // nil: done at once
}

func (m *liveMaintainer) maintain(ctx context.Context, in activities.MaintainInput) (activities.MaintainResult, error) {
	m.mu.Lock()
	m.inputs = append(m.inputs, in)
	n, end := len(m.inputs), m.end
	m.mu.Unlock()
	if end == nil {
		return activities.MaintainResult{Done: activities.Maintained{Merged: 1}, Objects: n}, nil
	}
	return end(ctx, n)
}

func (m *liveMaintainer) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.inputs)
}

// newMaintainedSite is a site with a namespace of its own, so that no other test's worker
// takes its maintenance.
func newMaintainedSite(t *testing.T) *site {
	t.Helper()
	return newSiteIn(t, &liveHost{}, uuid.NewString())
}

// mustMake makes a namespace and waits until it can be used.
func mustMake(t *testing.T, c client.Client, namespace string) {
	t.Helper()
	_, err := c.WorkflowService().RegisterNamespace(t.Context(), &workflowservice.RegisterNamespaceRequest{
		Namespace: namespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
	})
	for begin := time.Now(); err == nil && time.Since(begin) < 30*time.Second; time.Sleep(100 * time.Millisecond) {
		if _, err := c.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Namespace: namespace}); err == nil {
			return
		}
	}
	t.Fatalf("namespace %s cannot be used: %v", namespace, err)
}

// maintain starts a worker for maintenance.
func (s *site) maintain(m *liveMaintainer) (stop func()) {
	s.t.Helper()
	s.in.Maintain = true
	s.in.Pace = workflows.Pace{Puts: 20, Every: activities.Duration(2 * time.Second), Late: activities.Duration(3 * time.Second)}
	return s.work(workflows.MaintenanceQueue, worker.Options{DisableWorkflowWorker: true}, func(w worker.Worker) {
		w.RegisterActivityWithOptions(m.maintain, activity.RegisterOptions{Name: activities.NameMaintain})
	})
}

// TestLiveWhatARunOfMaintenanceCosts counts the events between two windows: those of one
// activity, and of the workflow task that hears of its end.
func TestLiveWhatARunOfMaintenanceCosts(t *testing.T) {
	s := newMaintainedSite(t)
	m := &liveMaintainer{}
	s.maintain(m)
	s.in.Settings = workflows.Settings{Interval: 50 * time.Millisecond, Window: 3 * time.Second}
	s.syncWorker()
	s.start()
	s.eventually(time.Minute, "three runs", func() bool { return m.count() >= 3 })
	s.eventually(time.Minute, "their ends", func() bool { return s.status().Maintenance.Runs >= 3 })
	of := map[string]int{}
	for _, e := range s.history("").Events {
		if a := e.GetActivityTaskScheduledEventAttributes(); a != nil {
			of[a.ActivityType.Name]++
		}
		of[e.EventType.String()]++
	}
	activitiesDone, runs := of[activities.NameSync]+of[activities.NameMaintain], of[activities.NameMaintain]
	if of["TimerStarted"] > 1 || of["ActivityTaskScheduled"] != activitiesDone+of[activities.NameSyncOnce] {
		t.Errorf("%d runs of maintenance made %v; want activities alone", runs, of)
	}
	if most := of["ActivityTaskScheduled"] + 1; of["WorkflowTaskCompleted"] > most {
		t.Errorf("%d workflow tasks for %d activities, want one for the end of each", of["WorkflowTaskCompleted"], most)
	}
}

// TestLiveMaintenanceGoesOnWithoutItsWorker loses a worker in the middle of a run, which
// another one then makes.
func TestLiveMaintenanceOutlivesItsWorker(t *testing.T) {
	s := newMaintainedSite(t)
	silent := &liveMaintainer{end: func(ctx context.Context, _ int) (activities.MaintainResult, error) {
		<-ctx.Done() // without a heartbeat, as a process that was killed
		return activities.MaintainResult{}, ctx.Err()
	}}
	s.maintain(silent)
	s.in.Settings = workflows.Settings{Interval: 50 * time.Millisecond, Window: 3 * time.Second, Heartbeat: time.Second}
	s.syncWorker()
	s.start()
	s.eventually(time.Minute, "a run", func() bool { return silent.count() == 1 })
	silent.mu.Lock()
	silent.end = nil
	silent.mu.Unlock()
	s.eventually(time.Minute, "the end of a run", func() bool { return s.status().Maintenance.Runs == 1 })
	if st := s.status(); st.Maintenance.Failures != 0 || st.Maintenance.Problem != nil || st.Phase != workflows.Replicating {
		t.Errorf("got %s, %+v", st.Phase, st.Maintenance)
	}
}

// recordMaintained is a database that is maintained: beside windows, by a timer while it
// is paused, with a failure, a pin that makes a run begin anew, another retention, and
// over two runs of the workflow.
func recordMaintained(t *testing.T) {
	s := newMaintainedSite(t)
	m := &liveMaintainer{end: func(_ context.Context, n int) (activities.MaintainResult, error) {
		res := activities.MaintainResult{Done: activities.Maintained{Merged: n}, Objects: 9, Oldest: time.Now()}
		switch n {
		case 2:
			res.Left, res.Damage = 3, "ltx/0/7: rubbish"
		case 3:
			time.Sleep(2 * time.Second)
		case 5:
			return res, temporal.NewNonRetryableApplicationError("no right to delete", activities.Misconfigured, nil)
		case 6:
			res.Next = time.Now().Add(time.Second)
		}
		return res, nil
	}}
	s.maintain(m)
	s.in.Settings = workflows.Settings{Interval: 50 * time.Millisecond, Window: 2 * time.Second}
	s.in.MaxWindows = 6
	s.syncWorker()
	s.start()
	s.eventually(time.Minute, "the third run", func() bool { return m.count() == 3 })
	s.signal(workflows.SignalPin, workflows.Pin{ID: "r1", TXID: 7})
	s.eventually(3*time.Minute, "a run that fails", func() bool { return s.status().Maintenance.Failures == 1 })
	s.signal(workflows.SignalUnpin, workflows.Pin{ID: "r1"})
	s.must(workflows.UpdatePause, workflows.Message{})
	changed := s.in.Spec
	changed.Settings.Retention = 48 * time.Hour
	s.must(workflows.UpdateRegister, workflows.Registration{Spec: changed})
	s.eventually(time.Minute, "a run by a timer", func() bool { return m.count() >= 7 })
	s.must(workflows.UpdateResume, workflows.Message{})
	s.eventually(time.Minute, "the second run of the workflow", func() bool { return s.status().Runs >= 2 })
	s.must(workflows.UpdateStop, workflows.StopRequest{})
	s.save("maintained")
}
