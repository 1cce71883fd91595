package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/telemetry"
	"github.com/holdfast-db/holdfast/internal/verify"
)

const (
	// ownHostTries is how often the database's own host leaves a verification to others,
	// ownHostRest what it rests for after each: where there is no other worker, it makes it
	// some seconds later. A disk or a memory that is at fault must not vouch for itself.
	ownHostTries = 5
	ownHostRest  = time.Second

	// noRoomRest is the wait after a worker had too little scratch space.
	noRoomRest = 5 * time.Second
)

// verifying is what a verification tells in heartbeats.
type verifying struct {
	What  string `json:"what"`
	Read  int64  `json:"read_bytes"`
	Total int64  `json:"total_bytes"`
}

// LookUp returns what the database's workflow knows.
func (a *ReplicaActivities) LookUp(ctx context.Context, name string) (Known, error) {
	known, err := a.Fleet.Known(ctx, name)
	if err != nil {
		return Known{}, translate(ctx, err)
	}
	return known, nil
}

// Snapshot has the database's host put a snapshot. That it cannot is no failure that
// trying again helps against: the error says why.
func (a *ReplicaActivities) Snapshot(ctx context.Context, in SnapshotInput) (Progress, error) {
	alive := keepAlive[verifying](ctx)
	defer alive.stop()
	alive.set(verifying{What: "waiting for the snapshot of the database"})
	p, err := a.Fleet.Snapshot(ctx, in.Name, in.After)
	if err != nil && ctx.Err() == nil {
		return Progress{}, temporal.NewNonRetryableApplicationError(err.Error(), Internal, nil)
	}
	return p, err
}

// Verify proves a state of a replica, unless it is cheap, and reads its objects. What it
// finds is no error. It can be cut off anywhere, and leaves nothing behind.
func (a *ReplicaActivities) Verify(ctx context.Context, in VerifyInput) (VerifyResult, error) {
	res := VerifyResult{Worker: a.Host, Elsewhere: a.Host != in.Host}
	if attempt := activity.GetInfo(ctx).Attempt; !res.Elsewhere && attempt <= ownHostTries {
		return res, temporal.NewApplicationErrorWithOptions(
			fmt.Sprintf("%s has the database itself, and leaves this to another worker, %d times of %d", a.Host, attempt, ownHostTries),
			OwnHost, temporal.ApplicationErrorOptions{NextRetryDelay: ownHostRest})
	}
	work, end := withWorker(ctx)
	defer end()
	alive := keepAlive[verifying](ctx)
	defer alive.stop()
	source, err := a.Open(work, in.Replica)
	if err == nil {
		err = Examine(work, source, in, a.Scratch, func(what string, read, total int64) { alive.set(verifying{what, read, total}) }, &res)
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return res, ctx.Err()
	case stopping(work):
		return res, temporal.NewApplicationError("the worker stops", WorkerStopping)
	default:
		return res, a.verifyFailed(err)
	}
	if a.Verified != nil {
		a.Verified(in.Name, res)
	}
	activity.GetLogger(ctx).Info("verified", telemetry.Database, in.Name, "proven", res.Proven != nil, "objects", res.Survey.Read,
		telemetry.Bytes, res.Read, "damaged", res.Survey.Damages, "gaps", res.Survey.GapCount)
	return res, nil
}

// verifyFailed is failed. Where this worker has no room, another one may have it, so that
// trying again soon helps or shows that none has.
func (a *ReplicaActivities) verifyFailed(err error) error {
	if typ, _ := Classify(err); typ != DiskFull {
		return failed(err, Beat{})
	}
	return temporal.NewApplicationErrorWithOptions(fmt.Sprintf("on worker %s: %v", a.Host, err), DiskFull,
		temporal.ApplicationErrorOptions{NextRetryDelay: noRoomRest})
}

// Examine verifies source as in says, and adds what it finds to res. tell, if it is set,
// hears how far it has come.
func Examine(ctx context.Context, source *replica.Replica, in VerifyInput, scratch string, tell func(what string, read, total int64), res *VerifyResult) error {
	if tell == nil {
		tell = func(string, int64, int64) {}
	}
	e := examination{in, source, scratch, tell, res}
	if !in.Cheap {
		if err := e.prove(ctx); err != nil {
			return err
		}
	}
	return e.survey(ctx)
}

