package changes_test

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/source"
)

// gate is a store that can be away.
type gate struct {
	blob.Store
	shut bool
}

func (g *gate) Put(ctx context.Context, key string, body io.Reader, meta blob.Metadata) (int64, error) {
	if g.shut {
		return 0, fmt.Errorf("%w: away", blob.ErrUnavailable)
	}
	return g.Store.Put(ctx, key, body, meta)
}

// TestSpoolSetBack sets a machine back to a moment when changes waited in the
// spool. They were shipped later, and others after them: the spool's end is not
// where the replica is.
func TestSpoolSetBack(t *testing.T) {
	disk := t.TempDir()
	path := filepath.Join(disk, "app.db")
	app := startOlder(t, path)
	run(t, app, "CREATE TABLE a(v)", "CREATE TABLE b(v)", "INSERT INTO b VALUES (1)")
	store := &gate{Store: mem.New()}
	r := mustReplicateTo(t, path, store)
	r.WALLimit = 64 << 10
	r.mark(t)
	store.shut = true
	run(t, app, "INSERT INTO a VALUES (randomblob(200000))")
	r.fails(t, blob.ErrUnavailable)
	before := takeImage(t, disk)

	store.shut = false
	r.mark(t)
	run(t, app, "UPDATE b SET v = 2")
	r.mark(t)
	app.Quit()
	r.stop(t)

	before.putBack(t, everything...)
	r.start(t)
	app = startOlder(t, path)
	run(t, app, "INSERT INTO a VALUES (3)")
	r.check(t, source.RuleRestarted)
}
