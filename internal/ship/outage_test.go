package ship_test

import (
	"testing"
	"time"
)

// TestALongOutageIsSpooled has the store away for longer than the silence after which
// the head is looked at again: where to go on from is known all the same, and the log must
// not grow until the disk is full.
func TestALongOutageIsSpooled(t *testing.T) {
	b := newBench(t)
	b.opts.WALLimit, b.opts.Silence = 256<<10, 30*time.Millisecond
	b.stop()
	b.start()
	b.mustPass()
	b.store.away = true
	time.Sleep(2 * b.opts.Silence)
	for range 20 {
		b.insert(100)
		out, err := b.ship.Pass(t.Context())
		if err == nil {
			t.Fatal("a pass without a store succeeded")
		}
		if out.BehindBytes > 2*b.opts.WALLimit {
			t.Fatalf("%d bytes wait in the log, want at most about %d: the spool has %d", out.BehindBytes, b.opts.WALLimit, out.SpoolBytes)
		}
	}
	b.store.away = false
	b.mustPass()
	b.mustEqual()
	objects, err := b.opts.Replica.All(t.Context())
	if err != nil || len(objects) < 3 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	for _, o := range objects {
		if o.ListedPages() == nil {
			t.Errorf("%s, which waited in the spool, does not name its pages", o.Key())
		}
	}
}
