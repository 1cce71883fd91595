package activities

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.temporal.io/api/serviceerror"
	"golang.org/x/time/rate"
)

// Reporter brings a report to a workflow.
type Reporter interface {
	Report(ctx context.Context, workflowID string, r Report) error
}

// Signaler is the part of a Temporal client that reports need.
type Signaler interface {
	SignalWorkflow(ctx context.Context, workflowID, runID, signalName string, arg any) error
}

// BySignal reports through c, to whichever run is the workflow's newest.
func BySignal(c Signaler) Reporter { return signalReporter{c} }

type signalReporter struct{ client Signaler }

// Report sends r as a signal.
func (s signalReporter) Report(ctx context.Context, workflowID string, r Report) error {
	return s.client.SignalWorkflow(ctx, workflowID, "", SignalReport, r)
}

const (
	// reportBurst is how many reports one workflow may be sent at once: as many as there
	// are phases to which failures lead, so that one after the other is told as it comes.
	// docs/workflows.md says what that lets a fault cost.
	reportBurst = 6

	reportEvery   = 10 * time.Second // after which there may be one more, and a failed one is tried again
	reportTimeout = 10 * time.Second // for one try at sending
)

// reports sends reports beside the work, each at once unless its workflow has been sent
// reportBurst of them lately. A newer report replaces one that waits, so what arrives
// last is always the last state, and it does arrive: one that could not be sent is tried
// again until it is replaced or withdrawn, or the workflow is gone.
type reports struct {
	mu     sync.Mutex
	lanes  map[string]*lane
	closed bool
	under  sync.WaitGroup // sends under way
}

// lane is one workflow's. Its fields are guarded by reports.mu.
type lane struct {
	waiting   *Report
	reporter  Reporter
	allowance *rate.Limiter // of tries
	timer     *time.Timer   // set while waiting is to be sent later
	sending   bool
}

// post hands over r and returns at once.
func (s *reports) post(reporter Reporter, workflowID string, r Report) {
	if reporter == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if s.lanes == nil {
		s.lanes = map[string]*lane{}
	}
	l := s.lanes[workflowID]
	if l == nil {
		l = &lane{allowance: rate.NewLimiter(rate.Every(reportEvery), reportBurst)}
		s.lanes[workflowID] = l
	}
	l.waiting, l.reporter = &r, reporter
	s.arm(workflowID, l, 0)
}

// withdraw drops what waits for a workflow that gets to know better.
func (s *reports) withdraw(workflowID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.lanes[workflowID]; l != nil {
		l.waiting = nil
	}
}

// arm sees to it that what waits in l is sent, no sooner than it may be, and after rest
// at the earliest. The caller holds s.mu.
func (s *reports) arm(workflowID string, l *lane, rest time.Duration) {
	if l.waiting == nil || l.sending || l.timer != nil || s.closed {
		return
	}
	wait := max(rest, l.allowance.Reserve().Delay())
	l.timer = time.AfterFunc(wait, func() { s.fire(workflowID, l) })
}

// fire sends what waits in l, once.
func (s *reports) fire(workflowID string, l *lane) {
	s.mu.Lock()
	r := l.waiting
	l.timer = nil
	if r == nil || s.closed {
		s.mu.Unlock()
		return
	}
	l.waiting, l.sending = nil, true
	s.under.Add(1)
	s.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), reportTimeout)
	err := l.reporter.Report(ctx, workflowID, *r)
	cancel()
	s.under.Done()

	s.mu.Lock()
	defer s.mu.Unlock()
	l.sending = false
	var rest time.Duration
	if gone := new(serviceerror.NotFound); err != nil && !errors.As(err, &gone) {
		rest = reportEvery
		if l.waiting == nil {
			l.waiting = r
		}
	}
	s.arm(workflowID, l, rest)
}

// close sends what waits, without regard to what may be sent, and ends.
func (s *reports) close(ctx context.Context) {
	s.mu.Lock()
	s.closed = true
	lanes := s.lanes
	s.lanes = nil
	for _, l := range lanes {
		if l.timer != nil {
			l.timer.Stop()
		}
	}
	s.mu.Unlock()
	s.under.Wait()
	for workflowID, l := range lanes {
		if l.waiting != nil {
			_ = l.reporter.Report(ctx, workflowID, *l.waiting) // nobody is left to try again
		}
	}
}
