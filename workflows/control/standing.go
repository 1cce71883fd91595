package control

import (
	"context"
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/holdfast-db/holdfast/workflows"
)

// Standing is what a host has to know of one of its databases after the service was away.
type Standing int

// What a database can stand for.
const (
	Lost     Standing = iota // the service knows nothing of it, nor that it was ever stopped
	Stopped                  // it was stopped, or ended otherwise
	Moved                    // it is another host's, or another file's, by now
	Paused                   // it is registered, and paused
	Resting                  // it is registered, and idle: no window comes unless somebody asks for one
	Expected                 // it is registered, and windows of it will come
)

// Standing tells how the database name stands, that was path on host.
func (c *Control) Standing(ctx context.Context, name, host, path string) (Standing, error) {
	description, err := c.describe(ctx, name)
	if gone := new(serviceerror.NotFound); errors.As(err, &gone) {
		return Lost, nil
	}
	if err != nil {
		return Expected, translate(name, err)
	}
	info := description.GetWorkflowExecutionInfo()
	if info.GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return Stopped, nil
	}
	if e := entryOf(info); e.Host != host || e.Path != path {
		return Moved, nil
	}
	status, err := c.query(ctx, name)
	switch {
	case err != nil:
		return Expected, err
	case status.Paused:
		return Paused, nil
	case status.Phase == workflows.Idle:
		return Resting, nil
	}
	return Expected, nil
}

// healthWithin is how long a service that is there may take to say so.
const healthWithin = time.Second

// Answers tells whether the service answers.
func (c *Connection) Answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, healthWithin)
	defer cancel()
	_, err := c.CheckHealth(ctx, &client.CheckHealthRequest{})
	return err == nil
}
