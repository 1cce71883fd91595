package activities

import (
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/holdfast-db/holdfast/internal/telemetry"
)

// logEvery is the least time between two log lines about one database that
// keeps failing.
const logEvery = 30 * time.Second

// quiet remembers, by database, what has been said about its failures, so that
// one that fails for days, or now and then, fills neither the log nor the
// history.
type quiet struct {
	mu    sync.Mutex
	known map[string]*trouble
}

type trouble struct {
	hello  window    // the last one that was announced
	last   failure   // the zero one while all is well
	logged time.Time // when a failure was last logged
	spoken bool      // a failure was logged since all was well
}

// window is one window of all that there ever are of a database.
type window struct {
	run    string // of the workflow
	number int
}

// failure is what makes one failure the same news as another.
type failure struct {
	window
	typ string
}

// failing notes a failure at now. It tells whether to log it, and whether it is
// news for the workflow: the first one of its window, as what is reported holds for one
// window alone, or one of another kind.
func (q *quiet) failing(name string, f failure, now time.Time) (log, news bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.of(name)
	log, news = t.logged.IsZero() || now.Sub(t.logged) >= logEvery, t.last != f
	t.last = f
	if log {
		t.logged, t.spoken = now, true
	}
	return log, news
}

// announces tells whether w is to be announced: by the first of its attempts here, as
// what the others find is told by failures.
func (q *quiet) announces(name string, w window) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.of(name)
	first := t.hello != w
	t.hello = w
	return first
}

// of returns what is known of a database. The caller holds q.mu.
func (q *quiet) of(name string) *trouble {
	if q.known == nil {
		q.known = map[string]*trouble{}
	}
	if q.known[name] == nil {
		q.known[name] = &trouble{}
	}
	return q.known[name]
}

// well notes a success. It tells whether failures were known before it, and
// whether one of them was logged.
func (q *quiet) well(name string) (recovered, spoken bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.known[name]
	if t == nil {
		return false, false
	}
	recovered, spoken = t.last != failure{}, t.spoken
	t.last, t.spoken = failure{}, false
	return recovered, spoken
}

// forget drops what is known of a database that is replicated no more.
func (q *quiet) forget(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.known, name)
}

// identity is the window that t is an attempt at.
func (t *attempt) identity() window {
	return window{run: activity.GetInfo(t.ctx).WorkflowExecution.RunID, number: t.in.Window}
}

// announce tells a workflow that thinks its host away that a window was taken. What it
// knows of failures is left as it is, unless an attempt has left more.
func (t *attempt) announce() {
	if !t.in.Announce || !t.quiet.announces(t.in.Database.Name, t.identity()) {
		return
	}
	r := Report{TXID: t.start.TXID, SyncedAt: t.start.SyncedAt}
	if t.start.Type != "" {
		r.Failures, r.Type = t.start.Failures, t.start.Type
	}
	t.report(r)
}

// tellFailure logs err, and reports it where the workflow would not hear of it: what is
// not retried ends the window, which tells all.
func (t *attempt) tellFailure(err error, beat Beat, retried bool) {
	name := t.in.Database.Name
	log, news := t.quiet.failing(name, failure{t.identity(), beat.Type}, time.Now())
	if log {
		activity.GetLogger(t.ctx).Error("sync failed", telemetry.Database, name,
			telemetry.Failures, beat.Failures, "type", beat.Type, telemetry.Error, err.Error())
	}
	switch {
	case !retried:
		t.reports.withdraw(t.workflow())
	case news:
		t.report(Report{Failures: beat.Failures, Type: beat.Type, Error: err.Error(), TXID: beat.TXID, SyncedAt: beat.SyncedAt})
	}
}

// logRecovery says that all is well after failures, whether this process saw them or
// only heard of them.
func (t *attempt) logRecovery(progress Progress) {
	recovered, spoken := t.quiet.well(t.in.Database.Name)
	heard := !recovered && t.start.Failures > 0
	if spoken || heard {
		activity.GetLogger(t.ctx).Info("recovered", telemetry.Database, t.in.Database.Name,
			telemetry.Failures, t.start.Failures, telemetry.TXID, progress.TXID.String())
	}
}

func (t *attempt) report(r Report) {
	r.Window = t.in.Window
	t.reports.post(t.Reporter, t.workflow(), r)
}

func (t *attempt) workflow() string { return activity.GetInfo(t.ctx).WorkflowExecution.ID }
