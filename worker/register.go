package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
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
	atOnce = 32

	// roundSize is how many are registered after one look at what there is already.
	roundSize = 1000

	// firstRetry is the wait after a first refusal; each further one is twice as
	// long, up to the backoff cap. It is the wait for a service that is away.
	firstRetry = 5 * time.Second
)

// registrar registers a database after one look at what there is already.
type registrar interface {
	Register(context.Context, workflows.Registration) (control.Registered, error)
}

// registration brings databases under replication. One that is listed, or found, is
// one that somebody wants, so what is refused is asked for again: the file may not have
// been made yet, or somebody may put right what is wrong.
type registration struct {
	settings
	log       *slog.Logger
	registrar func(context.Context) (registrar, error)
	news      chan struct{} // holds one element when more is wanted

	more    bool              // may be wanted until the end
	counted func(refused int) // told after each round

	mu     sync.Mutex
	wanted map[string]*wish  // by path
	said   map[string]string // the last refusal of each name, so that it is logged once
}

// wish is a database that is not registered yet.
type wish struct {
	config.Database
	due     time.Time
	wait    time.Duration // after the next refusal
	refused bool
}

// newRegistration returns one that wants the listed databases.
func newRegistration(logger *slog.Logger, s settings, r func(context.Context) (registrar, error)) *registration {
	reg := &registration{
		settings: s, log: logger, registrar: r, news: make(chan struct{}, 1),
		said: map[string]string{}, wanted: map[string]*wish{}, counted: func(int) {},
	}
	for _, db := range s.Databases {
		reg.want(db)
	}
	return reg
}

// want has db registered soon.
func (r *registration) want(db config.Database) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted[db.Path] = &wish{Database: db, wait: min(firstRetry, r.Backoff.Cap)}
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// drop gives up a database that is not registered yet.
func (r *registration) drop(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.wanted[path]; w != nil {
		delete(r.said, w.Name)
		delete(r.wanted, path)
	}
}

// run returns when all are registered, if no more may be wanted, or when ctx ends.
func (r *registration) run(ctx context.Context) {
	for {
		due, next := r.due(time.Now())
		if len(due) > 0 {
			r.round(ctx, due)
		} else if next.IsZero() && !r.more {
			return
		}
		if !r.pause(ctx, len(due), next) {
			return
		}
	}
}

// pause waits until next, the zero time being never, or until more is wanted; not at
// all after a round. It reports false when ctx ends.
func (r *registration) pause(ctx context.Context, done int, next time.Time) bool {
	if done > 0 {
		return ctx.Err() == nil
	}
	var timer <-chan time.Time
	if !next.IsZero() {
		timer = time.After(time.Until(next))
	}
	select {
	case <-ctx.Done():
		return false
	case <-r.news:
	case <-timer:
	}
	return true
}

// due returns databases whose time has come, or when that of the next one comes; zero
// when none is left.
func (r *registration) due(now time.Time) (due []*wish, next time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.wanted {
		switch {
		case !w.due.After(now):
			due = append(due, w)
		case next.IsZero() || w.due.Before(next):
			next = w.due
		}
	}
	slices.SortFunc(due, func(a, b *wish) int { return strings.Compare(a.Name, b.Name) })
	return due[:min(len(due), roundSize)], next
}

// round tries to fulfil each of the wishes once.
func (r *registration) round(ctx context.Context, due []*wish) {
	registrar, err := r.registrar(ctx)
	if err != nil {
		r.refused(ctx, "", err)
		r.settle(due, nil)
		return
	}
	errs := make([]error, len(due))
	slots := make(chan struct{}, atOnce)
	var ended sync.WaitGroup
	for i, w := range due {
		slots <- struct{}{}
		ended.Go(func() {
			errs[i] = r.one(ctx, registrar, w.Database)
			<-slots
		})
	}
	ended.Wait()
	for i, w := range due {
		if errs[i] != nil {
			r.refused(ctx, w.Name, errs[i])
		}
	}
	r.settle(due, errs)
}

// settle keeps what was refused for later; without errs, all of it, and not ever later,
// as nobody has refused anything: the service was away. What was wanted
// anew meanwhile is wanted still: its registration may have come to its end.
func (r *registration) settle(tried []*wish, errs []error) {
	r.mu.Lock()
	for i, w := range tried {
		if errs == nil {
			w.due, w.refused = time.Now().Add(min(firstRetry, r.Backoff.Cap)), false
			continue
		}
		if errs[i] != nil {
			w.due, w.wait, w.refused = time.Now().Add(w.wait), min(2*w.wait, r.Backoff.Cap), true
			continue
		}
		delete(r.said, w.Name)
		if r.wanted[w.Path] == w {
			delete(r.wanted, w.Path)
		}
	}
	refused := 0
	for _, w := range r.wanted {
		if w.refused {
			refused++
		}
	}
	r.mu.Unlock()
	r.counted(refused)
}

func (r *registration) one(ctx context.Context, registrar registrar, db config.Database) error {
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
	r.mu.Lock()
	again := r.said[name] == err.Error()
	r.said[name] = err.Error()
	r.mu.Unlock()
	if again || ctx.Err() != nil {
		return
	}
	r.log.Error("not registered; it will be tried again", telemetry.Database, name, telemetry.Error, err.Error())
}
