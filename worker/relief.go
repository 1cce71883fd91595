package main

import (
	"context"
	"time"

	"go.temporal.io/sdk/worker"

	"github.com/holdfast-db/holdfast/internal/memory"
)

// reliefEvery is how often it is looked whether memory can be given back.
const reliefEvery = 30 * time.Second

// Workflows that are to leave the memory have left it, for the most part, after
// evictWithin: each ends its own goroutines. What they, and the end of the work before,
// leave behind is given back after settleWithin.
const (
	evictWithin  = 2 * time.Second
	settleWithin = 20 * time.Second
)

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
	for _, wait := range []time.Duration{evictWithin, settleWithin} {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
			memory.Release()
		}
	}
}
