package control

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"

	"github.com/holdfast-db/holdfast/workflows"
)

// searchAttributes are those that every workflow of a database writes, all of them
// Keyword.
var searchAttributes = attributes{
	workflows.AttributePhase.GetName():    enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	workflows.AttributeHost.GetName():     enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	workflows.AttributeDatabase.GetName(): enumspb.INDEXED_VALUE_TYPE_KEYWORD,
}

// provenAttributes are those that a verification writes.
var provenAttributes = attributes{workflows.AttributeProven.GetName(): enumspb.INDEXED_VALUE_TYPE_DATETIME}

type attributes map[string]enumspb.IndexedValueType

// Setup creates the search attributes that the namespace lacks and returns
// their names.
func (c *Control) Setup(ctx context.Context) (created []string, err error) {
	all := maps.Clone(searchAttributes)
	maps.Copy(all, provenAttributes)
	missing, err := c.missing(ctx, all)
	if err != nil || len(missing) == 0 {
		return nil, err
	}
	want := attributes{}
	for _, name := range missing {
		want[name] = all[name]
	}
	_, err = c.client.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		SearchAttributes: want, Namespace: c.namespace,
	})
	if err != nil {
		return nil, fmt.Errorf("create search attributes %v: %w; have an operator of the service create them, as %s", missing, err, want)
	}
	return missing, nil
}

// String says of which types they are.
func (a attributes) String() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		all = append(all, fmt.Sprintf("%s: %s", name, a[name]))
	}
	return strings.Join(all, ", ")
}

// missing returns the names of those in want that the namespace lacks, in order.
func (c *Control) missing(ctx context.Context, want attributes) ([]string, error) {
	have, err := c.client.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: c.namespace})
	if err != nil {
		return nil, fmt.Errorf("list search attributes: %w; have an operator of the service create them, as %s", err, want)
	}
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		typ, ok := have.GetCustomAttributes()[name]
		if ok && typ != want[name] {
			return nil, fmt.Errorf("search attribute %s has type %v, want %v; remove it from namespace %s", name, typ, want[name], c.namespace)
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
	missing, err := c.missing(ctx, searchAttributes)
	return err == nil && len(missing) == 0
}

// hasProven tells whether verifications may write theirs.
func (c *Control) hasProven(ctx context.Context) bool {
	missing, err := c.missing(ctx, provenAttributes)
	return err == nil && len(missing) == 0
}
