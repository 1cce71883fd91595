package blob_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// machine is one whose clock goes on in its sleep alone.
type machine struct{ slept atomic.Int64 }

var started = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func (m *machine) now() time.Time        { return started.Add(time.Duration(m.slept.Load())) }
func (m *machine) sleep(d time.Duration) { m.slept.Add(int64(d)) }

func TestUntilEndsAfterASleep(t *testing.T) {
	for _, slept := range []time.Duration{2 * time.Minute, -time.Second} {
		m := &machine{}
		ctx, stop := blob.Until(t.Context(), started.Add(time.Minute), m.now)
		defer stop()
		m.sleep(slept / 2)
		if err := ctx.Err(); slept > 0 && err != nil {
			t.Fatalf("after %v: %v", slept/2, err)
		}
		m.sleep(slept)
		below, cancel := context.WithTimeout(ctx, time.Hour) // as each try of a request has one
		defer cancel()
		if err := below.Err(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %v a request would still be sent: %v", slept, err)
		}
	}
}

// TestUntilEndsARequestUnderWay that waits for its answer, and so does not ask.
func TestUntilEndsARequestUnderWay(t *testing.T) {
	m := &machine{}
	ctx, stop := blob.Until(t.Context(), started.Add(time.Minute), m.now)
	defer stop()
	done := ctx.Done()
	select {
	case <-done:
		t.Fatal("it ended at once")
	default:
	}
	m.sleep(time.Hour)
	<-done
	if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestUntilEndsWithItsParent(t *testing.T) {
	parent, cancel := context.WithCancel(t.Context())
	ctx, stop := blob.Until(parent, time.Now().Add(time.Hour), time.Now)
	defer stop()
	done := ctx.Done()
	cancel()
	<-done
	if err := ctx.Err(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
