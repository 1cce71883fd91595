package ship_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/ship/faultfs"
	"github.com/holdfast-db/holdfast/internal/source"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// operation is something that a Shipper does, for TestEveryFault.
type operation struct {
	name  string
	setup func(*stand)
	run   func(context.Context, *stand) error
	err   error // of a run without a fault
}

func onePass(ctx context.Context, s *stand) error { return s.pass(ctx) }

var operations = []operation{
	{
		name:  "a healthy pass",
		setup: func(s *stand) { s.mustPass(); s.insert(4) },
		run:   onePass,
	},
	{
		name:  "a first pass",
		setup: func(s *stand) { s.excused = true }, // nothing says page by page what a put whose answer was lost holds
		run:   onePass,
	},
	{
		name:  "a pass that knows nothing of the head",
		setup: forgetful,
		run:   onePass,
	},
	{
		name: "a pass after a lost answer",
		setup: func(s *stand) {
			s.mustPass()
			s.loseAnswer()
			s.insert(1)
		},
		run: onePass,
	},
	{
		name:  "spooling",
		setup: func(s *stand) { s.mustPass(); s.store.away = true },
		run:   spool,
		err:   blob.ErrUnavailable,
	},
	{
		name:  "draining a spool",
		setup: spoolOf3,
		run:   onePass,
	},
	{
		name:  "draining the spool of an earlier process",
		setup: func(s *stand) { spoolOf3(s); s.kill() },
		run:   onePass,
	},
	{
		name: "draining a spool whose TXID is taken",
		setup: func(s *stand) {
			s.mustPass()
			s.loseAnswer()
			s.store.away = true
			s.insert(80)
			s.passWants(blob.ErrUnavailable)
			s.store.away = false
		},
		run: onePass,
	},
	{
		name:  "a clean-up",
		setup: litter,
		run:   func(ctx context.Context, s *stand) error { _, err := s.ship.CleanUp(ctx, false); return err },
	},
	{
		name:  "folding",
		setup: func(s *stand) { spoolOf3(s); s.excused = true },
		run:   func(ctx context.Context, s *stand) error { _, err := s.ship.CleanUp(ctx, true); return err },
	},
	{
		name:  "a soft checkpoint",
		setup: func(s *stand) { s.opts.WALLimit = 64 << 20; s.kill(); s.mustPass(); s.insert(600) },
		run:   onePass,
	},
	{
		name: "a soft checkpoint beside a writer",
		setup: func(s *stand) {
			s.opts.WALLimit = 64 << 20
			s.kill()
			s.mustPass()
			s.insert(600)
			s.onPut = s.neverPause
		},
		run: onePass,
	},
	{
		name:  "a hard checkpoint",
		setup: func(s *stand) { s.mustPass(); s.insert(600); s.onPut = s.neverPause },
		run:   onePass,
	},
	{
		name:  "closing and opening",
		setup: rested,
		run:   closeAndOpen,
	},
	{
		name:  "another page size",
		setup: anotherPageSize,
		run:   onePass,
	},
	{
		name:  "a snapshot that was asked for",
		setup: func(s *stand) { s.mustPass(); s.insert(4); s.mustPass(); s.insert(1); s.excused = true },
		run:   func(ctx context.Context, s *stand) error { _, err := s.ship.Snapshot(ctx, 2); return err },
	},
	{
		name:  "taking over with a spool",
		setup: takeOver,
		run:   onePass,
	},
}

// loseAnswer ships something and does not learn of it.
func (s *stand) loseAnswer() {
	s.t.Helper()
	s.insert(2)
	s.store.loseAck = true
	s.passWants(blob.ErrUnavailable)
}

// forgetful goes on as a process that has lost its local state.
func forgetful(s *stand) {
	for range 3 {
		s.insert(1)
		s.mustPass()
	}
	if err := s.ship.Save(); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Remove(s.in("state.json")); err != nil {
		s.t.Fatal(err)
	}
	s.insert(1)
	s.kill()
}