type examination struct {
	in      VerifyInput
	source  *replica.Replica
	scratch string
	tell    func(what string, read, total int64)
	res     *VerifyResult
}

func (e examination) prove(ctx context.Context) error {
	p, err := verify.Prove(ctx, verify.ProofOptions{
		Replica: e.source, URL: e.in.Replica, Target: plan.Target{TXID: e.in.TXID}, Scratch: e.scratch, Budget: e.in.Budget,
		Check:    verify.Check{SQL: e.in.Check, Within: time.Duration(e.in.CheckWithin)},
		Progress: func(read, total int64) { e.tell("restoring", read, total) },
	})
	e.res.Read += p.Read
	switch kind := faultKind(err); {
	case err == nil:
		e.res.Proven = provenOf(p, e.res.Worker, e.res.Elsewhere)
	case errors.Is(err, verify.ErrBudget):
		e.res.Skipped = err.Error()
	case kind != "":
		e.res.Fault = &Fault{Kind: kind, Message: err.Error()}
	default:
		return err
	}
	return nil
}

// faultKind tells whose fault err is; empty for none of those that a proof can find.
func faultKind(err error) string {
	switch {
	case errors.Is(err, verify.ErrReplica):
		return FaultReplica
	case errors.Is(err, verify.ErrDatabase):
		return FaultDatabase
	case errors.Is(err, verify.ErrCheck):
		return FaultCheck
	}
	return ""
}

func (e examination) survey(ctx context.Context) error {
	budget := e.in.Budget
	if budget > 0 {
		budget = max(1, budget-e.res.Read) // 0 would be no limit
	}
	s, err := verify.Look(ctx, verify.SurveyOptions{
		Replica: e.source, URL: e.in.Replica, Since: e.in.Since, Reached: e.in.Reached, Budget: budget, Scratch: e.scratch,
		Policy:   plan.Policy{Window: time.Duration(e.in.Window), Level0: time.Duration(e.in.Level0)},
		Progress: func(read, total int64) { e.tell("reading objects", read, total) },
	})
	if err != nil {
		return err
	}
	e.res.Read += s.ReadBytes
	e.res.Survey = SurveyOf(s)
	m, err := verify.Assess(ctx, verify.MendOptions{Replica: e.source, URL: e.in.Replica, Damaged: s.Damaged})
	e.res.Mending = MendingOf(m)
	return err
}

// Repair sets damaged objects aside that restores can do without. It can be cut off
// anywhere and made again by anybody.
func (a *ReplicaActivities) Repair(ctx context.Context, in RepairInput) (Mending, error) {
	alive := keepAlive[verifying](ctx)
	defer alive.stop()
	alive.set(verifying{What: "setting damaged objects aside"})
	m, err := a.repair(ctx, in)
	if err != nil && ctx.Err() != nil {
		return Mending{}, ctx.Err()
	}
	if err != nil {
		return Mending{}, failed(err, Beat{})
	}
	activity.GetLogger(ctx).Warn("repaired", telemetry.Database, in.Name, "aside", m.Aside, "later", m.Later, "merged", m.Merged, "lost_runs", m.LostRuns)
	return m, nil
}

func (a *ReplicaActivities) repair(ctx context.Context, in RepairInput) (Mending, error) {
	source, err := a.Open(ctx, in.Replica)
	if err != nil {
		return Mending{}, err
	}
	return SetAside(ctx, source, in, a.Scratch)
}

// SetAside sets damaged objects of source aside that restores can do without.
func SetAside(ctx context.Context, source *replica.Replica, in RepairInput, scratch string) (Mending, error) {
	opts := verify.MendOptions{Replica: source, URL: in.Replica, Alone: in.Alone, Scratch: scratch}
	for _, d := range in.Damaged {
		one, err := d.damage()
		if err != nil {
			return Mending{}, err
		}
		opts.Damaged = append(opts.Damaged, one)
	}
	m, err := verify.Mend(ctx, opts)
	return MendingOf(m), err
}
