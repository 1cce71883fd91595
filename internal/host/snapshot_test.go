package host_test

import (
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// TestASnapshotBesideAWindow has a snapshot put while a window runs, which goes on after it.
func TestASnapshotBesideAWindow(t *testing.T) {
	r := newRig(t)
	h := r.start(t)
	d, exec := mustDatabase(t, "app")
	beats := make(chan host.Progress, 1000)
	done := window(t.Context(), h, host.Window{Database: d, Length: time.Hour, Interval: 10 * time.Millisecond}, beats)
	<-beats
	res, err := h.Snapshot(t.Context(), d, 0, 1)
	if err != nil || res.TXID != 2 || res.Puts != 1 {
		t.Fatalf("got %+v, %v; want TXID 2", res, err)
	}
	if _, err := replica.New(r.stores[d.Replica]).Find(t.Context(), plan.SnapshotLevel, 1, 2); err != nil {
		t.Error(err)
	}
	exec("INSERT INTO t VALUES (1)")
	for patience := time.After(10 * time.Second); ; {
		select {
		case p := <-beats:
			if p.TXID < 3 {
				continue
			}
		case <-patience:
			t.Error("the window does not go on")
		}
		break
	}
	if err := h.StopSync(t.Context(), d.Name); err != nil {
		t.Error(err)
	}
	<-done
}
