package interop_test

import (
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/plan"
)

// Level-0 objects, resyncs, shrinking and growing, a snapshot: every state by
// TXID and by time, and the latest.
func TestBothRestoreOurReplica(t *testing.T) {
	inEachPlace(t, func(t *testing.T, p place) {
		h := newHistory(t)
		h.orders(p)
		assertBothRestore(t, p, plan.Target{}, h.states[h.head()])
		for txid := ltx.TXID(1); txid <= h.head(); txid++ {
			assertBothRestore(t, p, plan.Target{TXID: txid}, h.states[txid])
		}
		for txid := ltx.TXID(1); txid < h.head(); txid++ {
			assertBothRestore(t, p, plan.Target{At: at(txid).Add(30 * time.Second)}, h.states[txid])
			assertBothRestore(t, p, plan.Target{At: at(txid + 1)}, h.states[txid])
		}
	})
}

// Another page size begins on level 9 alone; level 0 goes on after it.
func TestBothRestoreAcrossAnotherPageSize(t *testing.T) {
	inEachPlace(t, func(t *testing.T, p place) {
		h := newHistory(t)
		h.orders(p)
		last := h.head()
		h.anotherPageSize(p)
		assertBothRestore(t, p, plan.Target{}, h.states[last+2])
		for txid := last - 1; txid <= last+2; txid++ {
			assertBothRestore(t, p, plan.Target{TXID: txid}, h.states[txid])
		}
		for txid := last - 1; txid <= last+1; txid++ {
			assertBothRestore(t, p, plan.Target{At: at(txid).Add(time.Second)}, h.states[txid])
		}
	})
}
