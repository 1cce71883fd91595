package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	batchpb "go.temporal.io/api/batch/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"

	"github.com/holdfast-db/holdfast/workflows"
)

// ErrQuery is a query of a person that the service does not take.
var ErrQuery = errors.New("wrong query")

// Selection says which registered databases are meant: those that meet all that
// it says, and all of them if it says nothing.
type Selection struct {
	Host  string
	Query string // as the service's list takes it, without an order
}

// Batch is what became of one signal to many databases.
type Batch struct {
	ID        string // of the service's batch operation; empty if nothing matched
	Matched   int64  // databases, counted before
	Signalled int64  // also those that ended before the signal came
	Failed    int64
}

const (
	batchEvery  = 500 * time.Millisecond // between two questions about a batch
	batchWithin = 10 * time.Second       // for one call, and for another batch to make room
	batchTries  = 20                     // questions in a row without an answer
	// How old what the service lists may be. A run that has ended can be in the list for
	// so long, and one that has begun be missing from it.
	listedWithin = 2 * time.Second
)

// PauseMany signals the databases of s to pause and returns when all have been
// signalled, which is before nothing is written any more. If it ends before that, with
// an error, a Batch with an ID goes on.
func (c *Control) PauseMany(ctx context.Context, s Selection, reason string) (Batch, error) {
	return c.tellMany(ctx, s, workflows.SignalPause, reason)
}

// ResumeMany signals the databases of s to go on. It returns as PauseMany does.
func (c *Control) ResumeMany(ctx context.Context, s Selection) (Batch, error) {
	return c.tellMany(ctx, s, workflows.SignalResume, "")
}

func (c *Control) tellMany(ctx context.Context, s Selection, signal, reason string) (b Batch, err error) {
	if b.Matched, err = c.countOf(ctx, s); err != nil || b.Matched == 0 {
		return b, err
	}
	b.ID = uuid.NewString()
	m := workflows.Message{ID: b.ID, Reason: reason}
	if err := c.startBatch(ctx, s, signal, m); err != nil {
		return b, err
	}
	done, err := c.awaitBatch(ctx, b.ID)
	if err != nil {
		return b, err
	}
	b.Signalled, b.Failed = done.CompleteOperationCount, done.FailureOperationCount
	missed, err := c.tellSuccessors(ctx, s, done.StartTime.AsTime(), signal, m)
	b.Failed += missed
	return b, err
}

// query is s in the service's words. It reaches running databases only, whatever
// the person's part of it says.
func (s Selection) query() string {
	q := everyDatabase
	if s.Host != "" {
		q += fmt.Sprintf(" AND %s = %s", workflows.AttributeHost.GetName(), quote(s.Host))
	}
	if s.Query != "" {
		q += " AND (" + s.Query + ")"
	}
	return q
}

func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// countOf returns how many databases s means. What a person wrote has to be a query
// by itself: else a parenthesis in it could end the one that keeps it from other
// workflows.
func (c *Control) countOf(ctx context.Context, s Selection) (int64, error) {
	if s.Query != "" {
		if _, err := c.count(ctx, s.Query); err != nil {
			return 0, wrongQuery(s.Query, err)
		}
	}
	n, err := c.count(ctx, s.query())
	switch {
	case isInvalid(err) && s.Query != "":
		return 0, wrongQuery(s.Query, err)
	case isInvalid(err) && s.Host != "" && !c.hasSearchAttributes(ctx):
		return 0, fmt.Errorf("%w: namespace %s cannot tell hosts apart, as it has no search attribute %s; run holdfast setup",
			ErrSettings, c.namespace, workflows.AttributeHost.GetName())
	}
	return n, translate("", err)
}

func (c *Control) count(ctx context.Context, query string) (int64, error) {
	res, err := c.client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: c.namespace, Query: query})
	return res.GetCount(), err
}

func wrongQuery(query string, err error) error {
	if !isInvalid(err) {
		return translate("", err)
	}
	return fmt.Errorf("%w: %q: %w; write one that temporal workflow list takes", ErrQuery, query, err)
}

