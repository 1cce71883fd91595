package host_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/host"
)

// stuck is a store whose puts wait until it is let go.
type stuck struct {
	blob.Store
	arrived, letGo chan struct{}
}

func (s *stuck) Put(ctx context.Context, key string, body io.Reader, m blob.Metadata) (int64, error) {
	select {
	case s.arrived <- struct{}{}:
	default:
	}
	<-s.letGo
	return s.Store.Put(ctx, key, body, m)
}

// TestAReleaseThatGivesUpHoldsNobodyBack lets a release wait for a slow pass until
// its time is over, and a window begin meanwhile: it goes on when the pass is done.
func TestAReleaseThatGivesUpHoldsNobodyBack(t *testing.T) {
	r := newRig(t)
	d, _ := mustDatabase(t, "app")
	s := &stuck{Store: mem.New(), arrived: make(chan struct{}, 1), letGo: make(chan struct{})}
	r.stores[d.Replica] = s
	h := r.start(t)
	once := make(chan error, 1)
	go func() { _, err := h.SyncOnce(t.Context(), d, 0); once <- err }()
	<-s.arrived
	released := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	go func() { released <- h.Release(ctx, d) }()
	time.Sleep(100 * time.Millisecond) // for it to begin
	done := window(t.Context(), h, host.Window{Database: d}, nil)
	if err := <-released; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("release: %v, want that it gives up", err)
	}
	close(s.letGo)
	if err := <-once; err != nil {
		t.Error(err)
	}
	select {
	case end := <-done:
		if end.err != nil {
			t.Error(end.err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the window waits for a release that was given up")
	}
	if err := h.Release(t.Context(), d); err != nil {
		t.Error(err)
	}
}
