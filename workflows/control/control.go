// Package control steers databases from outside: what the command line and a
// starting worker ask of ReplicateDatabase, through a Temporal client.
//
// It keeps no state and decides nothing about replication. It refuses what can
// be seen to be wrong before a workflow is asked, says when nobody answers, and
// turns the service's errors into ones that a person can act on: a *Refused for
// what a workflow said, the sentinels below for the rest.
package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/holdfast-db/holdfast/workflows"
)

// What a caller decides upon.
var (
	ErrNotRegistered = errors.New("not registered")
	ErrNoAnswer      = errors.New("no worker answers")
	ErrTaken         = errors.New("taken by another database")
	ErrSettings      = errors.New("temporal settings")
	ErrUnreachable   = errors.New("temporal does not answer")
)

// Refused is an answer of a workflow that is not what was asked for.
type Refused struct {
	Type    string // of package workflows or activities
	Message string
}

// Error returns the message alone: the type is for machines.
func (r *Refused) Error() string { return r.Message }

// How long somebody waits for an answer before being told that there is none.
const (
	answerWithin = 5 * time.Second
	queryWithin  = 3 * time.Second
	retryEvery   = 200 * time.Millisecond // of an update that met a Continue-As-New
)

// Control speaks to the workflows of one namespace. It is safe for concurrent
// use.
type Control struct {
	client    client.Client
	namespace string
}

// New returns a Control that uses c, which stays the caller's to close.
func New(c client.Client, namespace string) *Control {
	return &Control{client: c, namespace: namespace}
}

// Translate turns what the service says about a namespace into an error of this
// package. One that it does not know stays as it is.
func Translate(err error) error { return translate("", err) }

// translate turns an error about the database name into one of this package.
// One that it does not know stays as it is.
func translate(name string, err error) error {
	var (
		app      *temporal.ApplicationError
		gone     *serviceerror.NotFound
		missing  *serviceerror.NamespaceNotFound
		canceled *client.WorkflowUpdateServiceTimeoutOrCanceledError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &app):
		return &Refused{Type: app.Type(), Message: app.Message()}
	case errors.As(err, &missing):
		return fmt.Errorf("%w: namespace %q does not exist; create it, or set TEMPORAL_NAMESPACE", ErrSettings, missing.Namespace)
	case errors.As(err, &gone):
		return notRegistered(name)
	case errors.As(err, &canceled), errors.Is(err, context.DeadlineExceeded):
		return errors.Join(ErrNoAnswer, err)
	}
	return err
}

func notRegistered(name string) error {
	return fmt.Errorf("%s is %w; see holdfast list, or register it", name, ErrNotRegistered)
}

func noAnswer(what string) error {
	return fmt.Errorf("%w on task queue %s: %s; start holdfast-worker", ErrNoAnswer, workflows.TaskQueue, what)
}
