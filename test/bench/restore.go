package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/azure"
	"github.com/holdfast-db/holdfast/internal/blob/driver"
)

// wayBack is what the first snapshot of a database and its way back took, in seconds.
type wayBack struct {
	snapshot  float64
	restore   float64
	store     float64 // the store gave all objects to a reader that drops them
	directory float64 // restored from a directory that holds the same objects
}

// snapshotAndRestore measures the first snapshot of a database of 1 GiB and its
// way back.
//
// The store is one thread on the same machine, which no other store is. What it takes
// alone to give the replica's objects to a reader that drops them, and what a restore
// takes from a directory with the same objects, tell how much of a restore is whose.
func (b *bench) snapshotAndRestore(ctx context.Context) error {
	b.results.begin(fmt.Sprintf("A database of %s", size(b.bytes(1))))
	template, err := b.template(ctx, 1)
	if err != nil {
		return err
	}
	var snapshots, restores [2][]float64
	var stores, directories, copies []float64
	for range b.rounds {
		for i, p := range b.products {
			took, err := b.snapshotOnce(ctx, p, template)
			if err != nil {
				return err
			}
			snapshots[i], restores[i] = append(snapshots[i], took.snapshot), append(restores[i], took.restore)
			if i == 0 {
				stores, directories = append(stores, took.store), append(directories, took.directory)
			}
		}
		took, err := b.copyOnce(ctx, template)
		if err != nil {
			return err
		}
		copies = append(copies, took)
	}
	three := atMost(3, "<= 3")
	b.results.add(line{Row: "restore", What: "first snapshot, from the program's start", Unit: "s", Holdfast: snapshots[0], Peer: snapshots[1]}, faster)
	b.results.add(line{Row: "restore", What: "restore, each its own replica", Unit: "s", Holdfast: restores[0], Peer: restores[1]}, times(4))
	b.results.add(line{Row: "restore", What: "restore from a directory", Unit: "s", Holdfast: directories}, noTarget)
	b.results.add(line{Row: "restore", What: "yardstick: cp and sync of the file", Unit: "s", Nothing: copies}, noTarget)
	b.results.add(line{Row: "restore", What: "yardstick: the objects read, no more", Unit: "s", Nothing: stores}, noTarget)
	b.results.add(line{Row: "restore", What: "restore, of cp and sync", Unit: "x", Holdfast: over(restores[0], copies)}, three)
	b.results.add(line{Row: "restore", What: "restore from a directory, of cp and sync", Unit: "x", Holdfast: over(directories, copies)}, three)
	return nil
}

// snapshotOnce measures one product's way to the store and back.
func (b *bench) snapshotOnce(ctx context.Context, p product, template string) (took wayBack, err error) {
	b.progress("first snapshot and restore: %s", p.name())
	s, err := b.newSite(ctx, template, 0)
	if err != nil {
		return took, err
	}
	defer s.remove()
	run, snapshot, err := s.replicate(ctx, p, byDefault)
	if err != nil {
		return took, err
	}
	took.snapshot = snapshot.Seconds()
	if err := run.end(); err != nil {
		return took, err
	}
	out := filepath.Join(s.dir, "restored.db")
	begin := time.Now()
	if err := p.restore(ctx, s, b.at.Blob, out); err != nil {
		return took, err
	}
	took.restore = time.Since(begin).Seconds()
	if err := sameNewest(s.db, out); err != nil {
		return took, err
	}
	if ours, is := p.(holdfast); is {
		err = s.wayBackAlone(ctx, ours, &took)
	}
	return took, err
}

// wayBackAlone measures the store without the product, and the product without the store.
func (s *site) wayBackAlone(ctx context.Context, h holdfast, took *wayBack) error {
	store, _, err := s.store(ctx, h.path(s))
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := readAll(ctx, store); err != nil {
		return err
	}
	took.store = time.Since(begin).Seconds()

	dir := filepath.Join(s.dir, "replica")
	if err := copyReplica(ctx, store, dir); err != nil {
		return err
	}
	out := filepath.Join(s.dir, "from-directory.db")
	begin = time.Now()
	if err := execute(ctx, h.environ(s), filepath.Join(h.bin, "holdfast"), "restore", "file://"+dir, "-o", out); err != nil {
		return err
	}
	took.directory = time.Since(begin).Seconds()
	return sameNewest(s.db, out)
}

// store opens what is under path in the site's container, with no proxy between.
func (s *site) store(ctx context.Context, path string) (blob.Store, blob.URL, error) {
	u, err := blob.ParseURL(fmt.Sprintf("abs://%s@%s/%s?endpoint=%s", s.bench.at.Account, s.container, path, url.QueryEscape(s.bench.at.Blob)))
	if err != nil {
		return nil, u, err
	}
	store, err := driver.Open(ctx, u, azure.Credentials{Account: s.bench.at.Account, AccountKey: s.bench.key})
	return store, u, err
}

// readAll reads all objects in parts, some at a time as a restore does, and drops them.
func readAll(ctx context.Context, store blob.Store) error {
	const part, atOnce = 16 << 20, 4
	var g errgroup.Group
	g.SetLimit(atOnce)
	for info, err := range store.List(ctx, "") {
		if err != nil {
			return err
		}
		for at := int64(0); at < info.Size; at += part {
			g.Go(func() error {
				body, err := store.Get(ctx, info.Key, at, part)
				if err != nil {
					return err
				}
				defer body.Close() //nolint:errcheck // only read
				_, err = io.Copy(io.Discard, body)
				return err
			})
		}
	}
	return g.Wait()
}

// copyReplica copies all objects to a directory that a file URL can name.
func copyReplica(ctx context.Context, store blob.Store, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	u, err := blob.ParseURL("file://" + dir)
	if err != nil {
		return err
	}
	to, err := driver.Open(ctx, u, azure.Credentials{})
	if err != nil {
		return err
	}
	for info, err := range store.List(ctx, "") {
		if err != nil {
			return err
		}
		body, err := store.Get(ctx, info.Key, 0, -1)
		if err != nil {
			return err
		}
		_, err = to.Put(ctx, info.Key, body, info.Metadata)
		if err := errors.Join(err, body.Close()); err != nil {
			return err
		}
	}
	return nil
}
