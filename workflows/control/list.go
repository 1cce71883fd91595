package control

import (
	"context"
	"fmt"
	"slices"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"

	"github.com/holdfast-db/holdfast/workflows"
)

// Entry is one registered database, as the service lists it without asking its
// workflow. It can be some seconds old.
type Entry struct {
	Name    string
	Host    string
	Path    string
	Replica string
	Phase   workflows.Phase // empty where the namespace has no search attributes
}

// List returns all registered databases in the order of their names.
func (c *Control) List(ctx context.Context) ([]Entry, error) {
	entries := []Entry{}
	req := &workflowservice.ListWorkflowExecutionsRequest{
		Query: fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Running'", workflows.TypeReplicateDatabase),
	}
	for {
		page, err := c.client.ListWorkflow(ctx, req)
		if err != nil {
			return nil, translate("", err)
		}
		for _, info := range page.Executions {
			entries = append(entries, entryOf(info))
		}
		if req.NextPageToken = page.NextPageToken; len(req.NextPageToken) == 0 {
			break
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

func entryOf(info *workflowpb.WorkflowExecutionInfo) Entry {
	memo, attributes := info.GetMemo().GetFields(), info.GetSearchAttributes().GetIndexedFields()
	e := Entry{
		Name:    strings.TrimPrefix(info.GetExecution().GetWorkflowId(), workflows.WorkflowID("")),
		Host:    text(attributes[workflows.AttributeHost.GetName()]),
		Path:    text(memo[workflows.MemoPath]),
		Replica: text(memo[workflows.MemoReplica]),
		Phase:   workflows.Phase(text(attributes[workflows.AttributePhase.GetName()])),
	}
	if e.Host == "" {
		e.Host = text(memo[workflows.MemoHost])
	}
	return e
}

// text decodes a payload that holds a string, else returns none.
func text(p *commonpb.Payload) (s string) {
	if p == nil || converter.GetDefaultDataConverter().FromPayload(p, &s) != nil {
		return ""
	}
	return s
}
