package host_test

import (
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/host"
)

// TestEarlyPassesDoNotPutOffTheNext lets the log pass its limit again and again,
// each time for a pass before its time, and then commits a little: that must not
// wait for as many intervals as there were passes.
func TestEarlyPassesDoNotPutOffTheNext(t *testing.T) {
	const (
		early    = 15
		interval = 2 * time.Second
	)
	h := newRig(t).start(t)
	d, exec := mustDatabase(t, "app")
	d.WALLimit = 64 << 10
	beats := make(chan host.Progress, 1000)
	done := window(t.Context(), h, host.Window{Database: d, Length: time.Hour, Interval: interval}, beats)
	last := <-beats
	for range early {
		exec("INSERT INTO t VALUES (zeroblob(200000))")
		last = <-beats
	}
	exec("INSERT INTO t VALUES (1)")
	for patience := time.After(early * interval / 2); ; {
		select {
		case p := <-beats:
			if p.TXID == last.TXID {
				continue
			}
		case <-patience:
			t.Errorf("after %d early passes a commit still waits when half as many intervals of %v are over", early, interval)
		}
		break
	}
	if err := h.StopSync(t.Context(), d.Name); err != nil {
		t.Error(err)
	}
	<-done
}
