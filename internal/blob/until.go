package blob

import (
	"context"
	"sync"
	"time"
)

// Until returns a context of ctx that ends when now is past at, or before the time of
// this call. Unlike a deadline, which stands still while the machine sleeps, it is asked
// each time that somebody begins to wait for its end: so a request is not sent once more
// after a sleep. What was handed to the kernel before it cannot be called back.
// stop must be called when the context is not needed any more.
func Until(ctx context.Context, at time.Time, now func() time.Time) (_ context.Context, stop func()) {
	inner, cancel := context.WithCancel(ctx)
	u := &until{Context: ctx, begun: now(), at: at, now: now, done: make(chan struct{})}
	go u.watch(inner)
	return u, cancel
}

// look is how often a request under way is looked after.
const look = time.Second

type until struct {
	context.Context
	begun, at time.Time
	now       func() time.Time

	once sync.Once
	done chan struct{}
}

func (u *until) over() bool {
	now := u.now()
	return now.After(u.at) || now.Before(u.begun)
}

func (u *until) end() { u.once.Do(func() { close(u.done) }) }

func (u *until) watch(inner context.Context) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case <-inner.Done():
			u.end()
			return
		case <-tick.C:
			if u.over() {
				u.end()
			}
		}
	}
}

// Done implements context.Context.
func (u *until) Done() <-chan struct{} {
	if u.Context.Err() != nil || u.over() {
		u.end()
	}
	return u.done
}

// Err implements context.Context.
func (u *until) Err() error {
	select {
	case <-u.Done():
	default:
		return nil
	}
	if err := u.Context.Err(); err != nil {
		return err
	}
	return context.DeadlineExceeded
}
