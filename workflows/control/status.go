package control

import (
	"context"
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/workflows"
)

// Status is what the workflow knows, completed by what the service knows.
type Status struct {
	workflows.Status
	Answering bool     // the workflow has answered; else Status is what a listing and the last heartbeat hold
	Attempt   *Attempt // at the window under way
}

// Attempt is the window under way, as the service sees it.
type Attempt struct {
	Number    int32     // counts also those that were no failures
	Worker    string    // that has it, or had it last
	Heartbeat time.Time // the last one
	Next      time.Time // when the next attempt begins; zero while one runs
	Failure   string    // of the one before
}

// Status tells how the database's replication stands, also where no worker
// answers.
func (c *Control) Status(ctx context.Context, name string) (Status, error) {
	description, err := c.describe(ctx, name)
	if err != nil {
		return Status{}, translate(name, err)
	}
	info := description.GetWorkflowExecutionInfo()
	if info.GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return Status{}, notRegistered(name)
	}
	status, err := c.query(ctx, name)
	if err != nil && !errors.Is(err, ErrNoAnswer) {
		return Status{}, err
	}
	if errors.Is(err, ErrNoAnswer) {
		e := entryOf(info)
		status.Status = workflows.Status{Name: name, Host: e.Host, Path: e.Path, Replica: e.Replica, Phase: e.Phase}
	}
	for _, pending := range description.GetPendingActivities() {
		if pending.GetActivityType().GetName() == activities.NameSync {
			status.merge(pending)
		}
	}
	return status, nil
}

func (c *Control) describe(ctx context.Context, name string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	return c.client.DescribeWorkflowExecution(ctx, workflows.WorkflowID(name), "")
}

// running tells whether the database has a workflow that has not ended.
func (c *Control) running(ctx context.Context, name string) (bool, error) {
	description, err := c.describe(ctx, name)
	var gone *serviceerror.NotFound
	if errors.As(err, &gone) {
		return false, nil
	}
	if err != nil {
		return false, translate(name, err)
	}
	return description.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}

// query asks the workflow. ErrNoAnswer says that no worker took the question.
func (c *Control) query(ctx context.Context, name string) (Status, error) {
	within, cancel := context.WithTimeout(ctx, queryWithin)
	defer cancel()
	answer, err := c.client.QueryWorkflow(within, workflows.WorkflowID(name), "", workflows.QueryStatus)
	if err != nil {
		if ctx.Err() == nil && (within.Err() != nil || unanswered(err)) {
			return Status{}, ErrNoAnswer
		}
		return Status{}, translate(name, err)
	}
	status := Status{Answering: true}
	return status, answer.Get(&status.Status)
}

// unanswered tells the ways in which the service says that no worker polls.
func unanswered(err error) bool {
	var (
		deadline     *serviceerror.DeadlineExceeded
		precondition *serviceerror.FailedPrecondition
		unready      *serviceerror.WorkflowNotReady
	)
	return errors.As(err, &deadline) || errors.As(err, &precondition) || errors.As(err, &unready)
}

// merge takes up what a window under way has said since the workflow last heard
// of it.
func (s *Status) merge(pending *workflowpb.PendingActivityInfo) {
	s.Attempt = attemptOf(pending)
	var beat activities.Beat
	if pending.GetHeartbeatDetails() == nil || converter.GetDefaultDataConverter().FromPayloads(pending.GetHeartbeatDetails(), &beat) != nil {
		return
	}
	s.Progress = s.Progress.After(beat.Progress)
	if s.Failures = beat.Failures; beat.Failures == 0 {
		s.Problem = nil
	} else if s.Problem == nil || s.Problem.Type != beat.Type {
		s.Problem = &workflows.Problem{Type: beat.Type, Message: s.Attempt.Failure, At: s.Attempt.Heartbeat}
	}
}

// attemptOf is the attempt that is pending.
func attemptOf(pending *workflowpb.PendingActivityInfo) *Attempt {
	a := &Attempt{
		Number:    pending.GetAttempt(),
		Worker:    pending.GetLastWorkerIdentity(),
		Heartbeat: instant(pending.GetLastHeartbeatTime()),
		Failure:   pending.GetLastFailure().GetMessage(),
	}
	if pending.GetState() == enumspb.PENDING_ACTIVITY_STATE_SCHEDULED && pending.GetAttempt() > 1 {
		a.Next = instant(pending.GetNextAttemptScheduleTime())
	}
	return a
}

// instant is t, or the zero time where the service gave none.
func instant(t interface {
	AsTime() time.Time
	IsValid() bool
}) time.Time {
	if !t.IsValid() {
		return time.Time{}
	}
	return t.AsTime()
}
