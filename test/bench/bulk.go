package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// template makes a database of about so many GiB that sites start with a copy of.
func (b *bench) template(ctx context.Context, gibibytes float64) (string, error) {
	path := filepath.Join(b.dir, fmt.Sprintf("template-%g.db", gibibytes))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	b.progress("making a database of %s", size(b.bytes(gibibytes)))
	await, err := hire(path, b.dir, order{Work: fill, Bytes: b.bytes(gibibytes)})
	if err != nil {
		return "", err
	}
	_, err = await(ctx)
	return path, err
}

// size shows a number of bytes.
func size(bytes int64) string {
	if bytes >= 1<<30 {
		return fmt.Sprintf("%.3g GiB", float64(bytes)/(1<<30))
	}
	return fmt.Sprintf("%.3g MiB", float64(bytes)/(1<<20))
}

// insert measures how long it takes to insert 1 GiB and have it in the store.
func (b *bench) insert(ctx context.Context) error {
	b.results.begin(fmt.Sprintf("%s inserted in transactions of 1 MiB, until durable", size(b.bytes(1))))
	for _, speed := range []speed{fastest, byDefault} {
		var took [2][]float64
		for range b.rounds {
			for i, p := range b.products {
				t, err := b.insertOnce(ctx, p, speed)
				if err != nil {
					return err
				}
				took[i] = append(took[i], t)
			}
		}
		wanted := faster
		if speed == byDefault {
			wanted = notSlower
		}
		b.results.add(line{Row: "insert", What: fmt.Sprintf("%s setting", speed), Unit: "s", Holdfast: took[0], Peer: took[1]}, wanted)
	}
	return nil
}

// insertOnce returns the seconds from the first insert until all is durable.
func (b *bench) insertOnce(ctx context.Context, p product, speed speed) (took float64, err error) {
	b.progress("insert: %s, %s setting", p.name(), speed)
	s, err := b.newSite(ctx, "", 0)
	if err != nil {
		return 0, err
	}
	defer s.remove()
	run, _, err := s.replicate(ctx, p, speed)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, run.end()) }()
	done, err := s.run(ctx, order{Work: fill, Bytes: b.bytes(1)})
	if err != nil {
		return 0, err
	}
	at, err := s.watch.durable(ctx, run, done.Last, patience)
	b.progress("        the application took %.1f s", float64(done.End-done.Start)/1e9)
	return float64(at.UnixNano()-done.Start) / 1e9, err
}

// over divides figures of the same turn.
func over(these, those []float64) []float64 {
	ratios := make([]float64, len(these))
	for i := range these {
		ratios[i] = these[i] / those[i]
	}
	return ratios
}

// sameNewest checks that a restored file is the database's newest state.
func sameNewest(db, restored string) error {
	want, err := newestIn(db)
	if err != nil {
		return err
	}
	got, err := newestIn(restored)
	if err != nil {
		return err
	}
	a, err := os.Stat(db)
	if err != nil {
		return err
	}
	z, err := os.Stat(restored)
	if err != nil {
		return err
	}
	if got != want || a.Size() != z.Size() {
		return fmt.Errorf("restored transaction %d in %d bytes, want %d in %d", got, z.Size(), want, a.Size())
	}
	return nil
}

// copyOnce copies the file and waits until it is on the disk.
func (b *bench) copyOnce(ctx context.Context, template string) (float64, error) {
	out := filepath.Join(b.dir, "copy.db")
	defer os.Remove(out) //nolint:errcheck // the directory goes as well
	begin := time.Now()
	if err := copyFile(ctx, template, out); err != nil {
		return 0, err
	}
	f, err := os.Open(out)
	if err != nil {
		return 0, err
	}
	err = errors.Join(f.Sync(), f.Close())
	return time.Since(begin).Seconds(), err
}

// delta measures what is uploaded after one page in a hundred was changed while
// the product was down, and the log was removed by the application's close.
func (b *bench) delta(ctx context.Context) error {
	b.results.begin(fmt.Sprintf("1 %% of the pages of %s changed while the program was down", size(b.bytes(1))))
	template, err := b.template(ctx, 1)
	if err != nil {
		return err
	}
	var shares, took [2][]float64
	var crashed []float64
	for range b.rounds {
		for i, p := range b.products {
			share, seconds, err := b.deltaOnce(ctx, p, template, (*process).end)
			if err != nil {
				return err
			}
			shares[i], took[i] = append(shares[i], share), append(took[i], seconds)
		}
		share, _, err := b.deltaOnce(ctx, b.products[0], template, (*process).crash)
		if err != nil {
			return err
		}
		crashed = append(crashed, share)
	}
	small := below(1.5, "< 1.5 %")
	b.results.add(line{Row: "delta", What: "uploaded, of the compressed database", Unit: "%", Holdfast: shares[0], Peer: shares[1]}, small)
	b.results.add(line{Row: "delta", What: "the same after kill -9", Unit: "%", Holdfast: crashed}, small)
	b.results.add(line{Row: "delta", What: "until durable, from the program's start", Unit: "s", Holdfast: took[0], Peer: took[1]}, noTarget)
	return b.digests(ctx)
}

// deltaOnce returns the percentage of the first snapshot that was sent again, and
// after how many seconds all was durable. down is how the program ends before the
// pages change.
func (b *bench) deltaOnce(ctx context.Context, p product, template string, down func(*process) error) (share, seconds float64, err error) {
	b.progress("delta: %s", p.name())
	s, err := b.newSite(ctx, template, 0)
	if err != nil {
		return 0, 0, err
	}
	defer s.remove()
	run, _, err := s.replicate(ctx, p, byDefault)
	if err != nil {
		return 0, 0, err
	}
	if err := down(run); err != nil {
		return 0, 0, err
	}
	before, _ := s.watch.all()
	done, err := s.run(ctx, order{Work: touch})
	if err != nil {
		return 0, 0, err
	}
	if _, err := os.Stat(s.db + "-wal"); !errors.Is(err, os.ErrNotExist) {
		return 0, 0, errors.New("the log is still there")
	}
	if run, err = p.start(s, byDefault); err != nil {
		return 0, 0, err
	}
	at, err := s.watch.durable(ctx, run, done.Last, patience)
	if err = errors.Join(err, run.end()); err != nil {
		return 0, 0, err
	}
	after, _ := s.watch.all()
	return 100 * float64(sent(after[len(before):], at)) / float64(firstSnapshot(before)), at.Sub(run.begun).Seconds(), nil
}

// sent is the size of all objects that were put until then.
func sent(puts []put, until time.Time) (bytes int64) {
	for _, o := range puts {
		if !o.at.After(until) {
			bytes += o.size
		}
	}
	return bytes
}

// firstSnapshot is the size of the first object that holds all pages: of the
// compressed database.
func firstSnapshot(puts []put) int64 {
	for _, o := range puts {
		if o.snapshot {
			return o.size
		}
	}
	return 0
}
