package control

import (
	"context"
	"slices"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"

	"github.com/holdfast-db/holdfast/workflows"
)

// everyDatabase is the service's query for the workflows of all registered databases.
const everyDatabase = "WorkflowType = '" + workflows.TypeReplicateDatabase + "' AND ExecutionStatus = 'Running'"

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
	executions, err := c.executions(ctx, everyDatabase)
	if err != nil {
		return nil, err
	}
	entries := []Entry{}
	for _, info := range executions {
		entries = append(entries, entryOf(info))
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// pageSize is how many workflows the service lists at a time, half of what it would: the
// server of temporal's command line reads its configuration twice for each, and refuses a
// list for which it would do that more than 2,000 times in a second.
const pageSize = 500

// executions returns all workflows that meet the query, as the service lists them.
func (c *Control) executions(ctx context.Context, query string) ([]*workflowpb.WorkflowExecutionInfo, error) {
	var all []*workflowpb.WorkflowExecutionInfo
	req := &workflowservice.ListWorkflowExecutionsRequest{Query: query, PageSize: pageSize}
	for {
		page, err := c.client.ListWorkflow(ctx, req)
		if err != nil {
			return nil, translate("", err)
		}
		all = append(all, page.Executions...)
		if req.NextPageToken = page.NextPageToken; len(req.NextPageToken) == 0 {
			return all, nil
		}
	}
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
