package control

import (
	"context"
	"time"

	"github.com/holdfast-db/holdfast/workflows"
)

// TellSuccessors is tellSuccessors for all databases.
func (c *Control) TellSuccessors(ctx context.Context, begun time.Time, signal string, m workflows.Message) (failed int64, err error) {
	return c.tellSuccessors(ctx, Selection{}, begun, signal, m)
}
