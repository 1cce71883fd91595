package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// Faults of the store, as they are counted.
const (
	faultAway     = "away"
	faultError    = "error"
	faultLostAck  = "lost acknowledgement"
	faultSlow     = "slow"
	faultThrottle = "throttled"
	faultTorn     = "broken off"
)

// moody decides when a store goes wrong.
type moody struct {
	tell func(fault string)

	mu   sync.Mutex
	rand *rand.Rand
	rate float64 // of operations that meet a fault
	gone bool    // nothing gets through
}

// over is a store that goes wrong when its moody says so.
type over struct {
	*moody
	blob.Store
}

func (m *moody) setRate(rate float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rate = rate
}

func (m *moody) setGone(gone bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = gone
}

// draw decides what happens to the next operation: one of faults, or nothing.
func (m *moody) draw(faults ...string) (fault string, wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.gone:
		return faultAway, 0
	case m.rand.Float64() >= m.rate:
		return "", 0
	}
	return faults[m.rand.IntN(len(faults))], time.Duration(1+m.rand.IntN(60)) * time.Millisecond
}

// meet lets an operation meet a fault. Slowness is no error.
func (m *moody) meet(ctx context.Context, fault string, wait time.Duration) error {
	if fault == "" {
		return nil
	}
	m.tell(fault)
	switch fault {
	case faultSlow:
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", blob.ErrUnavailable, ctx.Err())
		}
		return nil
	case faultThrottle:
		return &blob.ThrottledError{RetryAfter: wait, Err: errors.New("torture: the store asks to slow down")}
	}
	return fmt.Errorf("%w: torture: %s", blob.ErrUnavailable, fault)
}

// Put implements blob.Store.
func (m over) Put(ctx context.Context, key string, body io.Reader, meta blob.Metadata) (int64, error) {
	fault, wait := m.draw(faultError, faultLostAck, faultSlow, faultThrottle, faultTorn)
	switch fault {
	case faultLostAck:
		if _, err := m.Store.Put(ctx, key, body, meta); err != nil {
			return 0, err
		}
	case faultTorn: // some of the body was sent before the connection broke
		_, _ = io.CopyN(io.Discard, body, int64(wait))
	}
	if err := m.meet(ctx, fault, wait); err != nil {
		return 0, err
	}
	return m.Store.Put(ctx, key, body, meta)
}

// Get implements blob.Store.
func (m over) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := m.other(ctx); err != nil {
		return nil, err
	}
	return m.Store.Get(ctx, key, offset, length)
}

// Stat implements blob.Store.
func (m over) Stat(ctx context.Context, key string) (blob.Info, error) {
	if err := m.other(ctx); err != nil {
		return blob.Info{}, err
	}
	return m.Store.Stat(ctx, key)
}

// List implements blob.Store.
func (m over) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	if err := m.other(ctx); err != nil {
		return func(yield func(blob.Info, error) bool) { yield(blob.Info{}, err) }
	}
	return m.Store.List(ctx, prefix)
}

// Delete implements blob.Store.
func (m over) Delete(ctx context.Context, keys ...string) error {
	if err := m.other(ctx); err != nil {
		return err
	}
	return m.Store.Delete(ctx, keys...)
}

// other lets an operation that stores nothing meet what there is for it.
func (m *moody) other(ctx context.Context) error {
	fault, wait := m.draw(faultError, faultSlow, faultThrottle)
	return m.meet(ctx, fault, wait)
}
