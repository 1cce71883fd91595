package host

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// attendEvery is how often it is looked whether a database has to go on alone that
	// waits for a window.
	attendEvery = 100 * time.Millisecond

	// noteEvery is how often it is noted whether somebody decides for the others, and how
	// often anything is done while no database waits.
	noteEvery = time.Second

	// aloneGrace is how late the next window may be before nobody is thought to send it.
	aloneGrace = 500 * time.Millisecond

	// missedAfter is how late it may be, beyond that, though whoever decides is there: it
	// may have been lost on its way, which is noticed only when its heartbeat stays away.
	missedAfter = time.Second

	// aloneLength is how long a window may be that nobody has sent.
	aloneLength = time.Minute

	// bridgeBeats is how many heartbeat time-outs pass before a window that was to come
	// does not come any more: one until the lost one is missed, one for it to be sent
	// again, and one for luck.
	bridgeBeats = 3

	// startsAtOnce is how many databases that an earlier process has had may be opened
	// side by side, and make their first pass, while nobody decides in which order.
	startsAtOnce = 32

	// startPatience is how long one of them keeps others waiting: its store may be away,
	// and theirs not.
	startPatience = 2 * time.Second
)

// errTaken says that a window that nobody has sent is not needed.
var errTaken = errors.New("somebody decides for the database")

// expect notes what comes after window w. The caller holds s.mu.
func (s *slot) expect(w Window, res Result, err error, now time.Time) {
	if !w.alone {
		s.heard, s.bridge, s.roused = now, time.Time{}, false
		s.awaited = err == nil && res.Reason != Idle
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
	timer := time.NewTimer(attendEvery)
	defer timer.Stop()
	for noted := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-h.hurried:
		}
		next := noteEvery
		all := time.Since(noted) >= noteEvery
		if all {
			noted = time.Now()
		}
		for _, s := range h.all() {
			if s.waits() {
				next = attendEvery
			} else if !all {
				continue
			}
			h.letGoOn(ctx, s)
		}
		timer.Reset(next)
	}
}

// letGoOn lets a database go on alone if it has to.
func (h *Host) letGoOn(ctx context.Context, s *slot) {
	w, yes := s.onItsOwn(time.Now())
	if !yes {
		return
	}
	alone := w // what a goroutine keeps is allocated, and w at each look
	alone.Stop = ctx.Done()
	h.attending.Go(func() { s.goAlone(ctx, alone) })
}

// waits tells whether the slot has no window and expects one.
func (s *slot) waits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rest == expecting && s.running == nil
}

// onItsOwn tells whether the slot has to go on without having been told to, and with
// which window. It tells of one that is missed.
func (s *slot) onItsOwn(now time.Time) (Window, bool) {
	name := s.wanted().Name
	w, alone, missed := s.judge(now, s.host.opts.Attendance.Away(name))
	if missed {
		s.host.opts.Attendance.Missed(name)
	}
	return w, alone
}

// judge is onItsOwn with what is known of whoever decides.
func (s *slot) judge(now time.Time, away bool) (w Window, alone, missed bool) {
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
		return Window{}, false, due && s.awaited && now.Sub(s.due) >= missedAfter
	}
	s.solo = true
	return Window{
		Database: s.orders.Database, Rules: s.orders.Rules, Interval: s.orders.Interval, Length: left, Failures: s.failures, alone: true,
	}, true, false
}

// goAlone runs a window that nobody has sent. One that is sent meanwhile ends it.
func (s *slot) goAlone(ctx context.Context, w Window) {
	passed := s.awaitStart(ctx)
	var res Result
	err := ctx.Err()
	if err == nil {
		res, err = s.window(ctx, w, func(Progress) { passed() })
	}
	passed()
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

// awaitStart waits for a place among those that are opened first in this process, and
// returns what gives it up. One that was open has none and needs none.
func (s *slot) awaitStart(ctx context.Context) (passed func()) {
	if !s.isRecalled() {
		return func() {}
	}
	select {
	case s.host.starting <- struct{}{}:
	case <-ctx.Done():
		return func() {}
	}
	s.mu.Lock()
	s.recall = false
	s.mu.Unlock()
	passed = sync.OnceFunc(func() { <-s.host.starting })
	time.AfterFunc(startPatience, passed)
	return passed
}

// GoOn lets a database go on alone until the next window comes, if one is missed that was
// to follow: whoever decides would send one, but it may have been lost on its way.
func (h *Host) GoOn(name string) {
	s := h.slotOf(name)
	if s == nil {
		return
	}
	s.mu.Lock()
	if s.awaited {
		s.bridge = time.Now().Add(bridgeBeats * s.orders.Rules.Heartbeat)
	}
	s.mu.Unlock()
	h.hurry()
}

// Hold lets nothing be shipped of a database before its next window, also if nobody
// decides until then. It does not end the one under way.
func (h *Host) Hold(name string) {
	s := h.slotOf(name)
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
