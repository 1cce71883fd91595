package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/driver"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/telemetry"
	"github.com/holdfast-db/holdfast/internal/watch"
	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

// What an orderly end may take.
const (
	closeWithin = 30 * time.Second // for last passes and closing databases
	tellWithin  = 5 * time.Second  // for reports that are still to be sent
	lostWithin  = 10 * time.Second // for ending what the last process left
)

// serve runs the worker until ctx ends.
func serve(ctx context.Context, w world, s settings) error {
	unlock, err := lockHost(s.processDir, s.Host)
	if err != nil {
		return err
	}
	defer unlock()
	handler, err := telemetry.NewHandler(telemetry.MaskWriter(w.stderr, s.secrets), s.Log.Format, s.Log.Level)
	if err != nil {
		return usageError{err}
	}
	logger := slog.New(handler)
	metrics := telemetry.NewMetrics()
	stop, err := serveMetrics(logger, s.Metrics.Listen, metrics)
	if err != nil {
		return err
	}
	defer stop()
	watcher, err := watch.New()
	if err != nil {
		logger.Warn("databases that rest are looked at now and then", telemetry.Error, err.Error())
	} else {
		defer watcher.Close() //nolint:errcheck // the process ends
	}
	attend := newAttendance(logger, s.Host)
	h, err := host.New(host.Options{
		StateDir: s.processDir, DatabaseDir: s.databaseDir, Log: logger,
		OpenReplica: opener(s.credentials), Observer: observer{metrics}, Attendance: attend, Watcher: watcher,
	})
	if err != nil {
		return err
	}
	replicas := &activities.ReplicaActivities{
		Open: opener(s.janitor), Log: logger, Maintained: observer{metrics}.Maintained,
		Host: s.Host, Scratch: s.scratch, Verified: observer{metrics}.Verified,
	}
	register := func(c *control.Connection) func(context.Context) {
		return registering(logger, s, c, h, metrics, watcher)
	}
	failure := attended(ctx, w, logger, handler, s, plane{h, attend, replicas, register})
	closing, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	if err := h.Close(closing); err != nil {
		logger.Error("databases not closed in order", telemetry.Error, err.Error())
	}
	if failure == nil {
		logger.Info("worker stopped", telemetry.Host, s.Host)
	}
	return failure
}

// plane is what the workers work with.
type plane struct {
	host     *host.Host
	attend   *attendance
	replicas *activities.ReplicaActivities
	register registers
}

// attended connects, as soon as that is possible, and runs the workers until ctx ends.
func attended(ctx context.Context, w world, logger *slog.Logger, handler slog.Handler, s settings, p plane) error {
	c, err := connect(ctx, logger, p.attend, len(p.host.Instructions()) > 0, control.Dialing{
		Environ:  w.environ,
		Identity: fmt.Sprintf("holdfast-worker/%s/%d", s.Host, os.Getpid()),
		Logger:   log.NewStructuredLogger(slog.New(quieted(handler))),
		Patience: w.patience,
	})
	if err != nil || c == nil {
		return err
	}
	defer c.Close()
	introduce(logger, s, c)
	return work(ctx, logger, s, c, p)
}

// sayEvery is how often the same trouble with Temporal is logged.
const sayEvery = 30 * time.Second

// connect returns a connection; nil if ctx ended before there was one. A host that has
// databases to go on with waits for as long as it takes, whatever is wrong.
func connect(ctx context.Context, logger *slog.Logger, attend *attendance, going bool, d control.Dialing) (*control.Connection, error) {
	for said := (time.Time{}); ; {
		c, err := control.Dial(ctx, d)
		switch {
		case err == nil:
			return c, nil
		case ctx.Err() != nil && going:
			return nil, nil
		case !going:
			return nil, asUsage(fmt.Errorf("connect: %w", err))
		}
		attend.failed()
		if time.Since(said) >= sayEvery {
			logger.Error("temporal is not reached; databases are shipped without it", telemetry.Error, err.Error())
			said = time.Now()
		}
		d.Patience = 0
		attend.rest(ctx)
	}
}

// work runs the workers until ctx ends. Should they come to an end by themselves, they
// are started again as long as there are databases to go on with.
func work(ctx context.Context, logger *slog.Logger, s settings, c *control.Connection, p plane) error {
	h, attend := p.host, p.attend
	t := tune(max(len(s.Databases), len(h.Instructions())), s.Tuning)
	acts := &activities.HostActivities{Host: h, Reporter: activities.BySignal(c), Doubt: attend.doubt, BeatEvery: t.beatEvery}
	defer func() {
		tell, cancel := context.WithTimeout(context.Background(), tellWithin)
		defer cancel()
		acts.Close(tell)
	}()
	p.replicas.Fleet = control.New(c, c.Namespace)
	endLost(ctx, logger, c, h)
	attending, cancel := context.WithCancel(ctx)
	var ended sync.WaitGroup
	defer ended.Wait()
	defer cancel()
	attend.connected(temporal{control.New(c, c.Namespace), c}, slices.Collect(maps.Keys(h.Instructions())))
	ended.Go(func() { attend.run(attending, h, t.wakes, again(control.New(c, c.Namespace))) })
	ended.Go(func() { relieve(attending, h.Resting) })
	for {
		fleet := newWorkers(c.Client, s, t, abilities{acts, &activities.RestoreActivities{Host: h}, p.replicas})
		failure := fleet.start()
		if failure == nil {
			logger.Info("worker started", telemetry.Host, s.Host)
			failure = keep(ctx, logger, fleet, p.register(c))
		}
		fleet.stop()
		if failure == nil || ctx.Err() != nil || len(h.Instructions()) == 0 {
			return failure
		}
		logger.Error("workers ended; they are started again", telemetry.Error, failure.Error())
		attend.rest(ctx)
	}
}

