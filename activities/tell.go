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
	typ    string    // of the last failure; empty while all is well
	logged time.Time // when a failure was last logged
	spoken bool      // a failure was logged since all was well
}

// failing notes a failure at now. It tells whether to log it, and whether it is
// news for the workflow: the first one, or one of another kind.
func (q *quiet) failing(name, typ string, now time.Time) (log, news bool) {
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
	log, news = t.logged.IsZero() || now.Sub(t.logged) >= logEvery, t.typ != typ
	t.typ = typ
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
	recovered, spoken = t.typ != "", t.spoken
	t.typ, t.spoken = "", false
	return recovered, spoken
}

// forget makes the next failure of the database news: whoever registers it again
// has heard of none.
func (q *quiet) forget(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.known, name)
}

func (t *attempt) tellFailure(err error, beat Beat) {
	name := t.in.Database.Name
	log, news := t.quiet.failing(name, beat.Type, time.Now())
	if log {
		activity.GetLogger(t.ctx).Error("sync failed", telemetry.Database, name,
			telemetry.Failures, beat.Failures, "type", beat.Type, telemetry.Error, err.Error())
	}
	if news {
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
