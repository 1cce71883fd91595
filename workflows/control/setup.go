package control

import (
	"context"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"

	"github.com/holdfast-db/holdfast/workflows"
)

// searchAttributes are those that workflows write, all of them Keyword.
var searchAttributes = []string{
	workflows.AttributePhase.GetName(),
	workflows.AttributeHost.GetName(),
	workflows.AttributeDatabase.GetName(),
}

// Setup creates the search attributes that the namespace lacks and returns
// their names.
func (c *Control) Setup(ctx context.Context) (created []string, err error) {
	missing, err := c.missing(ctx)
	if err != nil || len(missing) == 0 {
		return nil, err
	}
	want := map[string]enumspb.IndexedValueType{}
	for _, name := range missing {
		want[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
	}
	_, err = c.client.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		SearchAttributes: want, Namespace: c.namespace,
	})
	if err != nil {
		return nil, fmt.Errorf("create search attributes %v: %w; have an operator of the service create them, as Keyword", missing, err)
	}
	return missing, nil
}

func (c *Control) missing(ctx context.Context) ([]string, error) {
	have, err := c.client.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: c.namespace})
	if err != nil {
		return nil, fmt.Errorf("list search attributes: %w; have an operator of the service create them, as Keyword", err)
	}
	var missing []string
	for _, name := range searchAttributes {
		typ, ok := have.GetCustomAttributes()[name]
		if ok && typ != enumspb.INDEXED_VALUE_TYPE_KEYWORD {
			return nil, fmt.Errorf("search attribute %s has type %v, want Keyword; remove it from namespace %s", name, typ, c.namespace)
		}
		if !ok {
			missing = append(missing, name)
		}
	}
	return missing, nil
}

// hasSearchAttributes tells whether workflows may write them. An upsert of an
// unknown one would fail their tasks for ever, so any doubt means no.
func (c *Control) hasSearchAttributes(ctx context.Context) bool {
	missing, err := c.missing(ctx)
	return err == nil && len(missing) == 0
}
