package control

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/workflows"
)

// Types of refusals that are about a restore as a whole.
const (
	RestoreCancelled  = "Cancelled"
	RestoreTerminated = "Terminated"
)

// RestoreView is how a restore under way stands: what its workflow knows, and what the
// service knows of the attempt.
type RestoreView struct {
	workflows.RestoreStatus
	Answering bool // the workflow has answered; else RestoreStatus is empty
	Begun     bool // a worker has begun with it, whether one answers now or not
	Attempt   *Attempt
	Beat      *activities.RestoreBeat // the last one of the attempt, or of the one before it

	known bool // the service has told whether it has begun
}

// StartRestore starts a restore of the registered database r.Database, or of r.Replica
// where that is empty, and returns its id. It completes r by what is registered.
func (c *Control) StartRestore(ctx context.Context, r workflows.RestoreRequest) (id string, err error) {
	if r, err = c.complete(ctx, r); err != nil {
		return "", err
	}
	id = workflows.RestoreID(r.Name, time.Now())
	_, err = c.client.ExecuteWorkflow(ctx, workflows.RestoreOptions(id, r, c.hasSearchAttributes(ctx)), workflows.TypeRestoreDatabase, r)
	return id, translate(r.Name, err)
}

// complete finds the replica of a database, or the database of a replica, and what is
// registered for the path.
func (c *Control) complete(ctx context.Context, r workflows.RestoreRequest) (workflows.RestoreRequest, error) {
	if r.Database != "" {
		s, err := c.Status(ctx, r.Database)
		if err != nil {
			return r, err
		}
		if r.Name, r.Replica = r.Database, s.Replica; r.Replica == "" {
			return r, fmt.Errorf("the replica of %s is not on record and no worker answers; restore by its URL", r.Database)
		}
	}
	entries, err := c.List(ctx)
	if err != nil {
		return r, err
	}
	for _, e := range entries {
		if r.Database == "" && e.Replica == r.Replica {
			r.Name, r.Database = e.Name, e.Name
		}
		if e.Host == r.Host && filepath.Clean(e.Path) == filepath.Clean(r.Path) {
			r.Occupant = e.Name
		}
	}
	return r, nil
}

// followEvery is how often it is looked how far a restore is.
const followEvery = 500 * time.Millisecond

// FollowRestore tells how the restore id stands until it has ended, and returns what it
// came to. ErrNoAnswer says that no worker has begun with it.
func (c *Control) FollowRestore(ctx context.Context, id string, tell func(RestoreView)) (workflows.Restored, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var res workflows.Restored
	ended := make(chan error, 1)
	go func() { ended <- c.client.GetWorkflow(ctx, id, "").Get(ctx, &res) }()
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for started := time.Now(); ; {
		select {
		case err := <-ended:
			if ctx.Err() != nil { // which the service calls by various names
				return workflows.Restored{}, ctx.Err()
			}
			return res, restoreError(err)
		case <-ctx.Done():
			return workflows.Restored{}, ctx.Err()
		case <-tick.C:
		}
		view := c.lookAtRestore(ctx, id)
		if !view.Begun && view.known && time.Since(started) > answerWithin {
			return workflows.Restored{}, noAnswer("the restore has not begun")
		}
		tell(view)
	}
}

// unbegun is how many events a workflow has whose first task no worker has done: its
// start, and the task, scheduled and maybe taken.
const unbegun = 3

// lookAtRestore returns what is to be had: the end of the restore does not come this
// way.
func (c *Control) lookAtRestore(ctx context.Context, id string) (view RestoreView) {
	within, cancel := context.WithTimeout(ctx, queryWithin)
	defer cancel()
	answer, err := c.client.QueryWorkflow(within, id, "", workflows.QueryStatus)
	view.Answering = err == nil && answer.Get(&view.RestoreStatus) == nil
	description, err := c.client.DescribeWorkflowExecution(within, id, "")
	if err != nil {
		return view
	}
	view.known, view.Begun = true, description.GetWorkflowExecutionInfo().GetHistoryLength() > unbegun
	for _, pending := range description.GetPendingActivities() {
		if pending.GetActivityType().GetName() == activities.NameRestore {
			view.merge(pending)
		}
	}
	return view
}

func (v *RestoreView) merge(pending *workflowpb.PendingActivityInfo) {
	v.Attempt = attemptOf(pending)
	var beat activities.RestoreBeat
	details := pending.GetHeartbeatDetails()
	if details != nil && converter.GetDefaultDataConverter().FromPayloads(details, &beat) == nil {
		v.Beat = &beat
	}
}

// restoreError turns the end of a restore into an error of this package.
func restoreError(err error) error {
	var app *temporal.ApplicationError
	var terminated *temporal.TerminatedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &app):
		return &Refused{Type: app.Type(), Message: app.Message()}
	case temporal.IsCanceledError(err):
		return &Refused{RestoreCancelled, "the restore was cancelled, and nothing of it is left; restore again"}
	case errors.As(err, &terminated):
		return &Refused{RestoreTerminated, "the restore's workflow was terminated, so that what it had paused still is; look at holdfast list, and resume"}
	}
	return translate("", err)
}

// CancelRestore asks the restore id to end. FollowRestore tells when it has.
func (c *Control) CancelRestore(ctx context.Context, id string) error {
	return translate(id, c.client.CancelWorkflow(ctx, id, ""))
}
