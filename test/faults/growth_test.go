package faults_test

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/test/ledger"
)

// writer commits orders in this process's time but another process's manner:
// through a connection of its own, as fast as it can with a pause in between.
func writer(ctx context.Context, t *testing.T, path string, pause time.Duration, placed *atomic.Int64) {
	db, err := ledger.Open(path)
	if err != nil {
		t.Error(err)
		return
	}
	defer db.Close() //nolint:errcheck // the test is over
	last, err := ledger.Last(ctx, db)
	for ; err == nil && ctx.Err() == nil; time.Sleep(pause) {
		last, err = ledger.Place(context.WithoutCancel(ctx), db, last, 4000)
		placed.Store(last.Number)
	}
	if err != nil {
		t.Error(err)
	}
}

// TestLogStaysSmallUnderASteadyWriter lets an application write all the time.
// Its log is used again and again, within its limit, and nothing is lost.
func TestLogStaysSmallUnderASteadyWriter(t *testing.T) {
	const limit = 8 << 20
	for _, pause := range []time.Duration{0, 5 * time.Millisecond} {
		t.Run(pause.String()+" between transactions", func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.db")
			app := sqlitetest.StartShell(t, path)
			app.Run(t, "CREATE TABLE x(v);")
			db := mustReplicate(t, path)
			db.WALLimit = limit
			stop := db.startWindow(t, 200*time.Millisecond)
			time.Sleep(300 * time.Millisecond) // the host opens the file before this process does
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
			defer cancel()
			var placed atomic.Int64
			done := make(chan struct{})
			go func() {
				defer close(done)
				writer(ctx, t, path, pause, &placed)
			}()
			var largest int64
			for ; ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
				info, err := os.Stat(path + "-wal")
				if err != nil {
					t.Fatal(err)
				}
				largest = max(largest, info.Size())
			}
			<-done
			res := stop()
			last := db.pass(t)
			if res.Resyncs+last.Resyncs != 0 {
				t.Errorf("took all pages %d times (%s)", res.Resyncs+last.Resyncs, res.ResyncReason)
			}
			shipped := res.Bytes + last.Bytes
			t.Logf("%d orders, %d objects of %d MiB, log at most %d MiB", placed.Load(), res.Puts+last.Puts, shipped>>20, largest>>20)
			if largest > 4*limit {
				t.Errorf("the log grew to %d MiB, its limit is %d", largest>>20, limit>>20)
			}
			sqlitetest.Same(t, db.restored(t), sqlitetest.Truth(t, path), 4096)
		})
	}
}
