package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-db/holdfast/internal/host"
)

// shape is what a seed decides before its first step.
type shape struct {
	pageSize    int
	autoVacuum  int    // 0 none, 1 full, 2 incremental
	synchronous string // of the applications
	logLimit    int    // journal_size_limit in bytes; -1 for none
	walLimit    int64  // bytes of log at which the worker spools
	interval    time.Duration
	window      time.Duration
	scrub       time.Duration // in which all pages are compared; negative for never
	faultRate   float64
	steps       int
	smallDisk   bool // the database is on a file system of its own, that gets full
	old         bool // the sqlite3 program takes part
}

// Sizes in bytes.
const (
	diskSize  = 48 << 20
	ampleSize = 1 << 30
	largeData = 3 << 20 // beyond which applications delete rather than insert
)

func drawShape(r *rand.Rand) shape {
	return shape{
		pageSize:    512 << r.IntN(8),
		autoVacuum:  r.IntN(3),
		synchronous: pick(r, "OFF", "NORMAL", "NORMAL", "FULL"),
		logLimit:    pick(r, -1, -1, 0, 100_000),
		walLimit:    pick(r, int64(32<<10), 128<<10, 1<<20, 4<<20),
		interval:    time.Duration(pick(r, 0, 1, 5, 20, 100)) * time.Millisecond,
		window:      time.Duration(pick(r, 50, 300, 3000, 60000)) * time.Millisecond,
		scrub:       pick(r, -1, 0, time.Second, 10*time.Second),
		faultRate:   pick(r, 0, 0.02, 0.1, 0.3),
		steps:       50 + r.IntN(50),
		smallDisk:   r.IntN(3) == 0,
		old:         r.IntN(4) != 0,
	}
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// rig is one seed at work.
type rig struct {
	shape
	ctx   context.Context
	seed  uint64
	dir   string // holds all that is below
	rand  *rand.Rand
	log   *os.File
	tally *tally
	disk  *disk // nil when the database is on no disk of its own

	apps     []*app
	started  int // applications so far, for their names
	observer *connection
	record   record
	epoch    int64

	worker   *daemon
	workers  int // workers so far
	away     bool
	paused   bool
	down     int // steps that the worker has been down for
	lastFull bool
	shim     string // library to preload
}

func (r *rig) path() string    { return filepath.Join(r.dir, "db", "app.db") }
func (r *rig) replica() string { return filepath.Join(r.dir, "replica") }

func (r *rig) note(format string, args ...any) {
	fmt.Fprintf(r.log, "%s %s\n", clock(), fmt.Sprintf(format, args...))
}

// newRig prepares a seed in a fresh directory below parent.
func newRig(ctx context.Context, seed uint64, parent, shim string, mayMount bool) (_ *rig, err error) {
	random := rand.New(rand.NewPCG(seed, 0x686f6c6466617374))
	r := &rig{ctx: ctx, seed: seed, shape: drawShape(random), rand: random, tally: newTally(), shim: shim}
	if r.dir, err = os.MkdirTemp(parent, fmt.Sprintf("torture-%d-", seed)); err != nil {
		return nil, err
	}
	if r.log, err = os.Create(filepath.Join(r.dir, "steps.log")); err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Dir(r.path()), 0o700); err != nil {
		return nil, err
	}
	if r.smallDisk && mayMount {
		if r.disk, err = mountDisk(filepath.Dir(r.path())); err != nil {
			return nil, err
		}
	}
	r.note("seed %d: %+v, disk of its own: %t", seed, r.shape, r.disk != nil)
	return r, nil
}

// run makes the database, torments it, and compares.
func (r *rig) run() error {
	if err := newDatabase(r.path(), r.shape, 1, 20); err != nil {
		return err
	}
	r.epoch = 1
	if err := r.observe(); err != nil {
		return err
	}
	if err := r.startWorker(); err != nil {
		return err
	}
	for n := 1; n <= r.steps; n++ {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		if err := r.step(n); err != nil {
			return fmt.Errorf("step %d: %w", n, err)
		}
	}
	if err := r.settle(); err != nil {
		return err
	}
	return r.verify()
}

