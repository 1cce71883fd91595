package activities

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/superfly/ltx"
	"go.temporal.io/sdk/activity"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/maintain"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/telemetry"
)

// NameMaintain is the name under which Maintain is registered.
const NameMaintain = "Maintain"

// MaintainInput says what is to be maintained, and what is kept.
type MaintainInput struct {
	Name    string   `json:"name"` // of the database
	Replica string   `json:"replica"`
	Window  Duration `json:"window"`         // states of this age can be restored
	Level0  Duration `json:"level0"`         // for this long, the state after each put
	Keep    bool     `json:"keep,omitempty"` // remove nothing: the store's own rules do
	Pins    []Target `json:"pins,omitempty"` // states that are being restored
}

// Target is a state: at a TXID, or the last before an instant; the latest if it is
// neither.
type Target struct {
	TXID ltx.TXID  `json:"txid,omitempty"`
	At   time.Time `json:"at,omitzero"`
}

// MaintainResult is what a run has done, and what there is after it.
type MaintainResult struct {
	Done    Maintained `json:"done"`
	Objects int        `json:"objects"` // in the replica, afterwards
	Bytes   int64      `json:"bytes"`
	Oldest  time.Time  `json:"oldest,omitzero"`  // of the first state that can be restored
	Left    int        `json:"left,omitempty"`   // objects that nothing needs, not removed yet
	Next    time.Time  `json:"next,omitzero"`    // when more of them come, if nothing is put; zero for never
	Damage  string     `json:"damage,omitempty"` // what was found damaged, and so was left
	Stopped bool       `json:"stopped,omitempty"`
}

// Maintained counts what runs have done.
type Maintained struct {
	Merged       int   `json:"merged"` // objects made of others
	ReadBytes    int64 `json:"read_bytes"`
	WrittenBytes int64 `json:"written_bytes"`
	Expired      int   `json:"expired"` // objects removed
	ExpiredBytes int64 `json:"expired_bytes"`
}

// Plus adds up.
func (m Maintained) Plus(n Maintained) Maintained {
	return Maintained{
		Merged: m.Merged + n.Merged, ReadBytes: m.ReadBytes + n.ReadBytes, WrittenBytes: m.WrittenBytes + n.WrittenBytes,
		Expired: m.Expired + n.Expired, ExpiredBytes: m.ExpiredBytes + n.ExpiredBytes,
	}
}

func (in MaintainInput) validate() error {
	if level0, window := time.Duration(in.Level0), time.Duration(in.Window); level0 < plan.LeastLevel0 || window < level0 {
		return fmt.Errorf("%w: maintain %s: each put is to be kept for %v and the window is %v, want %v at least, and no less for the window; correct the retention settings",
			blob.ErrConfig, in.Name, level0, window, plan.LeastLevel0)
	}
	return nil
}

func (in MaintainInput) policy() plan.Policy {
	return plan.Policy{Window: time.Duration(in.Window), Level0: time.Duration(in.Level0)}
}

func (in MaintainInput) targets() (targets []plan.Target) {
	for _, p := range in.Pins {
		targets = append(targets, plan.Target{TXID: p.TXID, At: p.At})
	}
	return targets
}

// Maintain makes the merges of a replica that are due and removes what has expired. It
// can be cut off anywhere and made again by anybody: what is done stays done. Damage is
// no error of it: trying again would find it again. A worker that stops ends it well,
// with what it has done so far.
func (a *ReplicaActivities) Maintain(ctx context.Context, in MaintainInput) (MaintainResult, error) {
	begun := time.Now()
	work, end := withWorker(ctx)
	defer end()
	alive := keepAlive[Maintained](ctx)
	defer alive.stop()
	res, err := a.maintain(work, in, alive.set)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return MaintainResult{}, ctx.Err()
	case stopping(work):
		res.Stopped = true
	case !errors.Is(err, replica.ErrDamaged):
		a.told(in.Name, res, err)
		return MaintainResult{}, failed(err, Beat{})
	default:
		res.Damage = err.Error()
	}
	a.told(in.Name, res, nil)
	activity.GetLogger(ctx).Info("maintained", telemetry.Database, in.Name, "merged", res.Done.Merged, "expired", res.Done.Expired,
		"left", res.Left, "damage", res.Damage, "stopped", res.Stopped, telemetry.TookMS, time.Since(begun).Milliseconds())
	return res, nil
}

// maintain returns what was done also beside an error.
func (a *ReplicaActivities) maintain(ctx context.Context, in MaintainInput, progress func(Maintained)) (res MaintainResult, err error) {
	if err := in.validate(); err != nil {
		return res, err
	}
	source, err := a.Open(ctx, in.Replica)
	if err != nil {
		return res, err
	}
	report, err := maintain.Run(ctx, maintain.Options{
		Replica: source, URL: in.Replica, Policy: in.policy(), Keep: in.Keep, Log: a.Log, Pins: in.targets(),
		Progress: func(r maintain.Report) { progress(done(r, in.Keep)) },
	})
	res = MaintainResult{Done: done(report, in.Keep), Objects: report.Objects, Bytes: report.Bytes, Oldest: report.Oldest}
	if errors.Is(err, maintain.ErrClock) {
		err = fmt.Errorf("on worker %s: %w", a.Host, err)
	}
	if err != nil && !errors.Is(err, replica.ErrDamaged) {
		return res, err
	}
	if err := look(ctx, source, in, &res); err != nil {
		return res, err
	}
	return res, err
}

// done is what r has done. What was only found to have expired is not.
func done(r maintain.Report, keep bool) Maintained {
	m := Maintained{Merged: len(r.Merged), ReadBytes: r.Read, WrittenBytes: r.Written}
	if !keep {
		m.Expired, m.ExpiredBytes = len(r.Expired), r.ExpiredBytes
	}
	return m
}

// look says what there is after a run, and when there will be something to remove.
func look(ctx context.Context, source *replica.Replica, in MaintainInput, res *MaintainResult) error {
	all, err := source.All(ctx)
	if err != nil {
		return err
	}
	files, now := replica.Files(all), time.Now()
	res.Objects, res.Bytes, res.Oldest = len(files), 0, time.Time{}
	for _, f := range files {
		res.Bytes += f.Size
	}
	if points, _ := plan.Points(files); len(points) > 0 {
		res.Oldest = points[0].Created
	}
	if in.Keep {
		return nil
	}
	pins := plan.Pinned(files, in.targets())
	res.Left = len(plan.Retention(files, in.policy(), pins, now))
	res.Next, _ = plan.NextRemoval(files, in.policy(), pins, now)
	return nil
}

// alive sends heartbeats with what was done so far, for as long as the work takes. One
// object can take an hour, so that time sends them and not progress; and none is sent
// for what takes a moment, as each may cost something.
type alive[T any] struct {
	mu    sync.Mutex
	done  T
	over  chan struct{}
	ended sync.WaitGroup
}

func keepAlive[T any](ctx context.Context) *alive[T] {
	a := &alive[T]{over: make(chan struct{})}
	if timeout := activity.GetInfo(ctx).HeartbeatTimeout; timeout > 0 {
		a.ended.Go(func() { a.beat(ctx, timeout/3) })
	}
	return a
}

func (a *alive[T]) beat(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-a.over:
			return
		case <-ctx.Done():
			return
		case <-ticker.C:
			activity.RecordHeartbeat(ctx, a.soFar())
		}
	}
}

func (a *alive[T]) set(done T) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done = done
}

func (a *alive[T]) soFar() T {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.done
}

func (a *alive[T]) stop() {
	close(a.over)
	a.ended.Wait()
}
