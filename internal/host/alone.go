package host

import (
	"context"
	"errors"
	"time"
)

const (
	// attendEvery is how often it is looked whether a database has to go on alone.
	attendEvery = 100 * time.Millisecond

	// noteEvery is how often it is noted whether somebody decides for the others.
	noteEvery = time.Second

	// aloneGrace is how late the next window may be before nobody is thought to send it.
	aloneGrace = 500 * time.Millisecond

	// aloneLength is how long a window may be that nobody has sent.
	aloneLength = time.Minute

	// bridgeBeats is how many heartbeat time-outs pass before a window that was to come
	// does not come any more: one until the lost one is missed, one for it to be sent
	// again, and one for luck.
	bridgeBeats = 3
)

// errTaken says that a window that nobody has sent is not needed.
var errTaken = errors.New("somebody decides for the database")

// expect notes what comes after window w. The caller holds s.mu.
func (s *slot) expect(w Window, res Result, err error, now time.Time) {
	if !w.alone {
		s.heard, s.bridge, s.roused = now, time.Time{}, false
	}
	s.failures = w.Failures
	if res.Passes > 0 {
		s.failures = 0
	}
	wait := time.Duration(0)
	switch {
	case s.rest == held:
		return
	case res.Reason == Idle:
		s.rest = parked
		return
	case s.roused && !now.Before(s.bridge): // the news was lost: tell it again at the next look
		s.rest = parked
		return
	case err != nil && !errors.Is(err, context.Canceled):
		s.failures++
		wait = Backoff(w.Interval, w.BackoffCap, s.failures)
	case res.Reason == Recovered, w.Length <= w.Interval:
		wait = w.Interval
	}
	s.rest, s.due = expecting, now.Add(wait)
	if !w.alone {
		s.due = s.due.Add(aloneGrace)
	}
}

// backoffFloor stands in for an interval of 0, which doubling would never grow.
const backoffFloor = time.Second

// Backoff is the wait after the failures-th consecutive failure, also of whoever sends
// windows: the interval, doubled for each one before it, up to most.
func Backoff(interval, most time.Duration, failures int) time.Duration {
	wait := interval
	if wait == 0 {
		wait = backoffFloor
	}
	for n := 1; n < failures && wait < most; n++ {
		wait *= 2
	}
	return min(wait, most)
}

// attend lets databases go on alone that nobody decides for, until ctx ends.
func (h *Host) attend(ctx context.Context) {
	defer h.attending.Done()
	tick := time.NewTicker(attendEvery)
	defer tick.Stop()
	for noted := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-h.hurried:
		}
		all := time.Since(noted) >= noteEvery
		if all {
			noted = time.Now()
		}
		for _, s := range h.all() {
			if !all && !s.waits() {
				continue
			}
			if w, yes := s.onItsOwn(time.Now()); yes {
				w.Stop = ctx.Done()
				h.attending.Go(func() { s.goAlone(ctx, w) })
			}
		}
	}
}

// waits tells whether the slot has no window and expects one.
func (s *slot) waits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rest == expecting && s.running == nil
}

// onItsOwn tells whether the slot has to go on without having been told to, and with
// which window.
func (s *slot) onItsOwn(now time.Time) (Window, bool) {
	away := s.host.opts.Attendance.Away(s.wanted().Name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if away {
		s.bridge = now.Add(bridgeBeats * s.orders.Rules.Heartbeat)
	} else {
		s.heard = now
	}
	due := s.told && s.rest == expecting && s.running == nil && !s.gone && !s.solo && !now.Before(s.due)
	within := now.Sub(s.heard) < s.orders.Rules.Autonomy
	left := min(aloneLength, s.bridge.Sub(now))
	if !due || !within || left <= 0 {
		return Window{}, false
	}
	s.solo, s.recall = true, false
	return Window{
		Database: s.orders.Database, Rules: s.orders.Rules, Interval: s.orders.Interval, Length: left, Failures: s.failures, alone: true,
	}, true
}

// goAlone runs a window that nobody has sent. One that is sent meanwhile ends it.
func (s *slot) goAlone(ctx context.Context, w Window) {
	res, err := s.window(ctx, w, func(Progress) {})
	s.mu.Lock()
	s.solo = false
	s.mu.Unlock()
	switch {
	case errors.Is(err, errTaken), errors.Is(err, errReleased), ctx.Err() != nil:
	case err != nil:
		s.grumble("sync failed, and nobody decides for the database", err)
	case w.Failures > 0 && res.Passes > 0:
		s.host.opts.Log.Info("recovered", "db", w.Name, "failures", w.Failures)
	}
}

// Hold lets nothing be shipped of a database before its next window, also if nobody
// decides until then. It does not end the one under way.
func (h *Host) Hold(name string) {
	h.mu.Lock()
	s := h.slots[name]
	h.mu.Unlock()
	if s == nil {
		return
	}
	s.mu.Lock()
	s.rest = held
	i, told := s.orders, s.told
	s.mu.Unlock()
	h.unwatch(s)
	if told {
		i.Held = true
		s.instruct(i)
	}
}

func (s *slot) isRecalled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recall
}

// resting tells what a slot without a window waits for.
func (s *slot) resting() rest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rest
}
