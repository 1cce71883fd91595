package host

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-db/holdfast/internal/ship"
)

const (
	// putGrace is how long a put that is under way may go on when its window is
	// stopped, before it is cut off and its fate is unknown.
	putGrace = 500 * time.Millisecond

	// tendEvery is how often the read lock is looked after between two passes.
	tendEvery = 50 * time.Millisecond

	// tendQuiet is the same once nothing was committed for quiet: a thousand databases
	// that rest, and are not idle for long enough yet, would take a core for it.
	tendQuiet = 200 * time.Millisecond
	quiet     = 5 * time.Second

	// pressingShare is the part of its limit from which a log is shipped without
	// waiting for the interval: a writer fills the rest while that goes on.
	pressingShare = 2

	// glance is the same for a window without an interval, which is there to ship a
	// commit as soon as it can be seen: one takes some microseconds.
	glance = time.Millisecond

	// denseBytes of log, waiting when a pass of such a window begins, tell that an
	// application writes as fast as it can. A pass costs it speed then, for some
	// milliseconds of lag, so a rest of breath times what the pass took follows,
	// tendEvery at most.
	denseBytes = 256 << 10
	breath     = 4
)

// window runs w. An older one of the same slot, whose worker was thought to be
// gone, is ended first.
func (s *slot) window(ctx context.Context, w Window, beat func(Progress)) (res Result, err error) {
	r, err := s.startWindow(ctx, w.alone)
	if err != nil {
		return Result{}, err
	}
	defer func() { s.endWindow(r, w, res, err) }()
	run := &windowRun{slot: s, window: w, stop: r.stop, beat: beat, start: time.Now()}
	res, err = run.run(ctx)
	if errors.Is(err, context.Canceled) && ctx.Err() == nil { // cut off by StopSync
		res.Reason, err = Stopped, nil
	}
	return res, err
}

// startWindow makes room for a window: for one that somebody has sent, whatever is
// under way; for one that nobody has, only where nothing is.
func (s *slot) startWindow(ctx context.Context, alone bool) (*running, error) {
	for {
		r := &running{stop: make(chan struct{}), done: make(chan struct{})}
		s.mu.Lock()
		if s.gone {
			s.mu.Unlock()
			return nil, errReleased
		}
		old := s.running
		if alone && (old != nil || s.rest == held) {
			s.mu.Unlock()
			return nil, errTaken
		}
		if old == nil {
			s.running = r
		}
		rested := s.rest
		if old == nil && !alone {
			s.rest = expecting
		}
		s.mu.Unlock()
		if old == nil {
			if rested == parked {
				s.host.unwatch(s)
			}
			return r, nil
		}
		if err := old.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// wait ends a window and waits until it has ended.
func (r *running) wait(ctx context.Context) error {
	r.end()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slot) endWindow(r *running, w Window, res Result, err error) {
	s.mu.Lock()
	s.running, s.last = nil, res.Reason
	s.expect(w, res, err, time.Now())
	parks := s.rest == parked
	s.mu.Unlock()
	if parks {
		s.host.watch(s)
	} else {
		s.host.hurry()
	}
	close(r.done)
}

func (s *slot) hasWindow() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running != nil
}

// stopWindow ends the window under way, if any.
func (s *slot) stopWindow(ctx context.Context) error {
	s.mu.Lock()
	r := s.running
	s.mu.Unlock()
	if r == nil {
		return nil
	}
	return r.wait(ctx)
}

// windowRun is the state of one window.
type windowRun struct {
	slot   *slot
	window Window
	stop   <-chan struct{}
	beat   func(Progress)
	start  time.Time
	res    Result

	waited int64         // bytes of log that waited when the last pass began
	took   time.Duration // the last pass
}

func (r *windowRun) run(ctx context.Context) (Result, error) {
	cold, err := r.cold(ctx)
	if cold || err != nil {
		return r.res, err
	}
	if err := r.begin(ctx); err != nil {
		return r.res, err
	}
	defer r.finish(ctx)
	for next := r.start; ; {
		if now := time.Now(); next.After(now) {
			next = now // a pass before its time does not put off the one after it
		}
		next = next.Add(r.window.Interval)
		begun := time.Now()
		if err := r.pass(ctx); err != nil {
			return r.res, err
		}
		r.took = time.Since(begun)
		r.beat(r.res.Progress)
		if r.res.Reason = r.over(); r.res.Reason != "" {
			return r.res, nil
		}
		if now := time.Now(); next.Before(now) {
			next = now
		}
		reason, err := r.rest(ctx, next)
		if reason != "" || err != nil {
			r.res.Reason = reason
			return r.res, err
		}
	}
}

// begin opens the database and keeps the window's token beside it.
func (r *windowRun) begin(ctx context.Context) error {
	if err := r.slot.acquire(ctx); err != nil {
		return err
	}
	defer r.slot.unlock()
	if err := r.slot.open(ctx, r.window.Head); err != nil {
		return err
	}
	if !r.window.alone {
		r.slot.instruct(r.window.instructions())
		r.keepToken()
	}
	return nil
}

// cold tells whether the database was closed for a long rest and has not changed since,
// so that there is nothing to open it for.
func (r *windowRun) cold(ctx context.Context) (bool, error) {
	if r.window.IdleAfter == 0 || r.window.Failures > 0 {
		return false, nil
	}
	if err := r.slot.acquire(ctx); err != nil {
		return false, err
	}
	defer r.slot.unlock()
	if r.slot.left.IsZero() || !r.slot.opened.sameAs(r.window.Database) {
		return false, nil
	}
	now := time.Now()
	if changed, err := r.slot.look(); changed || err != nil {
		return false, nil //nolint:nilerr // which opening it meets, and tells
	}
	if !r.window.alone {
		r.slot.instruct(r.window.instructions())
	}
	r.res = Result{Reason: Idle, Progress: Progress{TXID: r.slot.txid, SyncedAt: now}}
	return true, nil
}

// keepToken writes the window's token down. Without it, for want of space say,
// a crash is noticed by the heartbeat only, later.
func (r *windowRun) keepToken() {
	if len(r.window.TaskToken) == 0 {
		return
	}
	err := ship.RemoveToken(r.slot.dir.Path()) // an older one would end the wrong window
	if err == nil {
		err = r.slot.dir.SaveToken(ship.Token{Token: r.window.TaskToken, Failures: r.window.Failures})
	}
	if err != nil {
		r.slot.grumble("token was not saved", err)
	}
}

// finish keeps where the window ended and forgets its token: it has ended by
// itself. What cannot be kept is worked out again from the replica.
func (r *windowRun) finish(ctx context.Context) {
	_ = r.slot.acquire(context.WithoutCancel(ctx)) // which never ends
	defer r.slot.unlock()
	var err error
	if !r.window.alone { // or it is that of a lost one, for somebody else to end
		err = ship.RemoveToken(r.slot.host.dirOf(r.slot.wanted()))
	}
	if r.slot.shipper != nil {
		err = errors.Join(err, r.slot.shipper.Rest())
	}
	if r.res.Reason == Idle {
		r.slot.settle()
	}
	if err != nil {
		r.slot.grumble("state was not saved", err)
	}
}

// pass makes one pass, which a stop cuts off after a grace.
func (r *windowRun) pass(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-done:
			return
		case <-r.stop:
		}
		select {
		case <-done:
		case <-time.After(putGrace):
			cancel()
		}
	}()
	if err := r.slot.acquire(ctx); err != nil {
		return err
	}
	defer r.slot.unlock()
	if err := r.slot.open(ctx, r.window.Head); err != nil {
		return err
	}
	return r.slot.pass(ctx, &r.res.Progress)
}

