package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/superfly/ltx"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/workflows"
)

// ErrUnderWay says that a verification of the database runs already.
var ErrUnderWay = errors.New("a verification is under way")

// takenWithin is how long somebody waits for a worker to take a verification on before
// being told that none does.
const takenWithin = 15 * time.Second

// Verify verifies the replica of a registered database and returns when that has come to
// its end, which goes on without whoever waits. A fault that is left is no error: the
// answer is not OK then.
func (c *Control) Verify(ctx context.Context, in workflows.VerifyRequest) (answer workflows.VerifyAnswer, err error) {
	known, err := c.running(ctx, in.Name)
	if err != nil {
		return answer, err
	}
	if !known {
		return answer, notRegistered(in.Name)
	}
	in.UseAttribute = c.hasProven(ctx)
	options := workflows.VerifyOptions(in)
	options.WorkflowExecutionErrorWhenAlreadyStarted = true
	run, err := c.client.ExecuteWorkflow(ctx, options, workflows.TypeVerifyReplica, in)
	if started := new(serviceerror.WorkflowExecutionAlreadyStarted); errors.As(err, &started) {
		return answer, fmt.Errorf("%w for %s; wait for its end, or look at %s in the Temporal UI", ErrUnderWay, in.Name, options.ID)
	}
	if err != nil {
		return answer, translate(in.Name, err)
	}
	err = c.awaitAnswer(ctx, run, &answer)
	var app *temporal.ApplicationError
	if errors.As(err, &app) && app.Type() == workflows.ErrNotProven && app.HasDetails() {
		return answer, app.Details(&answer)
	}
	return answer, translate(in.Name, err)
}

// awaitAnswer waits for the end of run, and gives up when nobody has taken it on.
func (c *Control) awaitAnswer(ctx context.Context, run client.WorkflowRun, answer *workflows.VerifyAnswer) error {
	within, cancel := context.WithTimeout(ctx, takenWithin)
	defer cancel()
	err := run.Get(within, answer)
	if ctx.Err() != nil || within.Err() == nil {
		return err
	}
	if !c.taken(ctx, run) {
		return fmt.Errorf("%w on task queue %s: the verification begins when one does; start a holdfast-worker with maintenance.slots above 0",
			ErrNoAnswer, workflows.MaintenanceQueue)
	}
	return run.Get(ctx, answer)
}

// taken tells whether a worker has begun with what run asks for.
func (c *Control) taken(ctx context.Context, run client.WorkflowRun) bool {
	described, err := c.client.DescribeWorkflowExecution(ctx, run.GetID(), run.GetRunID())
	if err != nil {
		return true // who knows
	}
	for _, pending := range described.GetPendingActivities() {
		if pending.GetState() == enumspb.PENDING_ACTIVITY_STATE_SCHEDULED && pending.GetAttempt() == 1 {
			return false
		}
	}
	return described.GetWorkflowExecutionInfo().GetHistoryLength() > 2 // else not even the workflow was looked at
}

// VerifyEvery has the replica of a registered database verified again and again. created
// is false for one that was, which is done as now asked from here on.
func (c *Control) VerifyEvery(ctx context.Context, in workflows.VerifyRequest, every time.Duration) (created bool, err error) {
	known, err := c.running(ctx, in.Name)
	if err != nil {
		return false, err
	}
	if !known {
		return false, notRegistered(in.Name)
	}
	in.UseAttribute = c.hasProven(ctx)
	want := workflows.VerifySchedule(in, every)
	schedules := c.client.ScheduleClient()
	_, err = schedules.Create(ctx, want)
	if err == nil || !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return err == nil, translate(in.Name, err)
	}
	err = schedules.GetHandle(ctx, want.ID).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(have client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			s := have.Description.Schedule
			s.Spec, s.Action = &want.Spec, want.Action
			s.State.Note = want.Note
			return &client.ScheduleUpdate{Schedule: &s}, nil
		},
	})
	return false, translate(in.Name, err)
}

// VerifyOff ends that; was is false where there was nothing to end.
func (c *Control) VerifyOff(ctx context.Context, name string) (was bool, err error) {
	err = c.client.ScheduleClient().GetHandle(ctx, workflows.VerifyID(name)).Delete(ctx)
	if gone := new(serviceerror.NotFound); errors.As(err, &gone) {
		return false, nil
	}
	return err == nil, translate(name, err)
}

// Known implements activities.Fleet.
func (c *Control) Known(ctx context.Context, name string) (activities.Known, error) {
	s, err := c.Status(ctx, name)
	if err != nil {
		return activities.Known{}, err
	}
	if !s.Answering {
		return activities.Known{}, noAnswer("what is known of " + name + " stays unknown until one does")
	}
	return activities.Known{
		Host: s.Host, Replica: s.Replica, TXID: s.TXID, Verified: s.Verified,
		Window: activities.Duration(s.Settings.Retention), Level0: activities.Duration(s.Settings.Level0),
	}, nil
}

// Snapshot implements activities.Fleet.
func (c *Control) Snapshot(ctx context.Context, name string, after ltx.TXID) (activities.Progress, error) {
	var synced workflows.Synced
	err := c.update(ctx, name, workflows.UpdateSnapshot, workflows.SnapshotRequest{ID: uuid.NewString(), After: after}, &synced)
	return synced.Progress, explain(err, "no snapshot is put until one does")
}
