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

	Host    string // that this worker runs on
	Scratch string // directory with room for a restored database; empty for the system's
	Fleet   Fleet

	// Verified, if set, is told of each verification that came to an end.
	Verified func(database string, res VerifyResult)

	// Maintained, if set, is told of each run that ended, well or with err.
	Maintained func(database string, res MaintainResult, err error)
}

func (a *ReplicaActivities) told(database string, res MaintainResult, err error) {
	if a.Maintained != nil {
		a.Maintained(database, res, err)
	}
}
