package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
)

// burst lets several applications commit at the same time, as fast as they can.
// Before each of their transactions writes anything, it takes the image that the
// one before has left, and nobody else can write meanwhile.
func (r *rig) burst(random *rand.Rand) error {
	for range 1 + random.IntN(2) {
		if err := r.openApp(random); err != nil {
			return err
		}
	}
	var taking []*app
	for _, a := range r.apps {
		if !a.reading && !a.shimmed {
			taking = append(taking, a)
		}
	}
	count := 5 + random.IntN(60)
	errs := make([]error, len(taking))
	var all sync.WaitGroup
	for i, a := range taking {
		own := rand.New(rand.NewPCG(random.Uint64(), uint64(i)))
		all.Go(func() { errs[i] = r.hurry(a, own, count) })
	}
	all.Wait()
	r.tally.add("burst")
	return errors.Join(errs...)
}

// hurry makes count transactions, and a checkpoint now and then.
func (r *rig) hurry(a *app, random *rand.Rand, count int) (err error) {
	take := func() error { return r.takeFrom(a) }
	if a.shell {
		c, err := connect(r.path(), "mode=rw")
		if err != nil {
			return r.unlessFull(err)
		}
		defer func() { err = errors.Join(err, c.close()) }()
		if _, err := c.run("PRAGMA wal_autocheckpoint=0"); err != nil {
			return r.unlessFull(err)
		}
		take = func() error { return r.take(c) }
	}
	for n := range count {
		if random.IntN(40) == 0 {
			if _, err := a.run("PRAGMA wal_checkpoint(" + pick(random, "PASSIVE", "RESTART") + ");"); err != nil && !isSQL(err) {
				return err
			}
		}
		if err := r.quick(a, random, take); err != nil {
			return fmt.Errorf("%s: transaction %d of a burst: %w", a.name, n, err)
		}
	}
	return nil
}

// unlessFull is err, unless there may be no room for so much as the index.
func (r *rig) unlessFull(err error) error {
	if r.disk == nil || !r.lastFull {
		return err
	}
	r.note("no burst: %v", err)
	return nil
}

// quick makes one transaction. That SQLite refuses one is no error.
func (r *rig) quick(a *app, random *rand.Rand, take func() error) error {
	if _, err := a.run("BEGIN IMMEDIATE;"); err != nil {
		return ignoreSQL(err)
	}
	if err := take(); err != nil {
		return err
	}
	_, err := a.run(append(smallTransaction(random), "COMMIT;")...)
	if isSQL(err) {
		_, _ = a.run("ROLLBACK;") // which may have happened already
		return nil
	}
	r.tally.add("transaction, in a burst")
	return err
}

func ignoreSQL(err error) error {
	if isSQL(err) {
		return nil
	}
	return err
}

// takeFrom has the application itself describe the database.
func (r *rig) takeFrom(a *app) error {
	lines, err := a.run(imageStep)
	if err != nil {
		return err
	}
	if len(lines) != 1 {
		return fmt.Errorf("an image of %d lines", len(lines))
	}
	im, err := decodeImage(lines[0])
	if err == nil {
		r.record.add(im)
	}
	return err
}

func (r *rig) take(c *connection) error {
	im, _, err := c.image()
	if err == nil {
		r.record.add(im)
	}
	return err
}