// step carries out one step, drawn with numbers of its own: what comes of it
// does not change the steps after it.
func (r *rig) step(n int) error {
	random := rand.New(rand.NewPCG(r.rand.Uint64(), uint64(n)))
	s := drawStep(random)
	r.note("step %d: %s", n, s.name)
	if err := s.do(r, random); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	if err := r.observe(); err != nil {
		return fmt.Errorf("after %s: %w", s.name, err)
	}
	if r.worker != nil {
		if err := r.worker.err(); err != nil {
			return err
		}
	} else if r.down++; r.down > 6 {
		if err := r.startWorker(); err != nil {
			return err
		}
	}
	time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
	return nil
}

// newDatabase makes a database in log mode with some rows, and closes it.
func newDatabase(path string, s shape, epoch int64, rows int) error {
	c, err := connect(path)
	if err != nil {
		return err
	}
	for _, statement := range []string{
		fmt.Sprintf("PRAGMA page_size=%d", s.pageSize),
		fmt.Sprintf("PRAGMA auto_vacuum=%d", s.autoVacuum),
		"PRAGMA journal_mode=WAL",
		"CREATE TABLE v(epoch INTEGER, n INTEGER)",
		fmt.Sprintf("INSERT INTO v VALUES (%d, 1)", epoch),
		"CREATE TABLE t(id INTEGER PRIMARY KEY, k INTEGER, b BLOB)",
		"CREATE INDEX tk ON t(k)",
		"CREATE TABLE u(k INTEGER, w TEXT)",
		insertRows(rows, 300),
	} {
		if _, err := c.run(statement); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", statement, err), c.close())
		}
	}
	return c.close()
}

// observe takes the database's image, on a connection that is opened where
// there is none.
func (r *rig) observe() error {
	im, err := r.look()
	if err != nil && r.disk != nil && r.lastFull { // there is no room for the index
		r.note("observer: %v", err)
		return r.unobserve()
	}
	if err != nil {
		return fmt.Errorf("observer: %w", err)
	}
	r.record.add(im)
	return nil
}

func (r *rig) look() (image, error) {
	if r.observer == nil {
		c, err := connect(r.path(), "mode=rw")
		if err != nil {
			return image{}, err
		}
		r.observer = c
		if _, err := c.run("PRAGMA wal_autocheckpoint=0"); err != nil {
			return image{}, err
		}
	}
	im, _, err := r.observer.image()
	return im, err
}

func (r *rig) unobserve() error {
	c := r.observer
	r.observer = nil
	if c == nil {
		return nil
	}
	return c.close()
}

// startWorker starts a worker process, unless one runs.
func (r *rig) startWorker() error {
	if r.worker != nil {
		return nil
	}
	r.workers++
	errorsTo, err := os.OpenFile(filepath.Join(r.dir, "worker.err"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer errorsTo.Close() //nolint:errcheck // the child has its own
	r.worker, err = startDaemon(workerSettings{
		Database: host.Database{
			Name: "app", Path: r.path(), Replica: "file://" + r.replica(),
			Writer: "0123456789abcdef0123456789abcdef", WALLimit: r.walLimit, Scrub: r.scrub,
		},
		StateDir: filepath.Join(r.dir, "state"), Interval: r.interval, Length: r.window,
		Seed: r.seed<<8 + uint64(r.workers), Rate: r.faultRate, Away: r.away,
	}, r.log, errorsTo, r.tally)
	r.down, r.paused = 0, false
	r.note("worker %d started", r.workers)
	r.tally.add("worker started")
	return err
}

// end stops all that still runs.
func (r *rig) end() {
	for _, a := range r.apps {
		a.kill()
	}
	r.apps = nil
	if r.worker != nil {
		r.worker.kill()
	}
	_ = r.unobserve()
	_ = r.log.Close()
}
