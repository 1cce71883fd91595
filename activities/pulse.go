package activities

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
)

// rhythm is when a pulse sends a heartbeat; each may cost something.
type rhythm struct {
	quiet time.Duration // before the first, so that what takes a moment sends none

	// rest is the least time between two, of an activity with that heartbeat timeout.
	// nil leaves it to the SDK.
	rest func(timeout time.Duration) time.Duration
}

// pulse sends an activity's heartbeats from a goroutine of its own, by its rhythm: one
// after each beat, and one every third of the heartbeat timeout while a long pass runs.
// Sending one may wait for a service that does not answer; a pass must not.
type pulse[T any] struct {
	ctx     context.Context
	rhythm  rhythm
	mu      sync.Mutex
	beat    T
	changed chan struct{} // holds one; that is enough, as only the newest beat counts
	done    chan struct{}
	ended   sync.WaitGroup
}

func startPulse[T any](ctx context.Context, first T, r rhythm) *pulse[T] {
	p := &pulse[T]{ctx: ctx, rhythm: r, beat: first, changed: make(chan struct{}, 1), done: make(chan struct{})}
	p.ended.Go(p.run)
	return p
}

func (p *pulse[T]) run() {
	timeout := activity.GetInfo(p.ctx).HeartbeatTimeout
	quiet := p.rhythm.quiet
	if timeout > 0 {
		quiet = min(quiet, timeout/3) // or a short time-out is over before the first
	}
	if !p.sleep(quiet) {
		return
	}
	for {
		select {
		case <-p.changed: // by what is sent now
		default:
		}
		activity.RecordHeartbeat(p.ctx, p.last())
		var rest time.Duration
		if p.rhythm.rest != nil {
			rest = p.rhythm.rest(timeout)
		}
		if !p.sleep(rest) || !p.await(timeout, rest) {
			return
		}
	}
}

// sleep reports false when nobody would hear another heartbeat.
func (p *pulse[T]) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.done:
		return false
	case <-p.ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// await waits for another beat, or until a third of timeout is over of which rest was
// slept. It reports what sleep does.
func (p *pulse[T]) await(timeout, rest time.Duration) bool {
	var late <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(max(0, timeout/3-rest))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-p.done:
		return false
	case <-p.ctx.Done():
		return false
	case <-p.changed:
	case <-late:
	}
	return true
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
