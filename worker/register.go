package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/internal/telemetry"
	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

const (
	// atOnce is how many databases are registered side by side: enough to be quick
	// with a thousand, few enough to leave the service to others.
	atOnce = 16

	// firstRetry is the wait after a first refusal; each further one is twice as
	// long, up to the backoff cap.
	firstRetry = 5 * time.Second
)

// registration brings the listed databases under replication. A listed database
// is one that somebody wants, so what is refused is asked for again: the file
// may not have been made yet, or somebody may put right what is wrong.
type registration struct {
	log     *slog.Logger
	control *control.Control
	settings
	said map[string]string // the last refusal of each, so that it is logged once
}

// run returns when all are registered or ctx ends.
func (r *registration) run(ctx context.Context) {
	r.said = map[string]string{}
	left := r.Databases
	for wait := min(firstRetry, r.Backoff.Cap); ; wait = min(2*wait, r.Backoff.Cap) {
		if left = r.round(ctx, left); len(left) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// round tries each of the databases once and returns those that are left.
func (r *registration) round(ctx context.Context, databases []config.Database) (left []config.Database) {
	if len(databases) == 0 {
		return nil
	}
	registrar, err := r.control.Registrar(ctx)
	if err != nil {
		r.refused(ctx, "", err)
		return databases
	}
	errs := make([]error, len(databases))
	slots := make(chan struct{}, atOnce)
	var ended sync.WaitGroup
	for i, db := range databases {
		slots <- struct{}{}
		ended.Go(func() {
			errs[i] = r.one(ctx, registrar, db)
			<-slots
		})
	}
	ended.Wait()
	for i, db := range databases {
		if errs[i] != nil {
			r.refused(ctx, db.Name, errs[i])
			left = append(left, db)
		}
	}
	return left
}

func (r *registration) one(ctx context.Context, registrar *control.Registrar, db config.Database) error {
	res, err := registrar.Register(ctx, workflows.Registration{Spec: workflows.Spec{
		Name: db.Name, Host: r.Host, Path: db.Path, Replica: db.Replica, Settings: following(r.Config),
	}})
	if err != nil {
		return err
	}
	log := r.log.With(telemetry.Database, db.Name)
	switch {
	case res.New:
		log.Info("registered", telemetry.Path, db.Path, telemetry.Replica, db.Replica)
	case res.Changed:
		log.Info("registration changed", telemetry.Path, db.Path, telemetry.Replica, db.Replica)
	default:
		log.Info("registered before", telemetry.Phase, string(res.Status.Phase), telemetry.TXID, res.Status.TXID.String())
	}
	return nil
}

// refused logs why a database could not be registered, once for each reason.
func (r *registration) refused(ctx context.Context, name string, err error) {
	if ctx.Err() != nil || r.said[name] == err.Error() {
		return
	}
	r.said[name] = err.Error()
	r.log.Error("not registered; it will be tried again", telemetry.Database, name, telemetry.Error, err.Error())
}
