package workflows_test

import (
	"testing"
	"time"

	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"github.com/holdfast-db/holdfast/workflows"
)

// TestLiveUpdatesFollowTheSignalsBeforeThem sends a signal and then an update to a
// workflow whose worker comes later, and finds both in its first task.
func TestLiveUpdatesFollowTheSignalsBeforeThem(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, signal, update string
		phase                workflows.Phase
	}{
		{"a resume and then a pause", workflows.SignalResume, workflows.UpdatePause, workflows.Paused},
		{"a pause and then a resume", workflows.SignalPause, workflows.UpdateResume, workflows.Replicating},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, &liveHost{})
			s.in.Settings = workflows.Settings{Interval: 100 * time.Millisecond, Window: 10 * time.Minute}
			s.syncWorker()
			s.queue += "-later"
			s.start()
			s.signal(row.signal, workflows.Message{ID: "first"})
			answered := make(chan error)
			go func() { answered <- s.update(row.update, "second", workflows.Message{}) }()
			time.Sleep(200 * time.Millisecond) // for the service to have the update
			s.work(s.queue, worker.Options{Interceptors: []interceptor.WorkerInterceptor{workflows.SignalsInOrder()}},
				func(w worker.Worker) { workflows.RegisterWorkflows(w) })
			if err := <-answered; err != nil {
				t.Fatal(err)
			}
			s.inPhase(row.phase)
		})
	}
}
