package control

import (
	"context"
	"encoding/json"
	"errors"

	"go.temporal.io/sdk/client"

	"github.com/google/uuid"

	"github.com/holdfast-db/holdfast/workflows"
)

// Told is what a pause or a resume led to.
type Told struct {
	Status  workflows.Status // empty for one that is only Sent
	Pending bool             // nobody answered: it was sent as a signal and holds once a worker runs
}

// Pause returns when nothing is being written any more, or at once with Pending
// when no worker answers.
func (c *Control) Pause(ctx context.Context, name, reason string) (Told, error) {
	return c.tell(ctx, name, workflows.UpdatePause, workflows.SignalPause, reason)
}

// Resume returns when replication goes on, or at once with Pending when no
// worker answers.
func (c *Control) Resume(ctx context.Context, name string) (Told, error) {
	return c.tell(ctx, name, workflows.UpdateResume, workflows.SignalResume, "")
}

// tell sends the update, and the signal instead when nobody takes it on. Should
// the update be taken on after all, doing it twice changes nothing.
func (c *Control) tell(ctx context.Context, name, update, signal, reason string) (Told, error) {
	m := workflows.Message{ID: uuid.NewString(), Reason: reason}
	var told Told
	err := c.update(ctx, name, update, m, &told.Status)
	if !errors.Is(err, ErrNoAnswer) || ctx.Err() != nil {
		return told, err
	}
	err = c.client.SignalWorkflow(ctx, workflows.WorkflowID(name), "", signal, m)
	return Told{Pending: true}, translate(name, err)
}

// Sync makes a pass now and returns where the replica is then: everything that
// was committed before the call is durable.
func (c *Control) Sync(ctx context.Context, name string) (workflows.Synced, error) {
	var synced workflows.Synced
	err := c.update(ctx, name, workflows.UpdateSync, workflows.Message{ID: uuid.NewString()}, &synced)
	return synced, explain(err, "nothing is synced until one does")
}

// Reconfigure changes some settings of a database and returns when they hold.
func (c *Control) Reconfigure(ctx context.Context, name string, settings json.RawMessage) (workflows.Reconfigured, error) {
	var done workflows.Reconfigured
	err := c.update(ctx, name, workflows.UpdateReconfigure, workflows.Reconfiguration{ID: uuid.NewString(), Settings: settings}, &done)
	return done, explain(err, name+" keeps its settings until one does")
}

// Stop ends the replication of a database, with a final pass unless skip says
// otherwise. The replica stays. The service may hand a request that met
// ErrNoAnswer to a worker that comes later.
func (c *Control) Stop(ctx context.Context, name string, skip bool) (workflows.Stopped, error) {
	var stopped workflows.Stopped
	err := c.update(ctx, name, workflows.UpdateStop, workflows.StopRequest{ID: uuid.NewString(), SkipFinalPass: skip}, &stopped)
	return stopped, explain(err, name+" is not stopped before one does")
}

func explain(err error, consequence string) error {
	if errors.Is(err, ErrNoAnswer) {
		return noAnswer(consequence)
	}
	return err
}

// update returns the update's result, however long that takes once a worker has
// taken it on. ErrNoAnswer says that none did.
func (c *Control) update(ctx context.Context, name, update string, arg, result any) error {
	err := again(ctx, func() error {
		handle, err := c.send(ctx, name, update, arg)
		if err != nil {
			return err
		}
		return handle.Get(ctx, result)
	})
	return translate(name, err)
}

func (c *Control) send(ctx context.Context, name, update string, arg any) (client.WorkflowUpdateHandle, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	return c.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID:   workflows.WorkflowID(name),
		UpdateName:   update,
		Args:         []any{arg},
		WaitForStage: client.WorkflowUpdateStageAccepted,
	})
}

// Wake tells a database's workflow that the database has changed, or may have.
// ErrNotRegistered says that there is no such workflow.
func (c *Control) Wake(ctx context.Context, name string) error {
	return translate(name, c.client.SignalWorkflow(ctx, workflows.WorkflowID(name), "", workflows.SignalWake, workflows.Message{}))
}
