// Package activities is the thin layer between Temporal and the data plane on a
// database's host: decode, make one call, translate the error.
//
// It decides nothing about order, waiting or clean-up; that is package
// workflows. What it does keep is what a retry must not lose: the count of
// consecutive failures, carried in heartbeat details, in errors and in
// cancellations. Attempt numbers do not serve for that, because they also count
// lost heartbeats, crashes and resets by hand.
//
// Nothing here blocks on Temporal while pages are on their way: heartbeats and
// reports are sent beside the pass, so a service that does not answer does not
// stop replication.
package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/superfly/ltx"
	"go.temporal.io/sdk/activity"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/telemetry"
)

// Host is the data plane of one machine. All methods are safe for concurrent
// use.
type Host interface {
	// Sync makes passes until the window is over and calls beat after each. It
	// returns what it reached also beside an error.
	Sync(ctx context.Context, w host.Window, beat func(host.Progress)) (host.Result, error)
	// SyncOnce makes one pass, also beside a running window.
	SyncOnce(ctx context.Context, db host.Database, head ltx.TXID) (host.Result, error)
	// Snapshot is SyncOnce that puts all pages as a snapshot, unless there is one of a later
	// state than after.
	Snapshot(ctx context.Context, db host.Database, head, after ltx.TXID) (host.Result, error)
	// Check tells whether db can be replicated. It writes nothing.
	Check(ctx context.Context, db host.Database) error
	// StopSync ends the running window and returns when it has ended. That none
	// runs is no error.
	StopSync(ctx context.Context, name string) error
	// Hold lets nothing be shipped before the next window, whoever is away.
	Hold(name string)
	// CleanUp removes what a full disk can do without.
	CleanUp(ctx context.Context, db host.Database, fold bool) (host.CleanUp, error)
	// Release closes db.
	Release(ctx context.Context, db host.Database) error
}

// HostActivities are the activities of one host's worker. One value serves all
// of its databases and both of its queues. Host must be set; without a Reporter
// nothing is reported. Close it after the workers have stopped.
type HostActivities struct {
	Host     Host
	Reporter Reporter

	// Doubt, if not nil, is told of a database whose window the service does not know
	// any more: its workflow may be gone.
	Doubt func(database string)

	// BeatEvery, if not nil, is the least time between two heartbeats of a window while
	// that many are at work in this process. timeout is after how long a silent one
	// counts as dead.
	BeatEvery func(windows int, timeout time.Duration) time.Duration

	attempts attempts
	quiet    quiet
	reports  reports
}

// Close sends what is still to be reported and stops reporting. It waits no
// longer than ctx allows.
func (a *HostActivities) Close(ctx context.Context) { a.reports.close(ctx) }

// Quiet is how long an activity works before its first heartbeat. A look at a database
// that rests, and a pass of the plain form, are over by then.
const Quiet = time.Second

// rhythm is that of windows and passes.
func (a *HostActivities) rhythm() rhythm {
	r := rhythm{quiet: Quiet}
	if a.BeatEvery != nil {
		r.rest = func(timeout time.Duration) time.Duration { return a.BeatEvery(a.attempts.atWork(), timeout) }
	}
	return r
}

// SyncOnce makes one pass and returns where the replica is then, or with Check
// only judges whether passes could be made.
func (a *HostActivities) SyncOnce(ctx context.Context, in SyncOnceInput) (Progress, error) {
	if in.Check {
		return Progress{}, Check(ctx, a.Host, in.Database)
	}
	pulse := startPulse(ctx, Beat{Progress: Progress{TXID: in.Head}}, a.rhythm())
	defer pulse.stop()
	res, err := a.once(ctx, in)
	if err != nil {
		return Progress{}, translate(ctx, err)
	}
	return progressOf(res.Progress), nil
}

func (a *HostActivities) once(ctx context.Context, in SyncOnceInput) (host.Result, error) {
	if in.Snapshot {
		return a.Host.Snapshot(ctx, in.Database.host(), in.Head, in.After)
	}
	return a.Host.SyncOnce(ctx, in.Database.host(), in.Head)
}

// checkWithin is what a store has to answer in before somebody who waits is told
// that it does not. Package azure needs 10 s to find that nobody is there.
const checkWithin = 20 * time.Second

// Check asks h whether passes of db could be made. Its error is an activity's, with one of
// this package's types.
func Check(ctx context.Context, h Host, db Database) error {
	within, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	err := h.Check(within, db.host())
	switch {
	case err == nil:
		return nil
	case within.Err() != nil && ctx.Err() == nil:
		err = fmt.Errorf("%w: %s gave no answer within %v; check the replica URL, and that this host reaches the store",
			blob.ErrUnavailable, db.Replica, checkWithin)
	}
	return translate(ctx, err)
}

// stopPoll is how long StopSync lets a window go on that had not reached the
// data plane when it was told to stop.
const stopPoll = 5 * time.Millisecond

// StopSync ends the database's window and returns when no Sync of this process
// is at work on it any more, so that nothing is written afterwards. It says how
// the failures of the window stand, as the server does not when it cancels one
// that backs off.
func (a *HostActivities) StopSync(ctx context.Context, in StopSyncInput) (StopSyncResult, error) {
	if in.Hold {
		a.Host.Hold(in.Name)
	}
	for {
		if err := a.Host.StopSync(ctx, in.Name); err != nil {
			return StopSyncResult{}, translate(ctx, err)
		}
		if !a.attempts.any(in.Name) {
			return StopSyncResult{Beat: a.attempts.left(in.Name, in.Window)}, nil
		}
		select {
		case <-time.After(stopPoll):
		case <-ctx.Done():
			return StopSyncResult{}, ctx.Err()
		}
	}
}

// CleanUp removes what a full disk can do without.
func (a *HostActivities) CleanUp(ctx context.Context, in CleanUpInput) (CleanUpResult, error) {
	removed, err := a.Host.CleanUp(ctx, in.Database.host(), in.Fold)
	if err != nil {
		return CleanUpResult{}, translate(ctx, err)
	}
	activity.GetLogger(ctx).Info("cleaned up", telemetry.Database, in.Database.Name, "files", removed.Files, telemetry.Bytes, removed.Bytes)
	result := CleanUpResult{Files: removed.Files, Bytes: removed.Bytes}
	if f := removed.Folded; f.Files > 0 {
		result.Folded = &Folded{Files: f.Files, From: f.From, Until: f.Until}
	}
	return result, nil
}

// Release closes the database as its last user.
func (a *HostActivities) Release(ctx context.Context, in ReleaseInput) error {
	if err := a.Host.Release(ctx, in.Database.host()); err != nil {
		return translate(ctx, err)
	}
	a.quiet.forget(in.Database.Name)
	activity.GetLogger(ctx).Info("released", telemetry.Database, in.Database.Name)
	return nil
}

// translate is failed for activities that carry no count, and leaves a
// cancellation one.
func translate(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return failed(err, Beat{})
}
