package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/internal/discover"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/telemetry"
	"github.com/holdfast-db/holdfast/internal/watch"
	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

const (
	// gather is how long changes are left to gather before it is looked at them.
	gather = 250 * time.Millisecond

	// scansApart is the least time between two looks at everything, however often
	// events are lost.
	scansApart = 2 * time.Second
)

// wishes is what an agent wants registered.
type wishes interface {
	want(config.Database)
	drop(path string)
}

// agent finds the databases in the configured directories, has them registered, and
// releases those whose files are gone.
type agent struct {
	settings
	log     *slog.Logger
	wishes  wishes
	control stopper
	scanner *discover.Scanner
	watch   *discover.Watch
	record  *discover.Record
	counted func(found, refused int) // told after each look

	released chan []release // that have been tried

	found     map[string]discover.Found // at the last look, by path
	missing   map[string]time.Time      // since when
	said      map[string]saying
	round     int // of looks at everything
	scanned   time.Time
	releasing bool
	ended     sync.WaitGroup
}

// saying is the last word on something.
type saying struct {
	text  string
	round int
}

// registers returns what registers databases with the service that is connected.
type registers func(*control.Connection) func(context.Context)

// registering returns what has the listed databases registered, and those that are
// found, until its context ends.
func registering(logger *slog.Logger, s settings, c *control.Connection, h *host.Host, m *telemetry.Metrics, w *watch.Watcher) func(context.Context) {
	steering := control.New(c, c.Namespace)
	r := newRegistration(logger, s, func(ctx context.Context) (registrar, error) {
		r, err := steering.Registrar(ctx)
		if err != nil {
			return nil, err
		}
		r.Judge = judge(h)
		return r, nil
	})
	r.counted = m.Refused
	if len(s.Directories) == 0 {
		return r.run
	}
	return func(ctx context.Context) {
		a := newAgent(logger, s, h.Recognise, r, steering, w)
		a.counted = m.Discovered
		r.more = true
		a.ended.Go(func() { r.run(ctx) })
		a.run(ctx)
	}
}

// judge has the host look at a database before it has a workflow: one that cannot be
// replicated leaves no trace with the service, and a thousand others begin a fifth sooner.
func judge(h *host.Host) func(context.Context, workflows.Spec) error {
	const nobody = "00000000000000000000000000000000" // its workflow has still to choose a writer
	return func(ctx context.Context, s workflows.Spec) error {
		if err := activities.Check(ctx, h, s.Database(nobody)); workflows.Refuses(err) {
			return err
		}
		return nil
	}
}

// newAgent returns an agent that has looked nowhere yet. recognise is a Scanner's;
// without a notify it looks at everything from time to time.
func newAgent(logger *slog.Logger, s settings, recognise func(string) error, w wishes, c stopper, notify *watch.Watcher) *agent {
	record, err := discover.LoadRecord(filepath.Join(s.processDir, "discovered.json"))
	if err != nil {
		logger.Warn("discovered databases forgotten; those that are gone by now are not released", telemetry.Error, err.Error())
	}
	scanner, watching := discover.NewScanner(s.Directories, recognise), discover.NewWatch(notify)
	scanner.Enter = watching.Enter
	return &agent{
		settings: s, log: logger, wishes: w, control: c, record: record, scanner: scanner, watch: watching,
		counted:  func(int, int) {},
		released: make(chan []release), found: map[string]discover.Found{},
		missing: map[string]time.Time{}, said: map[string]saying{},
	}
}

// run looks through the directories until ctx ends.
func (a *agent) run(ctx context.Context) {
	defer a.watch.Close()
	rescan := time.NewTicker(a.Discovery.Rescan)
	defer rescan.Stop()
	defer a.ended.Wait()
	for a.scan(ctx); ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-rescan.C:
			a.scan(ctx)
		case <-a.watch.Changed():
			a.look(ctx)
		case tried := <-a.released:
			a.settleReleases(tried)
		}
	}
}

