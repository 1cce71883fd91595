package changes_test

import (
	"bytes"
	"testing"

	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// TestIndexRemoved takes the index's name away while the database is in use, and
// lets the application start again: it makes another index, in which alone its
// commits are counted.
func TestIndexRemoved(t *testing.T) {
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			path, app := mustDatabase(t, v.start)
			r := mustReplicate(t, path)
			r.mark(t)
			shell(t, "rm %s-shm", path)
			app.Quit()
			app = v.start(t, path)
			run(t, app, "INSERT INTO t(v) VALUES (2)")
			r.mark(t)
			run(t, app, fill)
			r.check(t)
		})
	}
}

// TestIndexRemovedUnderAnApplicationThatGoesOn leaves the old index to one
// process, which keeps committing by it. Nobody else can see those commits, and
// SQLite itself would damage the database if somebody wrote beside it: the
// worker must not say that all is shipped.
func TestIndexRemovedUnderAnApplicationThatGoesOn(t *testing.T) {
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			path, app := mustDatabase(t, v.start)
			r := mustReplicate(t, path)
			r.mark(t)
			shell(t, "rm %s-shm", path)
			for range 3 {
				run(t, app, "INSERT INTO t(v) VALUES (2)")
				if res, err := r.try(t); err == nil && !bytes.Equal(r.restored(t, plan.Target{}), sqlitetest.Truth(t, path)) {
					t.Fatalf("got %+v, and the replica is not what the source is", res.Progress)
				}
			}
			app.Quit()
			app = v.start(t, path)
			run(t, app, "INSERT INTO t(v) VALUES (3)")
			r.check(t, source.RuleRestarted)
		})
	}
}
