package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/holdfast-db/holdfast/workflows"
)

// TestLiveContinueAsNewDropsNothing sends signals and updates, each with an id,
// to a workflow that continues as new every ten windows. The ids that were
// handled, by what the workflow says in its log, must be those that were sent;
// and as many must have been handed on from run to run as handled.
func TestLiveContinueAsNewDropsNothing(t *testing.T) {
	t.Parallel()
	const windows, senders, signals, updates = 300, 5, 1000, 300
	h := &liveHost{}
	s := newSite(t, h)
	s.in.Settings = workflows.Settings{Window: 50 * time.Millisecond, Heartbeat: time.Minute}
	s.in.MaxWindows, s.in.UseSearchAttributes = 10, true
	s.syncWorker()
	s.start()
	sent := &ids{}
	var all sync.WaitGroup
	for n := range senders {
		all.Go(func() { s.sendSignals(sent, n, signals/senders) })
		all.Go(func() { s.sendUpdates(sent, n, updates/senders) })
	}
	all.Wait()
	s.signal(workflows.SignalResume, workflows.Message{ID: sent.add("the last")})
	s.eventually(2*time.Minute, "all windows", func() bool { _, w := h.count(); return w >= windows })

	st, runs := s.status(), s.runs()
	if lost, extra := sent.without(s.handled), s.handled.without(sent); len(lost)+len(extra) > 0 {
		t.Errorf("lost: %q; never sent: %q", lost, extra)
	}
	if st.Handled.Signals != signals+1 || st.Handled.Updates != updates {
		t.Errorf("counted %d signals and %d updates, want %d and %d", st.Handled.Signals, st.Handled.Updates, signals+1, updates)
	}
	t.Logf("%d windows, %d runs, %d signals, %d updates, %d passes", st.Windows, len(runs), st.Handled.Signals, st.Handled.Updates, st.Passes)
	if len(runs) < 3 || st.Runs != len(runs) {
		t.Errorf("%d runs of which the workflow counts %d, want 3 or more", len(runs), st.Runs)
	}
	s.wantDescription()
}

// sendSignals sends n signals: of all kinds, mostly alone, some at a time, and
// each pause with a resume after it.
func (s *site) sendSignals(sent *ids, sender, n int) {
	for i := range n {
		id := sent.add(fmt.Sprintf("signal %d of %d", i, sender))
		switch i % 10 {
		case 0:
			s.signal(workflows.SignalPause, workflows.Message{ID: id})
			continue
		case 1:
			s.signal(workflows.SignalResume, workflows.Message{ID: id})
		case 2, 3, 4:
			s.signal(workflows.SignalReport, workflows.Message{ID: id})
			continue
		default:
			s.signal(workflows.SignalWake, workflows.Message{ID: id})
		}
		time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
	}
}

// sendUpdates sends n updates, again when it is told to.
func (s *site) sendUpdates(sent *ids, sender, n int) {
	for i := range n {
		name, arg := workflows.UpdateRegister, any(workflows.Registration{Spec: s.in.Spec})
		switch i % 3 {
		case 1:
			name, arg = workflows.UpdatePause, workflows.Message{}
		case 2:
			name, arg = workflows.UpdateResume, workflows.Message{}
		}
		if err := s.update(name, sent.add(fmt.Sprintf("update %d of %d", i, sender)), arg); err != nil {
			s.t.Errorf("%s: %v", name, err)
		}
	}
}

func (s *site) update(name, id string, arg any) error {
	_, err := s.ask(name, id, arg, nil)
	return err
}

// ask sends an update until it is answered, and returns the run that did.
func (s *site) ask(name, id string, arg, result any) (run string, err error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		var handle client.WorkflowUpdateHandle
		handle, err = s.c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
			WorkflowID: s.id(), UpdateID: id, UpdateName: name, Args: []any{arg}, WaitForStage: client.WorkflowUpdateStageCompleted,
		})
		if err == nil {
			run, err = handle.RunID(), handle.Get(ctx, result)
		}
		var refused *temporal.ApplicationError
		if err == nil || errors.As(err, &refused) && !workflows.RetryLater(err) {
			return run, err
		}
		s.again.Add(1)
		time.Sleep(20 * time.Millisecond)
	}
	return run, err
}

// wantDescription checks what a run that was not the first has to show.
func (s *site) wantDescription() {
	s.t.Helper()
	d, err := s.c.DescribeWorkflow(s.t.Context(), s.id(), "")
	if err != nil {
		s.t.Fatal(err)
	}
	attributes := d.TypedSearchAttributes
	phase, _ := attributes.GetKeyword(workflows.AttributePhase)
	onHost, _ := attributes.GetKeyword(workflows.AttributeHost)
	name, _ := attributes.GetKeyword(workflows.AttributeDatabase)
	if phase != string(workflows.Replicating) || onHost != s.in.Host || name != s.in.Name {
		s.t.Errorf("search attributes: got %s, %s, %s", phase, onHost, name)
	}
	if fields := d.Memo.GetFields(); len(fields) != len(workflows.Memo(s.in.Spec)) {
		s.t.Errorf("memo: got %v", fields)
	}
	value, err := s.c.QueryWorkflow(s.t.Context(), s.id(), "", "__temporal_workflow_metadata")
	if err != nil {
		s.t.Fatal(err)
	}
	var metadata sdkpb.WorkflowMetadata
	if err := value.Get(&metadata); err != nil || !strings.Contains(metadata.CurrentDetails, "### Replicating since") || !strings.Contains(metadata.CurrentDetails, s.in.Replica) {
		s.t.Errorf("current details: got %q, %v", metadata.CurrentDetails, err)
	}
}
