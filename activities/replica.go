package activities

import (
	"context"
	"log/slog"

	"github.com/holdfast-db/holdfast/internal/replica"
)

// ReplicaActivities are what any worker can do with nothing but a replica: they touch
// neither a database nor its host. Open and Log must be set.
type ReplicaActivities struct {
	// Open opens the replica at a URL with this worker's credentials.
	Open func(ctx context.Context, url string) (*replica.Replica, error)
	Log  *slog.Logger
}
