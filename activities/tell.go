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
	last   failure   // the zero one while all is well
	logged time.Time // when a failure was last logged
	spoken bool      // a failure was logged since all was well
}

// failure is what makes one failure the same news as another.
type failure struct {
	run    string // of the workflow
	window int
	typ    string
}

// failing notes a failure at now. It tells whether to log it, and whether it is
// news for the workflow: the first one of its window, as what is reported holds for one
// window alone, or one of another kind.
func (q *quiet) failing(name string, f failure, now time.Time) (log, news bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.known[name]
	if t == nil {
		if q.known == nil {
			q.known = map[string]*trouble{}
		}
		t = &trouble{}
		q.known[name] = t
	}
	log, news = t.logged.IsZero() || now.Sub(t.logged) >= logEvery, t.last != f
	t.last = f
	if log {
		t.logged, t.spoken = now, true
	}
	return log, news
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

// tellFailure logs err, and reports it where the workflow would not hear of it: the
// failure of an attempt that is not retried ends the window, which tells all.
func (t *attempt) tellFailure(err error, beat Beat, retried bool) {
	name := t.in.Database.Name
	run := activity.GetInfo(t.ctx).WorkflowExecution.RunID
	log, news := t.quiet.failing(name, failure{run: run, window: t.in.Window, typ: beat.Type}, time.Now())
	if log {
		activity.GetLogger(t.ctx).Error("sync failed", telemetry.Database, name,
			telemetry.Failures, beat.Failures, "type", beat.Type, telemetry.Error, err.Error())
	}
	if news && retried {
		t.report(Report{Failures: beat.Failures, Type: beat.Type, Error: err.Error(), TXID: beat.TXID, SyncedAt: beat.SyncedAt})
	}
}

// tellRecovery says that all is well after failures, whether this process saw
// them or only heard of them.
func (t *attempt) tellRecovery(progress Progress) {
	recovered, spoken := t.quiet.well(t.in.Database.Name)
	heard := !recovered && t.start.Failures > 0
	if spoken || heard {
		activity.GetLogger(t.ctx).Info("recovered", telemetry.Database, t.in.Database.Name,
			telemetry.Failures, t.start.Failures, telemetry.TXID, progress.TXID.String())
	}
	if recovered || heard {
		t.report(Report{TXID: progress.TXID, SyncedAt: progress.SyncedAt})
	}
}

func (t *attempt) report(r Report) {
	r.Window = t.in.Window
	t.reports.post(t.Reporter, activity.GetInfo(t.ctx).WorkflowExecution.ID, r)
}