// look looks at what has changed.
func (a *agent) look(ctx context.Context) {
	pause(ctx, gather)
	paths, all := a.watch.Take()
	if all {
		pause(ctx, scansApart-time.Since(a.scanned))
		a.scan(ctx)
		return
	}
	a.scanner.Look(ctx, paths)
	if a.scanner.News() {
		a.settle()
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// scan looks at everything.
func (a *agent) scan(ctx context.Context) {
	begun := time.Now()
	a.round++
	a.watch.Begin()
	a.scanner.Scan(ctx)
	if ctx.Err() != nil {
		return
	}
	if err := a.watch.End(); err != nil {
		a.say("watch", slog.LevelWarn, "directories not watched, only looked through from time to time", telemetry.Error, err.Error())
	}
	a.scanner.News() // or not: it is settled all the same
	a.settle()
	a.releaseMissing(ctx)
	for key, s := range a.said {
		if s.round < a.round-1 {
			delete(a.said, key)
		}
	}
	if a.scanned.IsZero() {
		a.log.Info("directories looked through", "databases", len(a.found), telemetry.TookMS, time.Since(begun).Milliseconds())
	}
	a.scanned = time.Now()
}

func (a *agent) here(path string) bool {
	_, here := a.found[path]
	return here
}

// settle draws the consequences of what the scanner knows.
func (a *agent) settle() {
	files := a.scanner.Files()
	a.watch.Quiet(files)
	before := a.found
	all, refused := discover.Assign(files, a.taken(), func(f discover.File) (config.Database, error) {
		if known, ok := before[f.Path]; ok && known.File.Entry == f.Entry {
			return known.Database, nil
		}
		return a.Discovered(a.Directories[f.Entry], f.Rel)
	})
	a.found = make(map[string]discover.Found, len(all))
	var fresh []config.Database
	for _, f := range all {
		a.found[f.Path] = f
		if a.meet(f, before[f.Path].Database) {
			fresh = append(fresh, f.Database)
		}
	}
	a.save() // before anything is registered
	for _, db := range fresh {
		a.wishes.want(db)
	}
	for path := range before {
		if !a.here(path) {
			a.wishes.drop(path)
		}
	}
	refused = append(refused, a.scanner.Refused()...)
	a.complain(refused)
	a.counted(len(a.found), len(refused))
}

// meet puts f on record and tells whether it is to be registered, as it was not there
// before. A name that is on record for a file that is gone stays so until that is
// released.
func (a *agent) meet(f discover.Found, before config.Database) bool {
	_, known := a.record.Entry(f.Path)
	if holder := a.record.Held()[f.Name]; holder == "" || holder == f.Path {
		a.record.Put(f)
	}
	delete(a.missing, f.Path)
	if before == f.Database {
		return false
	}
	if !known {
		a.log.Info("discovered", telemetry.Database, f.Name, telemetry.Path, f.Path, telemetry.Replica, f.Replica)
	}
	return true
}

// taken is what files may not have: the listed databases are left to their list, also
// under another name of their file.
func (a *agent) taken() discover.Taken {
	t := discover.Taken{Listed: a.Databases, Held: a.record.Held(), IDs: map[source.FileID]string{}}
	for _, db := range a.Databases {
		if id, err := source.Identify(db.Path); err == nil {
			t.IDs[id] = db.Path
		}
	}
	return t
}

// complain says once of each file, and each directory, what is wrong with it.
func (a *agent) complain(refused []discover.Refusal) {
	for _, r := range refused {
		a.say(r.Path, slog.LevelError, "discovered, but not registered", telemetry.Path, r.Path, telemetry.Error, r.Err.Error())
	}
	for _, r := range a.scanner.Away() {
		a.say(r.Path, slog.LevelWarn, "directory not looked through; its databases stay as they are", telemetry.Path, r.Path, telemetry.Error, r.Err.Error())
	}
}

// say logs about key what was not the last word on it.
func (a *agent) say(key string, level slog.Level, message string, args ...any) {
	record := slog.Record{Message: message}
	record.Add(args...)
	text := message
	record.Attrs(func(attr slog.Attr) bool { text += "\n" + attr.String(); return true })
	last := a.said[key].text
	a.said[key] = saying{text, a.round}
	if last != text {
		a.log.Log(context.Background(), level, message, args...)
	}
}

func (a *agent) save() {
	if err := a.record.Save(); err != nil {
		a.say("record", slog.LevelWarn, "discovered databases not written down", telemetry.Error, err.Error())
	}
}
