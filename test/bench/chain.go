package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
)

// What a chain is made of.
const (
	chainBase  = 84.0 / 1024 // GiB
	chainLinks = 1200
	chainAway  = 20 * time.Millisecond
)

// links is how many small objects there are.
func (b *bench) links() int { return max(20, int(chainLinks*min(1, b.size))) }

// Kinds of changes that a chain is made of.
const (
	// appended adds a row each time: the next object has most of the pages again.
	appended = "INSERT INTO entries(body) VALUES(?)"
	// scattered changes a row anywhere: no object after it has the page again.
	scattered = "UPDATE entries SET body = ? WHERE id = (SELECT abs(random()) % max(id) + 1 FROM entries)"
)

// chain measures the way back of a database of which each small transaction is an
// object of its own, with the store near and away. Both products read objects of
// the same content. Holdfast does not read those whose pages come again; what is left of
// that where no page does is measured as well.
func (b *bench) chain(ctx context.Context) error {
	b.results.begin(fmt.Sprintf("A snapshot of %s and %d small objects", size(b.bytes(chainBase)), b.links()))
	half := times(2)
	away := fmt.Sprintf("restore, the store %v away", chainAway)
	if err := b.chainOf(ctx, appended, []chainStore{{"restore", false, half}, {away, true, half}}); err != nil {
		return err
	}
	return b.chainOf(ctx, scattered, []chainStore{{"the same, but no page comes twice", false, noTarget}})
}

// chainStore is where from a chain is read.
type chainStore struct {
	what   string
	away   bool
	target target
}

// chainOf measures the way back of a chain of such changes.
func (b *bench) chainOf(ctx context.Context, change string, stores []chainStore) error {
	template, err := b.template(ctx, chainBase)
	if err != nil {
		return err
	}
	s, err := b.newSite(ctx, template, chainAway)
	if err != nil {
		return err
	}
	defer s.remove()
	for _, p := range b.products {
		if err := s.link(ctx, p.path(s), change); err != nil {
			return err
		}
	}
	for _, store := range stores {
		endpoint := b.at.Blob
		if store.away {
			endpoint = s.watch.url
		}
		var took [2][]float64
		for range b.rounds {
			for i, p := range b.products {
				b.progress("chain: %s, %s", p.name(), store.what)
				out := filepath.Join(s.dir, "restored.db")
				begin := time.Now()
				if err := p.restore(ctx, s, endpoint, out); err != nil {
					return err
				}
				took[i] = append(took[i], time.Since(begin).Seconds())
				if err := os.Remove(out); err != nil {
					return err
				}
			}
		}
		b.results.add(line{Row: "chain", What: store.what, Unit: "s", Holdfast: took[0], Peer: took[1]}, store.target)
	}
	return nil
}

// link ships the site's database to path, and then one small transaction after the
// other, each of them a change.
func (s *site) link(ctx context.Context, path, change string) (err error) {
	s.bench.progress("chain: shipping %d objects to %s", s.bench.links(), path)
	store, u, err := s.store(ctx, path)
	if err != nil {
		return err
	}
	dir, err := ship.OpenDir(filepath.Join(s.dir, "state-"+filepath.Base(path)), ship.OS)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	shipper, err := ship.New(ship.Options{Name: s.name, URL: u.String(), Writer: "0123456789abcdef0123456789abcdef", Replica: replica.New(store), Log: log}, dir)
	if err != nil {
		return err
	}
	app, err := sql.Open("sqlite3", "file:"+s.db+"?_busy_timeout=30000")
	if err != nil {
		return err
	}
	if err := app.PingContext(ctx); err != nil {
		return err
	}
	db, err := source.Open(s.db, log)
	if err != nil {
		return err
	}
	defer func() {
		_, e := db.Close()
		err = errors.Join(err, e, app.Close(), shipper.Close(), dir.Close())
	}()
	shipper.Attach(db)
	for range s.bench.links() + 1 {
		if _, err := shipper.Pass(ctx); err != nil {
			return err
		}
		if _, err := app.ExecContext(ctx, change, markText(0)); err != nil {
			return err
		}
	}
	return nil
}
