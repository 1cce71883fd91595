// Command orders is a small application: it writes orders into a database at a
// steady rate until it is told to stop, and keeps a journal of what it has
// committed when. It knows nothing of replication.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	_ "github.com/mattn/go-sqlite3"

	"github.com/holdfast-db/holdfast/test/ledger"
)

func main() {
	path := flag.String("db", "", "database file")
	journal := flag.String("journal", "", "file for what was committed when")
	rate := flag.Float64("rate", 100, "transactions per second; 0 for as many as possible")
	note := flag.Int("note", 200, "longest note, in bytes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *path, *journal, *rate, *note); err != nil {
		fmt.Fprintf(os.Stderr, "orders: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, path, journal string, rate float64, note int) (err error) {
	db, err := ledger.Open(path)
	if err != nil {
		return err
	}
	defer func() {
		if e := db.Close(); err == nil {
			err = e
		}
	}()
	j, err := os.OpenFile(journal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer j.Close() //nolint:errcheck // each line was written through
	last, err := ledger.Last(ctx, db)
	if err != nil {
		return err
	}
	for next := time.Now(); ctx.Err() == nil; {
		begun := time.Now()
		if last, err = ledger.Place(context.WithoutCancel(ctx), db, last, note); err != nil {
			return err
		}
		if err := ledger.Note(j, ledger.Entry{Order: last, Begun: begun, Committed: time.Now()}); err != nil {
			return err
		}
		if rate > 0 {
			next = next.Add(time.Duration(float64(time.Second) / rate))
			wait(ctx, time.Until(next))
		}
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