func isInvalid(err error) bool {
	var invalid *serviceerror.InvalidArgument
	return errors.As(err, &invalid)
}

// startBatch waits for a moment if another batch is under way: one that has just
// ended still counts.
func (c *Control) startBatch(ctx context.Context, s Selection, signal string, m workflows.Message) error {
	input, err := converter.GetDefaultDataConverter().ToPayloads(m)
	if err != nil {
		return err
	}
	req := &workflowservice.StartBatchOperationRequest{
		Namespace: c.namespace, JobId: m.ID, VisibilityQuery: s.query(), Reason: strings.TrimSuffix("holdfast "+signal+": "+m.Reason, ": "),
		Operation: &workflowservice.StartBatchOperationRequest_SignalOperation{
			SignalOperation: &batchpb.BatchOperationSignal{Signal: signal, Input: input, Identity: "holdfast"},
		},
	}
	for begun := time.Now(); ; {
		call, cancel := context.WithTimeout(ctx, batchWithin)
		_, err := c.client.WorkflowService().StartBatchOperation(call, req)
		cancel()
		var exhausted *serviceerror.ResourceExhausted
		switch {
		case !errors.As(err, &exhausted):
			if err != nil {
				return fmt.Errorf("start a batch: %w", err)
			}
			return nil
		case time.Since(begun) > batchWithin:
			return fmt.Errorf("start a batch: %w; wait until the one under way ends, which temporal batch list shows", err)
		}
		if err := rest(ctx, batchEvery); err != nil {
			return err
		}
	}
}

// awaitBatch returns what became of a batch when it has ended.
func (c *Control) awaitBatch(ctx context.Context, id string) (*workflowservice.DescribeBatchOperationResponse, error) {
	for failures := 0; ; {
		call, cancel := context.WithTimeout(ctx, batchWithin)
		res, err := c.client.WorkflowService().DescribeBatchOperation(call, &workflowservice.DescribeBatchOperationRequest{
			Namespace: c.namespace, JobId: id,
		})
		cancel()
		switch {
		case err != nil:
			if failures++; failures == batchTries {
				return nil, fmt.Errorf("batch %s: %w; it goes on, see temporal batch describe --job-id %s", id, err, id)
			}
		case res.State == enumspb.BATCH_OPERATION_STATE_COMPLETED:
			return res, nil
		case res.State == enumspb.BATCH_OPERATION_STATE_FAILED:
			return nil, fmt.Errorf("batch %s has failed or was stopped after %d signals; see temporal batch describe --job-id %s",
				id, res.CompleteOperationCount, id)
		default:
			failures = 0
		}
		if err := rest(ctx, batchEvery); err != nil {
			return nil, err
		}
	}
}

// tellSuccessors signals the runs that have begun since a batch did, and returns how
// many could not be. A batch signals the runs that it lists: one that continued as new
// before its turn counts as signalled, but its successor has heard nothing. A run that
// has heard it ignores it, by its id.
func (c *Control) tellSuccessors(ctx context.Context, s Selection, begun time.Time, signal string, m workflows.Message) (failed int64, err error) {
	if err := rest(ctx, listedWithin); err != nil {
		return 0, err
	}
	since := begun.Add(-listedWithin).UTC().Format(time.RFC3339Nano)
	runs, err := c.executions(ctx, s.query()+" AND StartTime >= "+quote(since))
	if err != nil {
		return 0, err
	}
	for _, run := range runs {
		if !c.signalled(ctx, run, signal, m) {
			failed++
		}
	}
	return failed, ctx.Err()
}

// signalled tells whether a workflow has been signalled, or has ended.
func (c *Control) signalled(ctx context.Context, run *workflowpb.WorkflowExecutionInfo, signal string, m workflows.Message) bool {
	err := c.client.SignalWorkflow(ctx, run.GetExecution().GetWorkflowId(), "", signal, m)
	var gone *serviceerror.NotFound
	return err == nil || errors.As(err, &gone)
}

// rest returns early with the context's error.
func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
