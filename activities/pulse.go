package activities

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
)

// pulse sends an activity's heartbeats from a goroutine of its own: the first at
// once, one after each beat, and one every third of the heartbeat timeout while
// a long pass runs. Sending one may wait for a service that does not answer; a
// pass must not.
type pulse[T any] struct {
	ctx     context.Context
	mu      sync.Mutex
	beat    T
	changed chan struct{} // holds one; that is enough, as only the newest beat counts
	done    chan struct{}
	ended   sync.WaitGroup
}

func startPulse[T any](ctx context.Context, first T) *pulse[T] {
	p := &pulse[T]{ctx: ctx, beat: first, changed: make(chan struct{}, 1), done: make(chan struct{})}
	p.changed <- struct{}{}
	p.ended.Go(p.run)
	return p
}

func (p *pulse[T]) run() {
	var every <-chan time.Time
	if timeout := activity.GetInfo(p.ctx).HeartbeatTimeout; timeout > 0 {
		ticker := time.NewTicker(timeout / 3)
		defer ticker.Stop()
		every = ticker.C
	}
	for {
		select {
		case <-p.done:
			return
		case <-p.ctx.Done(): // nobody would hear another one
			return
		case <-p.changed:
		case <-every:
		}
		activity.RecordHeartbeat(p.ctx, p.last())
	}
}

// set makes b the beat to send. It never waits.
func (p *pulse[T]) set(b T) {
	p.mu.Lock()
	p.beat = b
	p.mu.Unlock()
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

func (p *pulse[T]) last() T {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.beat
}

// stop ends the goroutine.
func (p *pulse[T]) stop() {
	close(p.done)
	p.ended.Wait()
}

// stopWith stops with b as the last word: when the activity then fails, the SDK
// delivers it before the failure, and the next attempt starts from it.
func (p *pulse[T]) stopWith(b T) {
	p.stop()
	activity.RecordHeartbeat(p.ctx, b)
}
