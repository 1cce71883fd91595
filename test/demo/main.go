// Command demo shows Holdfast at work: a real database under load is replicated
// to a real Azure emulator through a real Temporal, paused, resumed, killed,
// and restored twice, and what comes back is compared with the truth.
//
// With a terminal on standard input it stays up afterwards, so that one can look
// at the Temporal UI; else it ends by itself. The exit status says whether all
// was as it should be.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	_ "github.com/mattn/go-sqlite3"
)

func main() {
	bin := flag.String("bin", ".build", "directory of the programs")
	db := flag.String("db", "", "SQLite database to take a copy of")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, *bin, *db)
	if err != nil && ctx.Err() != nil {
		fmt.Fprintln(os.Stderr, "demo: interrupted")
		os.Exit(130)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

// run plays all acts and cleans up, whatever happens.
func run(ctx context.Context, bin, db string) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(bin, "demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // only what the demo made
	s := newStage(bin, dir)
	defer s.strike()
	return s.play(ctx, db)
}

// How long the acts take.
const (
	watching = 8 * time.Second // replication runs
	pausing  = 5 * time.Second // lag grows
	healing  = 5 * time.Second // after a resume, or a crash
)

// play runs the demonstration.
func (s *stage) play(ctx context.Context, db string) error {
	if err := s.setUp(ctx, db); err != nil {
		return err
	}
	s.say("An application places 100 orders a second. Each is a transaction; each is on its way to the store within a second.")
	if err := s.watch(ctx, watching); err != nil {
		return err
	}
	moment, err := s.markMoment(ctx)
	if err != nil {
		return err
	}
	if err := s.pauseAndResume(ctx); err != nil {
		return err
	}
	if err := s.killWorker(ctx); err != nil {
		return err
	}
	if err := s.restoreAndCompare(ctx, moment); err != nil {
		return err
	}
	return s.stayUp(ctx)
}

// pauseAndResume pauses by signal, as one would in the Temporal UI.
func (s *stage) pauseAndResume(ctx context.Context) error {
	s.say("Paused by a signal. The application goes on and the lag grows: nothing is lost, it waits in the database's own log.")
	if err := s.signal(ctx, "pause"); err != nil {
		return err
	}
	if err := s.watch(ctx, pausing); err != nil {
		return err
	}
	s.say("Resumed by a signal. The lag falls.")
	if err := s.signal(ctx, "resume"); err != nil {
		return err
	}
	return s.watch(ctx, healing)
}

// killWorker kills the worker as a crash would, and starts it again.
func (s *stage) killWorker(ctx context.Context) error {
	s.say("The worker is killed with -9 and started again. It goes on where the replica ends.")
	s.worker.kill()
	if err := s.startWorker(ctx); err != nil {
		return err
	}
	return s.watch(ctx, healing)
}

// restoreAndCompare restores the latest state and the one at moment.
func (s *stage) restoreAndCompare(ctx context.Context, moment moment) error {
	s.say("The application stops. The database is restored twice: as it is now, and as it was just before the pause.")
	if err := s.writer.end(); err != nil {
		return fmt.Errorf("the application: %w", err)
	}
	if _, err := s.holdfast(ctx, "sync", name); err != nil {
		return err
	}
	if err := s.compareLatest(ctx); err != nil {
		return err
	}
	if err := s.compareMoment(ctx, moment); err != nil {
		return err
	}
	fmt.Println("demo: restored 2 of 2 databases, identical")
	return nil
}