// spool commits more than the log may hold, three times.
func spool(ctx context.Context, s *stand) (err error) {
	for range 3 {
		s.insert(80)
		err = errors.Join(err, s.pass(ctx))
	}
	return err
}

// spoolOf3 has three entries in its spool, and a store that is back.
func spoolOf3(s *stand) {
	s.t.Helper()
	s.mustPass()
	s.store.away = true
	if err := spool(s.t.Context(), s); !errors.Is(err, blob.ErrUnavailable) {
		s.t.Fatal(err)
	}
	s.store.away = false
	for _, name := range []string{"2", "3", "4"} {
		if _, err := os.Stat(s.in("spool/000000000000000" + name + ".ltx")); err != nil {
			s.t.Fatal(err)
		}
	}
}

// litter leaves to a clean-up a spooled file that the replica holds, and what
// ended attempts have left.
func litter(s *stand) {
	s.t.Helper()
	spoolOf3(s)
	s.files.Fail(1, faultfs.IO, nil)
	s.passWants(syscall.EIO) // it was put, and its file could not be removed
	s.files.Heal()
	s.plant("spool/0000000000000002.0badcafe.tmp", "begun")
	s.plant("spool/0000000000000007.00000000.tmp", "")
}

// neverPause is an application that commits whenever something is put. When it
// starts the log over while what is put is in memory alone, as after a hard
// checkpoint, a put that fails costs a resync.
func (s *stand) neverPause() {
	before := s.salts()
	defer func() { s.excused = s.salts() != before }()
	if _, err := s.app.Exec("INSERT INTO t(v) VALUES (randomblob(100))"); err != nil {
		s.t.Errorf("insert: %v", err)
	}
}

// rested has shipped everything, and a file that seems not to have been written to
// for an hour: closing it need not wait to see that nobody does.
func rested(s *stand) {
	s.t.Helper()
	s.mustPass()
	s.insert(4)
	s.mustPass()
	s.exec("PRAGMA wal_checkpoint(PASSIVE)")
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(s.path, past, past); err != nil {
		s.t.Fatal(err)
	}
}

// closeAndOpen ends the process in order, after the application, and starts the
// next one.
func closeAndOpen(ctx context.Context, s *stand) error {
	s.t.Helper()
	if err := s.app.Close(); err != nil {
		s.t.Fatal(err)
	}
	stamp, err := s.db.Close()
	err = errors.Join(err, s.ship.SaveClosed(stamp), s.ship.Close(), s.dir.Close())
	state, e := ship.LoadState(s.in(""))
	s.excused = e != nil || state.Clean.IsZero() // nothing vouches for the file
	s.start()
	err = errors.Join(err, s.pass(ctx))
	s.openApp("synchronous=OFF")
	return err
}

func anotherPageSize(s *stand) {
	s.t.Helper()
	s.insert(50)
	s.mustPass()
	if _, err := s.db.Close(); err != nil {
		s.t.Fatal(err)
	}
	for _, q := range []string{"PRAGMA journal_mode=DELETE", "PRAGMA page_size=1024", "VACUUM", "PRAGMA journal_mode=WAL"} {
		s.exec(q)
	}
	var err error
	if s.db, err = source.Open(s.path, s.opts.Log); err != nil {
		s.t.Fatal(err)
	}
	s.ship.Attach(s.db)
	s.excused = true
}

// takeOver lets another writer ship to the replica while this one has a spool.
func takeOver(s *stand) {
	s.t.Helper()
	spoolOf3(s)
	other := newStand(s.t)
	other.opts.Replica, other.opts.Writer, other.opts.TakeOver = s.opts.Replica, writerB, true
	other.kill()
	for range 5 {
		other.insert(3)
		other.mustPass()
	}
	s.opts.TakeOver = true
	s.kill()
	s.excused = true
}
