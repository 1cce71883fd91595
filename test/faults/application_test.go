package faults_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// startWindow replicates at interval until the returned function is called,
// which says how it went.
func (r *replicated) startWindow(t *testing.T, interval time.Duration) (stop func() host.Result) {
	t.Helper()
	type outcome struct {
		result host.Result
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		w := host.Window{Database: r.Database, Interval: interval, Length: time.Hour}
		res, err := r.host.Sync(t.Context(), w, func(host.Progress) {})
		done <- outcome{res, err}
	}()
	return func() host.Result {
		t.Helper()
		if err := r.host.StopSync(t.Context(), r.Name); err != nil {
			t.Error(err)
		}
		o := <-done
		if o.err != nil {
			t.Errorf("window: %v", o.err)
		}
		return o.result
	}
}

// TestApplicationsOwnCheckpointsSucceed runs each checkpoint mode from another
// process during replication, after writes and while idle, again and again. It
// must neither be refused nor cost a gap or a resync.
func TestApplicationsOwnCheckpointsSucceed(t *testing.T) {
	for _, interval := range []time.Duration{10 * time.Millisecond, time.Second} {
		t.Run(interval.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.db")
			app := sqlitetest.StartShell(t, path)
			app.Run(t, "CREATE TABLE t(v);", "INSERT INTO t VALUES (randomblob(50000));")
			db := mustReplicate(t, path)
			stop := db.startWindow(t, interval)
			longest := make(map[string]time.Duration)
			for range 4 {
				for _, mode := range []string{"PASSIVE", "FULL", "RESTART", "TRUNCATE"} {
					app.Run(t, "INSERT INTO t VALUES (randomblob(30000));")
					for _, when := range []string{"after a write", "idle"} {
						start := time.Now()
						row := app.Run(t, "PRAGMA wal_checkpoint("+mode+");")
						name := mode + " " + when
						longest[name] = max(longest[name], time.Since(start))
						if len(row) != 1 || !strings.HasPrefix(row[0], "0|") {
							t.Errorf("%s: got %v, want that it was not busy", name, row)
						}
					}
				}
			}
			app.Run(t, "INSERT INTO t VALUES (1);")
			res := stop()
			last := db.pass(t)
			if res.Resyncs+last.Resyncs != 0 {
				t.Errorf("took all pages %d times (%s)", res.Resyncs+last.Resyncs, res.ResyncReason)
			}
			sqlitetest.Same(t, db.restored(t), sqlitetest.Truth(t, path), 4096)
			t.Logf("longest waits: %v", longest)
		})
	}
}

// TestReplicationLeavesNoTraceInTheDatabase compares a replicated database with
// a twin that went through the same statements and was not.
func TestReplicationLeavesNoTraceInTheDatabase(t *testing.T) {
	sum := func(replicate bool) string {
		path := filepath.Join(t.TempDir(), "app.db")
		app := sqlitetest.StartShell(t, path)
		app.Run(t, "PRAGMA auto_vacuum=2;", "CREATE TABLE t(id INTEGER PRIMARY KEY, v);")
		stop := func() host.Result { return host.Result{} }
		if replicate {
			stop = mustReplicate(t, path).startWindow(t, time.Millisecond)
		}
		for i := range 200 {
			app.Run(t, fmt.Sprintf("INSERT INTO t(v) VALUES (zeroblob(%d));", i*97), fmt.Sprintf("UPDATE t SET v = zeroblob(%d) WHERE id %% 9 = %d;", i*31, i%9))
			if i%40 == 39 {
				app.Run(t, "DELETE FROM t WHERE id % 2 = 0;", "PRAGMA incremental_vacuum(10);")
			}
		}
		if res := stop(); replicate && res.Puts < 20 {
			t.Errorf("only %d objects were put meanwhile", res.Puts)
		}
		row := app.Run(t, "PRAGMA wal_checkpoint(TRUNCATE);")
		if len(row) != 1 || row[0] != "0|0|0" {
			t.Fatalf("the last TRUNCATE: got %v", row)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%x of %d bytes", sha256.Sum256(b), len(b))
	}
	if replicated, twin := sum(true), sum(false); replicated != twin {
		t.Errorf("the replicated database is %s, its twin %s", replicated, twin)
	}
}
