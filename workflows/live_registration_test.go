package workflows_test

import (
	"errors"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/workflows"
)

func (s *site) wantRefusal(err error, typ string) {
	s.t.Helper()
	var refused *temporal.ApplicationError
	if !errors.As(err, &refused) || refused.Type() != typ {
		s.t.Fatalf("got %v, want %s", err, typ)
	}
}

func TestLiveRefusedRegistrationLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, &liveHost{check: notWAL})
	s.syncWorker()
	_, err := s.register(workflows.Registration{Spec: s.in.Spec})
	s.wantRefusal(err, activities.Misconfigured)
	s.eventually(5*time.Second, "the workflow's end", func() bool {
		d, err := s.c.DescribeWorkflowExecution(t.Context(), s.id(), "")
		return err == nil && d.WorkflowExecutionInfo.Status == enumspb.WORKFLOW_EXECUTION_STATUS_FAILED
	})
	s.h.mu.Lock()
	s.h.check = nil
	s.h.mu.Unlock()
	res, err := s.register(workflows.Registration{Spec: s.in.Spec, Wait: true})
	if err != nil || !res.Answering || res.Changed || res.Status.TXID == 0 || res.Status.Phase != workflows.Replicating {
		t.Fatalf("after it was corrected: got %+v, %v", res, err)
	}
	again, err := s.register(workflows.Registration{Spec: s.in.Spec, Wait: true})
	if err != nil || again.Changed || again.Status.Writer != res.Status.Writer || again.Status.Runs != 1 {
		t.Fatalf("a second time: got %+v, %v", again, err)
	}
	other := workflows.Registration{Spec: s.in.Spec}
	other.Path = "/elsewhere.db"
	_, err = s.register(other)
	s.wantRefusal(err, workflows.ErrRefused)
	s.must(workflows.UpdateStop, workflows.StopRequest{})
	if err := s.c.GetWorkflow(t.Context(), s.id(), "").Get(t.Context(), nil); err != nil {
		t.Errorf("after stop: %v", err)
	}
}

func TestLiveRegistrationOfAHostThatDoesNotAnswerHolds(t *testing.T) {
	t.Parallel()
	s := newSite(t, &liveHost{})
	s.in.Host += "-not-there"
	begun := time.Now()
	res, err := s.register(workflows.Registration{Spec: s.in.Spec, Wait: true})
	if err != nil || res.Answering || res.Status.Phase != workflows.HostOffline || res.Status.Failures != 0 {
		t.Fatalf("got %+v, %v", res, err)
	}
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("the answer took %s", took)
	}
}
