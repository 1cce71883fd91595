package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/telemetry"
	"github.com/holdfast-db/holdfast/workflows/control"
)

const (
	// askEvery is how often it is asked whether Temporal answers.
	askEvery = time.Second

	// wakeWithin is what one of them, or one question, may take.
	wakeWithin = 5 * time.Second

	// startWithin is what a first connection may take before databases go on alone.
	startWithin = 3 * time.Second
)

// attendance knows whether Temporal answers and what it says of this host's databases,
// and tells it of changes. It is safe for concurrent use.
type attendance struct {
	log  *slog.Logger
	name string // of the host
	now  func() time.Time

	mu      sync.Mutex
	begun   time.Time
	tried   bool            // a first connection has failed
	control service         // nil before there is a connection
	away    time.Time       // since when nobody answers; zero while somebody does
	unsure  map[string]bool // databases that are to be asked about, and whether nobody decides for them until then
	stirred map[string]bool // databases whose change is to be told of
	poked   chan struct{}
}

// service is what attendance needs of Temporal.
type service interface {
	Answers(ctx context.Context) bool
	Wake(ctx context.Context, database string) error
	Standing(ctx context.Context, database, host, path string) (control.Standing, error)
}

// temporal is the service at the end of a connection.
type temporal struct {
	*control.Control
	*control.Connection
}

func newAttendance(log *slog.Logger, hostName string) *attendance {
	return &attendance{
		log: log, name: hostName, now: time.Now, begun: time.Now(),
		unsure: map[string]bool{}, stirred: map[string]bool{}, poked: make(chan struct{}, 1),
	}
}

// Away implements host.Attendance. Until it was asked about, nobody decides for a
// database of which the service may have lost everything.
func (a *attendance) Away(database string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.control == nil {
		return a.tried || a.now().Sub(a.begun) > startWithin
	}
	return !a.away.IsZero() || a.unsure[database]
}

// Stirred implements host.Attendance.
func (a *attendance) Stirred(database string) {
	a.mu.Lock()
	a.stirred[database] = true
	a.mu.Unlock()
	a.poke()
}

// Missed implements host.Attendance.
func (a *attendance) Missed(database string) { a.doubt(database) }

func (a *attendance) poke() {
	select {
	case a.poked <- struct{}{}:
	default:
	}
}

// failed notes that no connection could be made.
func (a *attendance) failed() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tried = true
}

// connected begins to ask s, first about databases, which are those that this host has
// had.
func (a *attendance) connected(s service, databases []string) {
	a.mu.Lock()
	a.control = s
	for _, name := range databases {
		a.unsure[name] = a.tried // else the service has them, most likely
	}
	a.mu.Unlock()
	a.poke()
}

// data is what attendance needs of the host.
type data interface {
	Instructions() map[string]host.Instructions
	Hold(database string)
	GoOn(database string)
	StopSync(ctx context.Context, database string) error
	Release(ctx context.Context, d host.Database) error
}

// run attends to h until ctx ends. again registers a database of which the service knows
// nothing any more. Databases are told of and asked about so many in a second, so that a
// thousand that change at once, or a host that starts with as many, take the service's
// time in turn. They are shipped meanwhile.
func (a *attendance) run(ctx context.Context, h data, perSecond int, again func(context.Context, host.Instructions) error) {
	var ended sync.WaitGroup
	defer ended.Wait()
	ended.Go(func() { a.ask(ctx, h) })
	pace := rate.NewLimiter(rate.Limit(perSecond), perSecond)
	for {
		name, unsure := a.next()
		if name == "" {
			select {
			case <-ctx.Done():
				return
			case <-a.poked:
			case <-time.After(askEvery):
			}
			continue
		}
		if pace.Wait(ctx) != nil {
			return
		}
		if err := a.settle(ctx, h, again, name, unsure); err != nil && ctx.Err() == nil {
			a.log.Debug("not settled; it will be tried again", telemetry.Database, name, telemetry.Error, err.Error())
			if !unsure {
				a.Stirred(name)
			}
			a.rest(ctx)
		}
	}
}

// rest waits a moment.
func (a *attendance) rest(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(askEvery):
	}
}

// next takes a database that something is to be said or asked about, while there is
// somebody to speak to.
func (a *attendance) next() (name string, unsure bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.control == nil || !a.away.IsZero() {
		return "", false
	}
	for name := range a.stirred { // in no order, so that hosts that start together do not agree
		delete(a.stirred, name)
		_, unsure = a.unsure[name]
		return name, unsure
	}
	for name := range a.unsure {
		return name, true
	}
	return "", false
}

// doubt has it asked how a database stands.
func (a *attendance) doubt(database string) {
	a.mu.Lock()
	a.unsure[database] = true
	a.mu.Unlock()
	a.poke()
}

// sure says that there is nothing to ask any more.
func (a *attendance) sure(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.unsure, name)
}

// settle asks the service how a database stands where that is not known, and tells it of
// a change. One that rests is told that its host is there, which may have missed one.
func (a *attendance) settle(ctx context.Context, h data, again func(context.Context, host.Instructions) error, name string, unsure bool) error {
	within, cancel := context.WithTimeout(ctx, wakeWithin)
	defer cancel()
	if !unsure {
		err := a.control.Wake(within, name)
		if errors.Is(err, control.ErrNotRegistered) {
			a.doubt(name)
			return nil
		}
		return err
	}
	i, known := h.Instructions()[name]
	if !known {
		a.sure(name)
		return nil
	}
	standing, err := a.control.Standing(within, name, a.name, i.Database.Path)
	if err == nil && standing == control.Resting {
		err = a.control.Wake(within, name)
	}
	if err != nil {
		return err
	}
	if err := a.heed(ctx, h, again, i, standing); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	a.sure(name)
	return nil
}

// heed does what follows from how a database stands.
func (a *attendance) heed(ctx context.Context, h data, again func(context.Context, host.Instructions) error, i host.Instructions, standing control.Standing) error {
	log := a.log.With(telemetry.Database, i.Database.Name)
	switch standing {
	case control.Lost:
		log.Warn("temporal knows nothing of a database that was registered; registering it again")
		return again(ctx, i)
	case control.Stopped, control.Moved:
		log.Info("no longer replicated by this host")
		return h.Release(ctx, i.Database)
	case control.Paused:
		if i.Held {
			return nil
		}
		log.Info("paused meanwhile")
		h.Hold(i.Database.Name)
		return h.StopSync(ctx, i.Database.Name)
	case control.Expected:
		h.GoOn(i.Database.Name)
	case control.Resting:
	}
	return nil
}

// ask finds out again and again whether Temporal answers.
func (a *attendance) ask(ctx context.Context, h data) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		a.mu.Lock()
		s := a.control
		a.mu.Unlock()
		if s == nil {
			continue
		}
		answers := s.Answers(ctx)
		if ctx.Err() == nil {
			a.noted(answers, h)
		}
	}
}

// noted takes up whether somebody answers. When somebody does again, each database is
// asked about.
func (a *attendance) noted(answers bool, h data) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case answers == a.away.IsZero():
	case !answers:
		a.away = a.now()
		a.log.Warn("temporal is away; databases are shipped without it")
	default:
		a.log.Info("temporal is back", "away_ms", a.now().Sub(a.away).Milliseconds())
		a.away = time.Time{}
		for name := range h.Instructions() {
			a.unsure[name] = true
		}
		a.poke()
	}
}
