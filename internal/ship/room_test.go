package ship_test

import (
	"context"
	"errors"
	"testing"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/faulty"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// beside ships a log that has grown long while an application commits once per put,
// and does to the tail what onTail says. It returns the pass's error.
func beside(ctx context.Context, t *testing.T, onTail func(*stand)) (*stand, error) {
	t.Helper()
	s := newStand(t)
	s.opts.WALLimit = 64 << 20
	s.kill()
	s.mustPass()
	s.insert(600)
	puts := 0
	s.onPut = func() {
		puts++
		if puts == 2 {
			onTail(s)
		}
		s.exec("INSERT INTO t(v) VALUES (randomblob(100))")
	}
	err := s.pass(ctx)
	s.onPut = nil
	return s, err
}

// mustMatch fails unless the replica equals what the application sees, and has every
// state that was put.
func (s *stand) mustMatch() {
	s.t.Helper()
	if err := s.pass(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	got, size := s.restored()
	sqlitetest.Same(s.t, got, sqlitetest.Live(s.t, s.app), size)
	s.mustHaveEveryTXID()
	if len(s.resyncs) > 0 {
		s.t.Errorf("resynced by %v", s.resyncs)
	}
}

// TestALogIsEmptiedBesideAWriter has a writer commit during each put, so that there is
// never a moment in which all is shipped. The log is used again from its start all the
// same: an application whose log stays long checkpoints after each commit.
func TestALogIsEmptiedBesideAWriter(t *testing.T) {
	var before [2]uint32
	s, err := beside(t.Context(), t, func(s *stand) { before = s.salts() })
	if err != nil {
		t.Fatal(err)
	}
	if before == [2]uint32{} {
		t.Fatal("nothing was put but what waited at first")
	}
	if s.salts() == before {
		t.Error("the log was not started over by the commit beside the last put")
	}
	s.mustMatch()
}

// TestATailGoesToTheSpool has the store go away when the log has been offered to the
// next writer already, and what was not shipped of it is in memory alone.
func TestATailGoesToTheSpool(t *testing.T) {
	s, err := beside(t.Context(), t, func(s *stand) { s.store.away = true; s.blobs.Set(faulty.Always(faulty.Fault{Kind: faulty.Refuse})) })
	if !errors.Is(err, blob.ErrUnavailable) {
		t.Fatalf("got %v, want %v", err, blob.ErrUnavailable)
	}
	s.blobs.Set(nil)
	s.store.away = false
	s.exec("INSERT INTO t(v) VALUES (randomblob(900))")
	s.mustMatch()
}

// TestATailIsKeptWhenThePassIsCutOff stops the window while the tail is put.
func TestATailIsKeptWhenThePassIsCutOff(t *testing.T) {
	ctx, cut := context.WithCancel(t.Context())
	s, err := beside(ctx, t, func(*stand) { cut() })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want %v", err, context.Canceled)
	}
	s.exec("INSERT INTO t(v) VALUES (randomblob(900))")
	s.mustMatch()
}

// TestALogThatReadersKeepIsLeftAlone has somebody read from the end of the log at any
// time, so that it cannot be used again however often it is copied: not each pass tries.
func TestALogThatReadersKeepIsLeftAlone(t *testing.T) {
	s := newStand(t)
	s.opts.WALLimit = 64 << 20
	s.kill()
	s.exec("PRAGMA wal_autocheckpoint=0")
	s.mustPass()
	s.insert(600)
	var before *sqlitetest.Shell
	tries := 0
	for range 20 {
		s.exec("INSERT INTO t(v) VALUES (randomblob(100))")
		reader := sqlitetest.StartShell(t, s.path)
		reader.Run(t, "BEGIN; SELECT count(*) FROM t;")
		if before != nil {
			before.Kill()
		}
		before = reader
		calls := len(s.files.Calls())
		s.mustPass()
		if len(s.files.Calls()) > calls { // the state is saved after each
			tries++
		}
	}
	if tries > 3 {
		t.Errorf("%d of 20 passes, each of one small commit, tried to empty the log", tries)
	}
}
