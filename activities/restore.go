package activities

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/superfly/ltx"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/telemetry"
)

// NameRestore is the name under which Restore is registered.
const NameRestore = "Restore"

// RestoreInput says what is restored to where. What else than a restore is wanted is
// short, and asked for on the control queue.
type RestoreInput struct {
	ID        string    `json:"id"`      // of the restore, over all of its attempts
	Replica   string    `json:"replica"` // URL
	Path      string    `json:"path"`    // on the host, absolute
	TXID      ltx.TXID  `json:"txid,omitempty"`
	At        time.Time `json:"at,omitzero"` // the last state before; without TXID and At the latest
	Force     bool      `json:"force,omitempty"`
	Replace   string    `json:"replace,omitempty"` // registered database that is held meanwhile
	Integrity string    `json:"integrity,omitempty"`
	Mode      uint32    `json:"mode,omitempty"`
	Owner     string    `json:"owner,omitempty"` // USER or USER:GROUP, as the host knows them

	Check   bool `json:"check,omitempty"`   // only tell whether it could be done
	Discard bool `json:"discard,omitempty"` // only remove what dead attempts have left
}

// RestoreResult is what a restore came to.
type RestoreResult struct {
	Occupant string    `json:"occupant,omitempty"` // of a check: the registered database at the path
	TXID     ltx.TXID  `json:"txid,omitempty"`
	Created  time.Time `json:"created,omitzero"` // when the state was captured
	Bytes    int64     `json:"bytes"`            // of the file
	Objects  int       `json:"objects"`
	Fetched  int64     `json:"fetched_bytes"`
	Digested bool      `json:"digested"` // the digest of the whole database was compared
}

// RestoreBeat is what a restore puts into its heartbeats.
type RestoreBeat struct {
	Objects      int   `json:"objects"`
	ObjectsTotal int   `json:"objects_total"`
	Bytes        int64 `json:"bytes"` // of the objects, as they are stored
	BytesTotal   int64 `json:"bytes_total"`
	Rate         int64 `json:"bytes_per_second"` // since the attempt began
}

// Restorer is the part of a host that restores.
type Restorer interface {
	// CheckRestore tells whether r could be done, and which registered database
	// is at its path, if any.
	CheckRestore(ctx context.Context, r host.Restoring) (occupant string, err error)
	// Restore restores r. It may be called again until it has answered.
	Restore(ctx context.Context, r host.Restoring) (restore.Result, error)
	// DiscardRestore removes what attempts at r have left behind.
	DiscardRestore(ctx context.Context, r host.Restoring) error
}

// RestoreActivities restore to paths of one host. Host must be set.
type RestoreActivities struct {
	Host Restorer
}

// Restore restores a database, or does what else its input asks for. An attempt that
// ends because its worker does is made again, and so is one whose store is away; for
// all else somebody has to do something first.
func (a *RestoreActivities) Restore(ctx context.Context, in RestoreInput) (RestoreResult, error) {
	r, err := in.restoring()
	switch {
	case err != nil:
		return RestoreResult{}, restoreFailed(err)
	case in.Check:
		occupant, err := a.Host.CheckRestore(ctx, r)
		return RestoreResult{Occupant: occupant}, restoreEnded(ctx, err)
	case in.Discard:
		return RestoreResult{}, restoreEnded(ctx, a.Host.DiscardRestore(ctx, r))
	}
	return a.restore(ctx, r)
}

func (a *RestoreActivities) restore(ctx context.Context, r host.Restoring) (RestoreResult, error) {
	ctx, end := enduring(ctx)
	defer end()
	work, leave := withWorker(ctx)
	defer leave()
	pulse, begun := startPulse(ctx, RestoreBeat{}, rhythm{}), time.Now()
	r.Progress = func(p restore.Progress) { pulse.set(restoreBeat(p, time.Since(begun))) }
	res, err := a.Host.Restore(work, r)
	pulse.stop()
	if err != nil {
		return RestoreResult{}, restoreEnded(work, err)
	}
	activity.GetLogger(ctx).Info("restored", telemetry.Path, r.Output, telemetry.TXID, res.TXID.String(),
		telemetry.Bytes, res.Bytes, telemetry.TookMS, time.Since(begun).Milliseconds())
	return RestoreResult{
		TXID: res.TXID, Created: res.Created.UTC(), Bytes: res.Bytes, Objects: res.Objects, Fetched: res.Fetched, Digested: res.Digested,
	}, nil
}

func restoreBeat(p restore.Progress, took time.Duration) RestoreBeat {
	b := RestoreBeat{Objects: p.Objects, ObjectsTotal: p.ObjectsTotal, Bytes: p.Bytes, BytesTotal: p.BytesTotal}
	if took > 0 {
		b.Rate = int64(float64(p.Bytes) / took.Seconds())
	}
	return b
}

func (in RestoreInput) restoring() (host.Restoring, error) {
	r := host.Restoring{ID: in.ID, Replica: in.Replica, Replace: in.Replace, Options: restore.Options{
		Output: in.Path, Target: plan.Target{TXID: in.TXID, At: in.At}, Force: in.Force,
		Integrity: restore.Integrity(in.Integrity), Mode: fs.FileMode(in.Mode),
	}}
	if in.Owner == "" {
		return r, nil
	}
	var err error
	if r.Owner, err = restore.ParseOwner(in.Owner); err != nil {
		return r, fmt.Errorf("%w: owner: %w on this host; name one that is there, or a number", blob.ErrConfig, err)
	}
	return r, nil
}

// afterStop is the wait before the next attempt when a worker stops: what follows
// it needs a moment to come up, and a restore is not to wait for long.
const afterStop = time.Second

// restoreEnded is restoreFailed, and tells an end that was wanted from a failure.
func restoreEnded(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case stopping(ctx):
		return temporal.NewApplicationErrorWithOptions("the worker stops; the next one goes on", WorkerStopping,
			temporal.ApplicationErrorOptions{NextRetryDelay: afterStop})
	case ctx.Err() != nil:
		return temporal.NewCanceledError()
	}
	return restoreFailed(err)
}

// restoreFailed returns err as Temporal is to see it. A store that is away comes
// back, and an object that was merged away meanwhile is in another one; whatever
// else fails would fail again.
func restoreFailed(err error) error {
	typ, _ := Classify(err)
	again := typ == StoreUnavailable || typ == StoreThrottled || errors.Is(err, blob.ErrNotFound)
	options := temporal.ApplicationErrorOptions{NonRetryable: !again}
	if wait, ok := blob.RetryAfter(err); ok && typ == StoreThrottled {
		options.NextRetryDelay = wait
	}
	return temporal.NewApplicationErrorWithOptions(err.Error(), typ, options)
}