// over tells whether, and why, the window ends after a pass.
func (r *windowRun) over() Reason {
	switch {
	case r.window.Failures > 0 && r.res.Passes == 1:
		return Recovered
	case r.idle():
		return Idle
	case r.window.Length == 0, time.Since(r.start) >= r.window.Length:
		return WindowOver
	}
	return ""
}

// idle tells whether nothing waits and nothing was committed for long enough.
func (r *windowRun) idle() bool {
	after := r.window.IdleAfter
	return after > 0 && r.res.BehindBytes == 0 && r.res.SpoolBytes == 0 && r.slot.quietFor() >= after
}

// rest waits until next or, without an interval, until something was committed,
// looking after the read lock. It returns early with the reason, or the error, that
// ends the window.
func (r *windowRun) rest(ctx context.Context, next time.Time) (Reason, error) {
	eager := r.window.Interval == 0
	step, calm := tendEvery, time.Now()
	if r.slot.quietFor() >= quiet {
		step = tendQuiet
	}
	if eager {
		next, step = calm.Add(tendEvery), glance
		if r.waited >= denseBytes {
			calm = calm.Add(min(tendEvery, breath*r.took))
		}
		r.waited = 0
	}
	for {
		if eager && r.pressing() && !time.Now().Before(calm) {
			next = time.Now() // unless the window is over
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-r.stop:
			return Stopped, nil
		case <-r.window.Stop:
			return WorkerStopping, nil
		case <-time.After(min(time.Until(next), step)):
		}
		if !time.Now().Before(next) || !eager && r.pressing() {
			return "", nil
		}
	}
}

// pressing looks after the read lock and tells whether the next pass should not
// wait: the log is on its way to its limit, the application's own checkpoint waits for
// it, or the window has no interval and something was committed.
func (r *windowRun) pressing() bool {
	if !r.slot.tryLock() {
		return false
	}
	defer r.slot.unlock()
	waiting, err := r.slot.tend()
	r.waited = max(r.waited, waiting.Bytes)
	return err != nil || waiting.Bytes > r.slot.limit()/pressingShare || waiting.Checkpoint || r.window.Interval == 0 && waiting.Bytes > 0
}