// again registers a database of which the service knows nothing any more, as it was.
func again(c *control.Control) func(context.Context, host.Instructions) error {
	return func(ctx context.Context, i host.Instructions) error {
		var spec workflows.Spec
		if err := json.Unmarshal(i.Spec, &spec); err != nil {
			return fmt.Errorf("register %s again: its instructions cannot be read: %w; register it by hand", i.Database.Name, err)
		}
		if _, err := c.Register(ctx, workflows.Registration{Spec: spec}); err != nil {
			return err
		}
		if !i.Held {
			return nil
		}
		_, err := c.Pause(ctx, spec.Name, "it was paused before Temporal lost its workflow")
		return err
	}
}

// keep has databases registered and returns when ctx ends, or with the error after
// which the workers cannot go on.
func keep(ctx context.Context, logger *slog.Logger, fleet *workers, register func(context.Context)) (failure error) {
	registering, cancel := context.WithCancel(ctx)
	var ended sync.WaitGroup
	ended.Go(func() { register(registering) })
	select {
	case <-ctx.Done():
		logger.Info("worker stops", telemetry.Reason, context.Cause(ctx).Error())
	case failure = <-fleet.fatal:
	}
	cancel()
	ended.Wait()
	return failure
}

// opener opens replicas with this worker's credentials.
func opener(credentials driver.Credentials) func(context.Context, string) (*replica.Replica, error) {
	return func(ctx context.Context, url string) (*replica.Replica, error) {
		u, err := blob.ParseURL(url)
		if err != nil {
			return nil, err
		}
		store, err := driver.Open(ctx, u, credentials)
		if err != nil {
			return nil, err
		}
		return replica.New(store), nil
	}
}

// introduce says what this worker is and has.
func introduce(logger *slog.Logger, s settings, c *control.Connection) {
	logger.Info("host named", telemetry.Host, s.Host, "state_dir", s.processDir)
	logger.Info("temporal connected", telemetry.Address, c.Address, telemetry.Namespace, c.Namespace)
	if s.Replica != "" {
		logger.Info("replica root set", telemetry.Replica, s.Replica)
	}
	for _, db := range s.Databases {
		logger.Info("database listed", telemetry.Database, db.Name, telemetry.Path, db.Path, telemetry.Replica, db.Replica)
	}
	for _, d := range s.Directories {
		logger.Info("directory listed", telemetry.Path, d.Dir, "pattern", d.Pattern, "recursive", d.Recursive, "names", d.Name)
	}
	if len(s.Databases)+len(s.Directories) == 0 {
		logger.Info("no database listed; holdfast register adds one")
	}
	logger.Info("maintenance offered", "slots", s.Maintenance.Slots)
}

// endLost ends the windows that a crash of the last process left open. Whatever
// fails of it costs time, no more: they end by their heartbeat.
func endLost(ctx context.Context, logger *slog.Logger, c *control.Connection, h *host.Host) {
	ctx, cancel := context.WithTimeout(ctx, lostWithin)
	defer cancel()
	unstick(ctx, c, h)
	ended, err := activities.EndLostWindows(ctx, c, h, func(ctx context.Context, name string) activities.Beat { return lastBeat(ctx, c, name) })
	if ended > 0 {
		logger.Info("lost windows ended", "windows", ended)
	}
	if err != nil {
		logger.Warn("lost windows not ended; they end by their heartbeat", telemetry.Error, err.Error())
	}
}

// lastBeat returns what the service last heard of a database's window; nothing
// if it does not say. It only keeps what status shows from falling back.
func lastBeat(ctx context.Context, c *control.Connection, name string) (beat activities.Beat) {
	described, err := c.DescribeWorkflowExecution(ctx, workflows.WorkflowID(name), "")
	if err != nil {
		return beat
	}
	for _, pending := range described.GetPendingActivities() {
		if pending.GetActivityType().GetName() != activities.NameSync || pending.GetHeartbeatDetails() == nil {
			continue
		}
		if converter.GetDefaultDataConverter().FromPayloads(pending.GetHeartbeatDetails(), &beat) != nil {
			return activities.Beat{}
		}
	}
	return beat
}

// unstick lets any worker have the next tasks of the workflows with lost
// windows: else the service keeps them for a while for the process that died.
func unstick(ctx context.Context, c *control.Connection, h *host.Host) {
	lost, err := h.LostWindows()
	if err != nil {
		return // EndLostWindows meets the same, and says so
	}
	for _, w := range lost {
		// It only saves time; what goes wrong shows itself in the next call.
		_, _ = c.WorkflowService().ResetStickyTaskQueue(ctx, &workflowservice.ResetStickyTaskQueueRequest{
			Namespace: c.Namespace,
			Execution: &commonpb.WorkflowExecution{WorkflowId: workflows.WorkflowID(w.Name)},
		})
	}
}
