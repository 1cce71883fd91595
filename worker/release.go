package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/internal/discover"
	"github.com/holdfast-db/holdfast/internal/telemetry"
	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

// stopper ends the replication of databases.
type stopper interface {
	Status(ctx context.Context, name string) (control.Status, error)
	Stop(ctx context.Context, name string, skipFinalPass bool) (workflows.Stopped, error)
}

// Reasons for which a database that is gone is not released.
var (
	errPaused    = errors.New("it is paused; resume or stop it")
	errElsewhere = errors.New("its name belongs to another file by now")
	errBack      = errors.New("its file is back, or its file system is away")
)

// release is one database that is to be released, and what came of it.
type release struct {
	path  string
	entry discover.Entry
	dir   config.Directory
	since time.Time // when its file was missed first
	err   error
}

// releaseMissing releases the databases whose files have been gone for long enough.
// Whatever a person may still want is left: one that is paused, one in a directory that
// is not configured any more, and all of a file system that is away.
func (a *agent) releaseMissing(ctx context.Context) {
	var due []release
	away := map[string]int{}
	for _, path := range a.record.Paths() {
		if a.here(path) {
			continue
		}
		r, presence := a.miss(path)
		switch {
		case presence == discover.Away:
			away[r.dir.Dir]++
		case presence == discover.Gone && time.Since(r.since) >= a.Discovery.Grace:
			due = append(due, r)
		}
	}
	for dir, n := range away {
		a.say("away "+dir, slog.LevelWarn, "databases not released, as the file system that they were on is not there",
			telemetry.Path, dir, "databases", n)
	}
	if len(due) == 0 || a.releasing {
		return
	}
	a.releasing = true
	a.ended.Go(func() {
		a.releaseAll(ctx, due)
		select {
		case a.released <- due:
		case <-ctx.Done():
		}
	})
}

// miss notes that the file at path was not found, and since when it is gone.
func (a *agent) miss(path string) (release, discover.Presence) {
	e, _ := a.record.Entry(path)
	r := release{path: path, entry: e}
	i := slices.IndexFunc(a.Directories, func(d config.Directory) bool { return discover.Covers(d, path) })
	switch {
	case slices.ContainsFunc(a.Databases, func(db config.Database) bool { return db.Path == path }):
		a.record.Forget(path)
		return r, discover.Here
	case i < 0:
		return r, discover.Here
	}
	r.dir = a.Directories[i]
	presence := e.Presence(r.dir, path)
	if presence != discover.Gone {
		delete(a.missing, path)
		return r, presence
	}
	if _, before := a.missing[path]; !before {
		a.missing[path] = time.Now()
		a.log.Info("discovered database missing; it is released if it stays so", telemetry.Database, e.Name, telemetry.Path, path,
			"grace_s", a.Discovery.Grace.Seconds())
	}
	r.since = a.missing[path]
	return r, presence
}

// releaseAll releases some side by side.
func (a *agent) releaseAll(ctx context.Context, due []release) {
	slots := make(chan struct{}, atOnce)
	var ended sync.WaitGroup
	for i := range due {
		slots <- struct{}{}
		ended.Go(func() {
			due[i].err = a.release(ctx, due[i])
			<-slots
		})
	}
	ended.Wait()
}

// release ends the replication of a database without a final pass: there is nothing
// left to ship. control.ErrNotRegistered and errElsewhere say that it is not ours to
// end any more.
func (a *agent) release(ctx context.Context, r release) error {
	name := r.entry.Name
	status, err := a.control.Status(ctx, name)
	switch {
	case err != nil:
		return err
	case status.Host != a.Host || status.Path != r.path:
		return fmt.Errorf("%w: %s on host %s", errElsewhere, status.Path, status.Host)
	case !status.Answering:
		return control.ErrNoAnswer
	case status.Paused:
		return errPaused
	case r.entry.Presence(r.dir, r.path) != discover.Gone:
		return errBack
	}
	stopped, err := a.control.Stop(ctx, name, true)
	if err == nil {
		a.log.Info("released, as its file is gone; its replica stays", telemetry.Database, name, telemetry.Path, r.path,
			"gone_s", int64(time.Since(r.since).Seconds()), telemetry.Replica, status.Replica, telemetry.TXID, stopped.Status.TXID.String())
	}
	return err
}

// settleReleases forgets what was released and says why others were not. A file that
// came back just then may have been registered before that ended.
func (a *agent) settleReleases(tried []release) {
	a.releasing = false
	for _, r := range tried {
		if r.err == nil || errors.Is(r.err, control.ErrNotRegistered) || errors.Is(r.err, errElsewhere) {
			a.record.Forget(r.path)
			delete(a.missing, r.path)
			if f, here := a.found[r.path]; here {
				a.record.Put(f)
				a.save()
				a.wishes.want(f.Database)
			}
		}
		if r.err != nil && !errors.Is(r.err, control.ErrNotRegistered) {
			a.say("release "+r.path, slog.LevelWarn, "not released, though its file is gone", telemetry.Database, r.entry.Name,
				telemetry.Path, r.path, telemetry.Reason, r.err.Error())
		}
	}
	a.save()
}
