package temporal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
)

const (
	readyWithin = 30 * time.Second
	readyPause  = 25 * time.Millisecond
	tryWithin   = 2 * time.Second
	probe       = "holdfast-dev/ready" // a workflow id and task queue that nobody uses
)

// prepare waits for each part of the server that a worker needs, and creates
// the search attributes that an older state may lack.
func (s *Server) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	c, err := client.NewLazyClient(client.Options{HostPort: s.Address(), Namespace: Namespace, Logger: silent{}})
	if err != nil {
		return err
	}
	defer c.Close()
	steps := []struct {
		name string
		try  func(context.Context) error
	}{
		{"namespace " + Namespace, func(ctx context.Context) error { return namespaceReady(ctx, c) }},
		{"search attributes", func(ctx context.Context) error { return attributesReady(ctx, c) }},
		{"history", func(ctx context.Context) error { return historyReady(ctx, c) }},
		{"task queues", func(ctx context.Context) error { return matchingReady(ctx, c) }},
		{"Web UI", s.uiReady},
	}
	for _, step := range steps {
		if err := s.await(ctx, step.try); err != nil {
			return fmt.Errorf("%s at %s: %w", step.name, s.Address(), err)
		}
	}
	return nil
}

// await repeats try until it succeeds, the server ends, or time is up.
func (s *Server) await(ctx context.Context, try func(context.Context) error) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, tryWithin)
		err := try(attempt)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-s.Done():
			return s.Err()
		case <-ctx.Done():
			return fmt.Errorf("not ready within %v: %w", readyWithin, err)
		case <-time.After(readyPause):
		}
	}
}

func namespaceReady(ctx context.Context, c client.Client) error {
	_, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: Namespace})
	return err
}

// attributesReady adds what is missing and succeeds when a query may name it.
func attributesReady(ctx context.Context, c client.Client) error {
	have, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: Namespace})
	if err != nil {
		return err
	}
	missing := maps.Clone(SearchAttributes)
	maps.DeleteFunc(missing, func(name string, _ enums.IndexedValueType) bool {
		_, ok := have.GetCustomAttributes()[name]
		return ok
	})
	if len(missing) > 0 {
		add := &operatorservice.AddSearchAttributesRequest{Namespace: Namespace, SearchAttributes: missing}
		if _, err := c.OperatorService().AddSearchAttributes(ctx, add); err != nil {
			return err
		}
	}
	for name := range SearchAttributes {
		query := &workflowservice.CountWorkflowExecutionsRequest{Namespace: Namespace, Query: name + " IS NULL"}
		if _, err := c.CountWorkflow(ctx, query); err != nil {
			return err
		}
	}
	return nil
}

// historyReady asks for a workflow that does not exist: only the shard that
// would own it can say so.
func historyReady(ctx context.Context, c client.Client) error {
	_, err := c.DescribeWorkflowExecution(ctx, probe, "")
	if missing := (*serviceerror.NotFound)(nil); errors.As(err, &missing) {
		return nil
	}
	return err
}

func matchingReady(ctx context.Context, c client.Client) error {
	_, err := c.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: Namespace, TaskQueue: &taskqueue.TaskQueue{Name: probe},
	})
	return err
}

func (s *Server) uiReady(ctx context.Context) error {
	for _, path := range []string{"/healthz", "/", "/api/v1/namespaces/" + Namespace} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.UI()+path, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("GET %s: %s", s.UI()+path, resp.Status)
		}
	}
	return nil
}

// silent drops what the client says while the server is not up yet.
type silent struct{}

var _ log.Logger = silent{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
