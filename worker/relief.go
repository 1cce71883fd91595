package main

import (
	"context"
	"runtime/debug"
	"time"

	"go.temporal.io/sdk/worker"
)

// reliefEvery is how often it is looked whether memory can be given back.
const reliefEvery = 30 * time.Second

// evictWithin is how long it takes until workflows that are to leave the memory have left
// it: each ends its own goroutines.
const evictWithin = 2 * time.Second

// relief tells when memory is to be given back: when most databases have come to rest,
// and more of them than the last time.
type relief struct {
	before int // at rest when it was looked last
	given  int // at rest when memory was given back last
}

// due tells whether to give back now that resting of all databases rest.
func (r *relief) due(resting, all int) bool {
	steady := resting <= r.before
	r.before = resting
	r.given = min(r.given, resting)
	least := max(1, all/20) // one that wakes now and then is not worth it
	if !steady || resting*10 < all*9 || resting-r.given < least {
		return false
	}
	r.given = resting
	return true
}

// relieve gives memory back each time that the host's databases have come to rest, until
// ctx ends. resting returns how many are, of how many.
func relieve(ctx context.Context, resting func() (n, all int)) {
	tick := time.NewTicker(reliefEvery)
	defer tick.Stop()
	var r relief
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if r.due(resting()) {
			giveBack(ctx)
		}
	}
}

// giveBack gives to the system what is not needed while databases rest. Their workflows
// are in memory so that their next task takes less work; one that rests for an hour has
// none.
func giveBack(ctx context.Context) {
	worker.PurgeStickyWorkflowCache()
	select {
	case <-ctx.Done():
	case <-time.After(evictWithin):
		debug.FreeOSMemory()
	}
}
