package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/holdfast-db/holdfast/workflows"
)

// Registered is what a registration led to.
type Registered struct {
	workflows.Registered
	New        bool // it was not registered before
	Unanswered bool // it stands, but no worker has looked at it yet: Registered is empty
}

// Registrar registers databases after one look at what there is already, for
// whoever has many. It is safe for concurrent use.
type Registrar struct {
	*Control

	// Judge, if not nil, is the host's own word on a database that has no workflow, which
	// then does not ask the host: an error, with a type of package activities, refuses it.
	Judge func(context.Context, workflows.Spec) error

	others           []Entry
	searchAttributes bool
}

// Registrar looks at what is registered now.
func (c *Control) Registrar(ctx context.Context) (*Registrar, error) {
	others, err := c.List(ctx)
	if err != nil {
		return nil, err
	}
	return &Registrar{Control: c, others: others, searchAttributes: c.hasSearchAttributes(ctx)}, nil
}

// Register is Registrar's, for one database.
func (c *Control) Register(ctx context.Context, r workflows.Registration) (Registered, error) {
	registrar, err := c.Registrar(ctx)
	if err != nil {
		return Registered{}, err
	}
	return registrar.Register(ctx, r)
}

// Register asks for a database to be replicated, and starts its workflow where
// there is none. With r.Wait it returns when the first pass has succeeded or a
// person is needed, which can take as long as ctx allows. A replica or a file
// that another database has is refused with ErrTaken.
//
// A database that was registered before needs a worker that answers, or nothing
// has changed yet: ErrNoAnswer. The service may hand the request to one that
// comes later.
func (c *Registrar) Register(ctx context.Context, r workflows.Registration) (Registered, error) {
	if err := c.checkOthers(r.Spec); err != nil {
		return Registered{}, err
	}
	known, err := c.running(ctx, r.Name)
	if err != nil {
		return Registered{}, err
	}
	in := workflows.Input{Spec: r.Spec, UseSearchAttributes: c.searchAttributes, Wait: r.Wait, Maintain: true}
	if !known && c.Judge != nil {
		if err := c.Judge(ctx, r.Spec); err != nil {
			return Registered{}, translate(r.Name, err)
		}
		in.Judged = true
	}
	res := Registered{New: !known}
	err = again(ctx, func() error {
		handle, err := c.updateWithStart(ctx, in, r)
		if err != nil {
			return err
		}
		return handle.Get(ctx, &res.Registered)
	})
	err = translate(r.Name, err)
	if errors.Is(err, ErrNoAnswer) && ctx.Err() == nil {
		if known {
			return Registered{}, noAnswer(r.Name + " stays as it is until one does")
		}
		res.Unanswered = true
		return res, nil
	}
	return res, err
}

// updateWithStart returns when a worker has taken the registration on.
func (c *Control) updateWithStart(ctx context.Context, in workflows.Input, r workflows.Registration) (client.WorkflowUpdateHandle, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	return c.client.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: c.client.NewWithStartWorkflowOperation(workflows.StartOptions(in), workflows.TypeReplicateDatabase, in),
		UpdateOptions: client.UpdateWorkflowOptions{
			UpdateName:   workflows.UpdateRegister,
			Args:         []any{r},
			WaitForStage: client.WorkflowUpdateStageAccepted,
		},
	})
}

// again calls do until it is not told any more to come back in a moment.
func again(ctx context.Context, do func() error) error {
	for {
		err := do()
		if !workflows.RetryLater(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryEvery):
		}
	}
}

// checkOthers refuses a replica, or a file, that another running database has.
// What it looks at may be seconds old; whoever slips through is refused by the
// host, or fenced in the store.
func (c *Registrar) checkOthers(s workflows.Spec) error {
	for _, other := range c.others {
		switch {
		case other.Name == s.Name:
		case other.Replica == s.Replica:
			return fmt.Errorf("%w: the replica %s is that of %s on host %s; give %s one of its own",
				ErrTaken, s.Replica, other.Name, other.Host, s.Name)
		case other.Host == s.Host && other.Path == s.Path:
			return fmt.Errorf("%w: %s on host %s is registered as %s, so it cannot be %s too; stop %s first",
				ErrTaken, s.Path, s.Host, other.Name, s.Name, other.Name)
		}
	}
	return nil
}
