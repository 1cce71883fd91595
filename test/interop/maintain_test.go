package interop_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/maintain"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// mustMaintain runs at the time of a state, as often as it takes until nothing is left
// to do, and returns what was merged and what was removed.
func mustMaintain(t *testing.T, p place, h *history, policy plan.Policy) (merged, removed int) {
	t.Helper()
	now := func() time.Time { return at(h.head()).Add(time.Second) }
	for range 4 {
		done, err := maintain.Run(t.Context(), maintain.Options{
			Replica: replica.New(dated{p.store, now}), URL: p.url.String(), Policy: policy, Log: slog.New(slog.DiscardHandler), Now: now,
		})
		if err != nil {
			t.Fatal(err)
		}
		merged, removed = merged+len(done.Merged), removed+len(done.Expired)
	}
	return merged, removed
}

// assertKept has both restore each state that is left, and for each moment of the window.
func assertKept(t *testing.T, p place, h *history, policy plan.Policy) (points int) {
	t.Helper()
	all, err := p.replica.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kept, lost := plan.Points(replica.Files(all))
	if len(lost) > 0 {
		t.Errorf("nothing leads to %v", lost)
	}
	assertBothRestore(t, p, plan.Target{}, h.states[h.head()])
	var before ltx.TXID
	for _, one := range kept {
		assertBothRestore(t, p, plan.Target{TXID: one.TXID}, h.states[one.TXID])
		if begin := at(h.head()).Add(-policy.Window); before > 0 && one.Created.After(begin) {
			assertBothRestore(t, p, plan.Target{At: one.Created}, h.states[before])
		}
		before = one.TXID
	}
	return len(kept)
}

// A replica after merges, snapshots and expiry restores with either program to what it
// was before, whatever the database did: grow, shrink, get other pages.
func TestBothRestoreWhatIsMaintained(t *testing.T) {
	inEachPlace(t, func(t *testing.T, p place) {
		policy := plan.Policy{Window: 30 * time.Minute, Level0: 5 * time.Minute}
		h := newHistory(t)
		for range 2 {
			h.orders(p)
		}
		merged, removed := mustMaintain(t, p, h, policy)
		if merged < 2 || removed < 8 {
			t.Errorf("%d objects were merged and %d removed of %d states", merged, removed, h.head())
		}
		if points := assertKept(t, p, h, policy); points >= int(h.head()) {
			t.Errorf("%d states are kept of %d", points, h.head())
		}
		h.anotherPageSize(p)
		mustMaintain(t, p, h, policy)
		assertKept(t, p, h, policy)
	})
}
