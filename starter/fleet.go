package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.temporal.io/sdk/log"

	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

// fleet is what commands ask of Temporal.
type fleet interface {
	Register(context.Context, workflows.Registration) (control.Registered, error)
	List(context.Context) ([]control.Entry, error)
	Status(ctx context.Context, name string) (control.Status, error)
	Pause(ctx context.Context, name, reason string) (control.Told, error)
	Resume(ctx context.Context, name string) (control.Told, error)
	Reconfigure(ctx context.Context, name string, settings json.RawMessage) (workflows.Reconfigured, error)
	PauseMany(ctx context.Context, s control.Selection, reason string) (control.Batch, error)
	ResumeMany(ctx context.Context, s control.Selection) (control.Batch, error)
	Sync(ctx context.Context, name string) (workflows.Synced, error)
	Stop(ctx context.Context, name string, skipFinalPass bool) (workflows.Stopped, error)
	StartRestore(context.Context, workflows.RestoreRequest) (id string, err error)
	FollowRestore(ctx context.Context, id string, tell func(control.RestoreView)) (workflows.Restored, error)
	CancelRestore(ctx context.Context, id string) error
	Verify(context.Context, workflows.VerifyRequest) (workflows.VerifyAnswer, error)
	VerifyEvery(ctx context.Context, in workflows.VerifyRequest, every time.Duration) (created bool, err error)
	VerifyOff(ctx context.Context, name string) (was bool, err error)
	Setup(context.Context) (created []string, err error)
}

// dial connects as the temporal CLI would. The SDK's own log is of no use to a
// person at a prompt.
func dial(ctx context.Context, environ []string) (fleet, func(), error) {
	host, _ := os.Hostname()
	c, err := control.Dial(ctx, control.Dialing{
		Environ:  environ,
		Identity: fmt.Sprintf("holdfast/%s/%d", host, os.Getpid()),
		Logger:   log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	return control.New(c, c.Namespace), c.Close, nil
}

// with connects, does what is asked, and hangs up.
func (a *app) with(ctx context.Context, do func(fleet) error) error {
	f, hangUp, err := a.dial(ctx, a.environ)
	if err != nil {
		return err
	}
	defer hangUp()
	return do(f)
}

// ask is with for what changes something: it may be done although nobody waits
// for it any more.
func (a *app) ask(ctx context.Context, do func(fleet) error) error {
	return a.with(ctx, func(f fleet) error {
		err := do(f)
		if err != nil && ctx.Err() != nil {
			return &fault{statusInterrupted, typeInterrupted, errors.New("interrupted; it may be done all the same, see holdfast list")}
		}
		return err
	})
}
