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

// chain measures the way back of a database of which each small transaction is an
// object of its own, with the store near and away. Both products read objects of
// the same content.
func (b *bench) chain(ctx context.Context) error {
	b.results.begin(fmt.Sprintf("A snapshot of %s and %d small objects", size(b.bytes(chainBase)), b.links()))
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
		if err := s.link(ctx, p.path(s)); err != nil {
			return err
		}
	}
	for _, store := range []struct{ what, endpoint string }{
		{"restore", b.at.Blob},
		{fmt.Sprintf("restore, the store %v away", chainAway), s.watch.url},
	} {
		var took [2][]float64
		for range b.rounds {
			for i, p := range b.products {
				b.progress("chain: %s, %s", p.name(), store.what)
				out := filepath.Join(s.dir, "restored.db")
				begin := time.Now()
				if err := p.restore(ctx, s, store.endpoint, out); err != nil {
					return err
				}
				took[i] = append(took[i], time.Since(begin).Seconds())
				if err := os.Remove(out); err != nil {
					return err
				}
			}
		}
		b.results.add(line{Row: "chain", What: store.what, Unit: "s", Holdfast: took[0], Peer: took[1]}, times(2))
	}
	return nil
}

// link ships the site's database to path, and then one small transaction after the
// other.
func (s *site) link(ctx context.Context, path string) (err error) {
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
		if _, err := app.ExecContext(ctx, "INSERT INTO entries(body) VALUES(?)", markText(0)); err != nil {
			return err
		}
	}
	return nil
}
