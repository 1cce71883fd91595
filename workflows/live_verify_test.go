package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/workflows"
)

// liveVerifier finds what it is told to, and asks the database's workflow for help as a
// worker does.
type liveVerifier struct {
	s     *site
	finds []activities.VerifyResult
}

func (v *liveVerifier) lookUp(context.Context, string) (activities.Known, error) {
	st := v.s.status()
	return activities.Known{Host: st.Host, Replica: st.Replica, TXID: st.TXID, Verified: st.Verified}, nil
}

func (v *liveVerifier) verify(context.Context, activities.VerifyInput) (res activities.VerifyResult, err error) {
	if len(v.finds) == 0 {
		return res, errors.New("nothing more is to be found")
	}
	res, v.finds = v.finds[0], v.finds[1:]
	return res, nil
}

func (v *liveVerifier) repair(_ context.Context, in activities.RepairInput) (m activities.Mending, err error) {
	for _, d := range in.Damaged {
		m.Aside = append(m.Aside, d.Key)
	}
	return m, nil
}

func (v *liveVerifier) snapshot(_ context.Context, in activities.SnapshotInput) (activities.Progress, error) {
	var synced workflows.Synced
	handle, err := v.s.c.UpdateWorkflow(context.Background(), client.UpdateWorkflowOptions{
		WorkflowID: v.s.id(), UpdateName: workflows.UpdateSnapshot, WaitForStage: client.WorkflowUpdateStageCompleted,
		Args: []any{workflows.SnapshotRequest{After: in.After}},
	})
	if err == nil {
		err = handle.Get(context.Background(), &synced)
	}
	return synced.Progress, err
}

// verifies starts a worker that verifies.
func (s *site) verifies(finds ...activities.VerifyResult) {
	s.t.Helper()
	v := &liveVerifier{s: s, finds: finds}
	s.work(workflows.MaintenanceQueue, worker.Options{DisableWorkflowWorker: true}, func(w worker.Worker) {
		for name, do := range map[string]any{
			activities.NameLookUp: v.lookUp, activities.NameVerify: v.verify, activities.NameRepair: v.repair, activities.NameSnapshot: v.snapshot,
		} {
			w.RegisterActivityWithOptions(do, activity.RegisterOptions{Name: name})
		}
	})
}

// verify runs VerifyReplica to its end.
func (s *site) verify(in workflows.VerifyRequest) (answer workflows.VerifyAnswer, err error) {
	s.t.Helper()
	in.Name = s.in.Name
	options := workflows.VerifyOptions(in)
	options.TaskQueue = s.queue
	run, err := s.c.ExecuteWorkflow(s.t.Context(), options, workflows.TypeVerifyReplica, in)
	if err == nil {
		err = run.Get(s.t.Context(), &answer)
	}
	return answer, err
}

// TestLiveAVerificationRepairs finds a damaged object, has the database put a snapshot
// while a window runs, and tells it.
func TestLiveAVerificationRepairs(t *testing.T) {
	s := newSite(t, &liveHost{})
	s.syncWorker()
	s.start()
	s.windows(2)
	s.verifies(broken(true), sound(), broken(false))
	answer, err := s.verify(workflows.VerifyRequest{Repair: true})
	if err != nil || !answer.OK || answer.Repair == nil || answer.Repair.Snapshot == 0 || len(answer.Repair.Mending.Aside) != 1 {
		t.Fatalf("got %+v, %v", answer, err)
	}
	s.eventually(10*time.Second, "the database hears of it", func() bool { return s.status().Verified.Proven != nil })
	if st := s.status(); st.Verified.Repair == "" || st.Phase != workflows.Replicating {
		t.Errorf("got %+v", st)
	}
	_, err = s.verify(workflows.VerifyRequest{})
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || app.Type() != workflows.ErrNotProven {
		t.Errorf("got %v, want that it is not proven", err)
	}
	s.eventually(10*time.Second, "the database hears of that", func() bool { return s.status().Verified.Problem != "" })
	mustReplay(t, s.historyOf(workflows.VerifyID(s.in.Name)))
}

// recordVerified is a verification that repairs, and the database that it is about.
func recordVerified(t *testing.T) {
	s := newSite(t, &liveHost{})
	s.syncWorker()
	s.start()
	s.windows(2)
	s.verifies(broken(true), sound())
	if _, err := s.verify(workflows.VerifyRequest{Repair: true, Check: "SELECT 1", Budget: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	s.eventually(10*time.Second, "the database hears of it", func() bool { return s.status().Verified.Proven != nil })
	s.saveOne("verify-1", workflows.VerifyID(s.in.Name))
	s.must(workflows.UpdateStop, workflows.StopRequest{})
	s.save("verified")
}
