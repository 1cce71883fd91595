package host_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/ship"
)

// crowdedByPuts is a store of which only puts take their time.
type crowdedByPuts struct {
	blob.Store
	slow *crowded
}

func (c crowdedByPuts) Put(ctx context.Context, key string, body io.Reader, m blob.Metadata) (int64, error) {
	return c.slow.Put(ctx, key, body, m)
}

// mustShipTogether makes the first pass of n databases at once and returns how many of
// them were put side by side.
func mustShipTogether(t *testing.T, n int, fill string) int {
	r := newRig(t)
	var c crowd
	var all []host.Database
	for i := range n {
		d, do := mustDatabase(t, fmt.Sprintf("db%02d", i))
		do(fill)
		store := mem.New()
		r.stores[d.Replica] = crowdedByPuts{store, &crowded{store, &c, 2 * time.Second}}
		all = append(all, d)
	}
	h := r.start(t)
	var ends []<-chan outcome
	for _, d := range all {
		ends = append(ends, window(t.Context(), h, host.Window{Database: d}, nil))
	}
	for _, end := range ends {
		if got := <-end; got.err != nil || got.result.Puts != 1 {
			t.Errorf("got %+v, %v; want one put", got.result, got.err)
		}
	}
	return c.most()
}

func TestFewLargeDatabasesAreShippedAtOnce(t *testing.T) {
	t.Parallel()
	if got := mustShipTogether(t, ship.LargeAtOnce+2, "INSERT INTO t VALUES (zeroblob(17825792))"); got != ship.LargeAtOnce {
		t.Errorf("got %d at once, want %d", got, ship.LargeAtOnce)
	}
}

func TestSmallDatabasesAreShippedTogether(t *testing.T) {
	t.Parallel()
	const many = 2 * ship.LargeAtOnce
	if got := mustShipTogether(t, many, "INSERT INTO t VALUES (zeroblob(1048576))"); got != many {
		t.Errorf("got %d at once, want %d", got, many)
	}
}
