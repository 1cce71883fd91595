package workflows_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/workflows"
)

// liveRestorer restores nothing, in real time: each attempt meets the script's next
// end, and lasts when that is over, until it is cancelled.
type liveRestorer struct {
	mu        sync.Mutex
	occupant  string
	script    []error
	attempts  int
	discarded int
}

func (l *liveRestorer) CheckRestore(context.Context, host.Restoring) (string, error) {
	return l.occupant, nil
}

func (l *liveRestorer) Restore(ctx context.Context, _ host.Restoring) (restore.Result, error) {
	l.mu.Lock()
	l.attempts++
	if len(l.script) > 0 {
		defer l.mu.Unlock()
		return restore.Result{TXID: 7, Bytes: 4096, Digested: true}, pop(&l.script)
	}
	l.mu.Unlock()
	<-ctx.Done()
	return restore.Result{}, ctx.Err()
}

func (l *liveRestorer) DiscardRestore(context.Context, host.Restoring) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.discarded++
	return nil
}

func (l *liveRestorer) begun() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.attempts
}

// restoreWorker starts the restore worker, which does as the script says.
func (s *site) restoreWorker(script ...error) {
	s.t.Helper()
	s.rest.occupant, s.rest.script = s.in.Name, script
	s.work(workflows.RestoreQueue(s.in.Host), worker.Options{DisableWorkflowWorker: true, MaxHeartbeatThrottleInterval: time.Second},
		func(w worker.Worker) {
			workflows.RegisterRestoreActivities(w, &activities.RestoreActivities{Host: s.rest})
		})
}

// restore starts a restore over the site's database.
func (s *site) restore(change func(*workflows.RestoreRequest)) client.WorkflowRun {
	s.t.Helper()
	r := workflows.RestoreRequest{
		Name: s.in.Name, Host: s.in.Host, Path: s.in.Path, Replica: s.in.Replica, Database: s.in.Name, Force: true,
	}
	change(&r)
	options := workflows.RestoreOptions("holdfast/restore/"+uuid.NewString(), r, false)
	options.TaskQueue = s.queue
	run, err := s.c.ExecuteWorkflow(s.t.Context(), options, workflows.TypeRestoreDatabase, r)
	if err != nil {
		s.t.Fatal(err)
	}
	return run
}

func (s *site) historyOf(id string) *historypb.History {
	s.t.Helper()
	h := &historypb.History{}
	for it := s.c.GetWorkflowHistory(context.Background(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
		event, err := it.Next()
		if err != nil {
			s.t.Fatal(err)
		}
		h.Events = append(h.Events, event)
	}
	return h
}

func (s *site) saveOne(name, id string) {
	s.t.Helper()
	s.write(name, s.historyOf(id))
}

// restoredOver is a restore over a registered database, which a store that is away
// keeps waiting.
func restoredOver(t *testing.T) (s *site, id string, res workflows.Restored) {
	t.Helper()
	s = newSite(t, &liveHost{})
	s.restoreWorker(net, ok)
	s.syncWorker()
	s.start()
	s.windows(2)
	run := s.restore(func(*workflows.RestoreRequest) {})
	if err := run.Get(t.Context(), &res); err != nil {
		t.Fatal(err)
	}
	return s, run.GetID(), res
}

func TestARestoreOverALiveDatabase(t *testing.T) {
	s, id, res := restoredOver(t)
	if res.TXID != 7 || res.Replaced != s.in.Name || s.rest.begun() != 2 {
		t.Errorf("got %+v after %d attempts", res, s.rest.begun())
	}
	_, before := s.h.count()
	s.eventually(time.Minute, "that it goes on", func() bool { _, w := s.h.count(); return w >= before && s.status().Phase == workflows.Replicating })
	mustReplay(t, s.historyOf(id))
}

// cancelledRestore is a restore that is cancelled while an attempt is at work.
func cancelledRestore(t *testing.T) (s *site, id string, err error) {
	t.Helper()
	s = newSite(t, &liveHost{})
	s.restoreWorker()
	s.syncWorker()
	s.start()
	s.windows(2)
	run := s.restore(func(r *workflows.RestoreRequest) { r.TXID = 7 })
	s.eventually(time.Minute, "an attempt", func() bool { return s.rest.begun() > 0 })
	s.eventually(time.Minute, "a pause", func() bool { return s.status().Phase == workflows.Paused })
	if err := s.c.CancelWorkflow(t.Context(), run.GetID(), ""); err != nil {
		t.Fatal(err)
	}
	return s, run.GetID(), run.Get(t.Context(), nil)
}

func TestARestoreIsCancelledWhileItRuns(t *testing.T) {
	begun := time.Now()
	s, id, err := cancelledRestore(t)
	if !temporal.IsCanceledError(err) || s.rest.discarded != 1 {
		t.Errorf("got %v after %d clean-ups, want a cancellation after one", err, s.rest.discarded)
	}
	s.eventually(time.Minute, "that it goes on", func() bool { return s.status().Phase == workflows.Replicating })
	if s.status().Paused || time.Since(begun) > time.Minute {
		t.Errorf("paused %t after %v", s.status().Paused, time.Since(begun))
	}
	mustReplay(t, s.historyOf(id))
}

// recordRestores are two restores over a live database: one that goes well, and one
// that is cancelled.
func recordRestores(t *testing.T) {
	s, id, _ := restoredOver(t)
	s.saveOne("restore-1", id)
	s.must(workflows.UpdateStop, workflows.StopRequest{SkipFinalPass: true})
	s.save("held")
	s, id, _ = cancelledRestore(t)
	s.saveOne("restore-2", id)
}
