package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/workflows"
)

const (
	// worstLag is what a commit may take to be durable, whatever Temporal does.
	worstLag = 3 * time.Second

	// around is for how long commits go on before Temporal is away, and after it is back.
	around = 20 * time.Second
)

// away takes Temporal away under load: killed with its file kept, and killed with its
// file lost. All windows end while it is.
func (f *fleet) away(ctx context.Context) error {
	s, err := f.newServer(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	c, err := f.newCrowd(f.count/10, true, "sync: {window: 1m}")
	if err != nil {
		return err
	}
	c.temporal, c.address = s.client, s.address
	if err := c.start(); err != nil {
		return err
	}
	defer c.end(ctx)
	if _, err := c.until(ctx, "first pass", startWithin, c.reached(nil)); err != nil {
		return err
	}
	if err := c.outage(ctx, s, "its file kept", func() error { return nil }); err != nil {
		return err
	}
	return c.outage(ctx, s, "its file lost", s.lose)
}

// outage has the server killed for the span of the rows, with what lose does to it
// meanwhile.
func (c *crowd) outage(ctx context.Context, s *server, what string, lose func() error) error {
	type written struct {
		done commits
		err  error
	}
	load := make(chan written, 1)
	go func() {
		done, err := c.write(ctx, order{Paths: c.paths, Every: time.Second, Count: int((c.span + 2*around) / time.Second), Spread: true})
		load <- written{done, err}
	}()
	if !pause(ctx, around) {
		return ctx.Err()
	}
	s.kill()
	if err := lose(); err != nil {
		return err
	}
	if !pause(ctx, c.span) {
		return ctx.Err()
	}
	if err := s.start(); err != nil {
		return err
	}
	back := time.Now()
	if _, err := c.until(ctx, "run again", startWithin, c.running(back)); err != nil {
		return err
	}
	took := time.Since(back)
	w := <-load
	if w.err != nil {
		return w.err
	}
	if !pause(ctx, 2*worstLag) {
		return ctx.Err()
	}
	return c.sayOutage(ctx, fmt.Sprintf("Temporal away for %v, %s", c.span, what), w.done, took)
}

// sayOutage judges what an outage did to commits and workflows.
func (c *crowd) sayOutage(ctx context.Context, what string, done commits, took time.Duration) error {
	lags, err := c.lags(done)
	if err != nil {
		return err
	}
	worst := slices.Max(lags)
	c.say("away", fmt.Sprintf("%s: worst lag of %d", what, len(lags)), milliseconds(worst), worst <= worstLag, "<= "+milliseconds(worstLag))
	c.say("away", what+": all run again", seconds(took), true, "")
	gaps, err := c.gaps()
	if err != nil {
		return err
	}
	c.say("away", what+": gaps between TXIDs", strconv.Itoa(gaps), gaps == 0, "0")
	failed, err := c.failedTasks(ctx)
	c.say("away", what+": failed workflow tasks", strconv.Itoa(failed), failed == 0, "0")
	return err
}

// running counts the databases whose window the service has begun since some time.
func (c *crowd) running(since time.Time) func(context.Context) (int, error) {
	seen := map[string]bool{}
	return func(ctx context.Context) (int, error) {
		for _, name := range c.names {
			if seen[name] {
				continue
			}
			d, err := c.temporal.DescribeWorkflowExecution(ctx, workflows.WorkflowID(name), "")
			if err != nil { // it is not registered again yet, or the service not quite there
				return len(seen), ctx.Err()
			}
			for _, a := range d.GetPendingActivities() {
				if a.GetActivityType().GetName() == activities.NameSync && a.GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED && a.GetLastStartedTime().AsTime().After(since) {
					seen[name] = true
				}
			}
		}
		return len(seen), nil
	}
}

// gaps counts the places where the TXIDs of a database do not follow on each other.
func (c *crowd) gaps() (n int, err error) {
	all, err := c.objects()
	for _, of := range all {
		slices.SortFunc(of, func(a, b object) int { return cmp.Compare(a.txid, b.txid) })
		for i, o := range of {
			if i > 0 && o.txid != of[i-1].txid+1 {
				n++
			}
		}
	}
	return n, err
}
