// Package faults_test cuts applications off in the middle of what SQLite does,
// and compares what was replicated with what SQLite itself counts as committed.
package faults_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/test/shim"
)

// replicated is a database under replication into memory.
type replicated struct {
	host.Database
	host    *host.Host
	replica *replica.Replica
}

func mustReplicate(t *testing.T, path string) *replicated {
	t.Helper()
	r := &replicated{
		Database: host.Database{Name: "app", Path: path, Replica: "mem:app", Writer: "0123456789abcdef0123456789abcdef"},
		replica:  replica.New(mem.New()),
	}
	h, err := host.New(host.Options{
		StateDir:    t.TempDir(),
		Log:         slog.New(slog.NewTextHandler(io.Discard, nil)),
		OpenReplica: func(context.Context, string) (*replica.Replica, error) { return r.replica, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	r.host = h
	t.Cleanup(func() { _ = h.Close(context.WithoutCancel(t.Context())) })
	return r
}

// start replicates without a pause until the returned function is called.
func (r *replicated) start(t *testing.T) (stop func()) {
	t.Helper()
	done := make(chan error, 1)
	first := make(chan struct{}, 1)
	go func() {
		_, err := r.host.Sync(t.Context(), host.Window{Database: r.Database, Interval: time.Millisecond, Length: time.Hour}, func(host.Progress) {
			select {
			case first <- struct{}{}:
			default:
			}
		})
		done <- err
	}()
	select {
	case <-first:
	case err := <-done:
		t.Fatalf("window: %v", err)
	}
	return func() {
		if err := r.host.StopSync(t.Context(), r.Name); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Errorf("window: %v", err)
		}
	}
}

// pass ships what is there and returns how often all pages were taken so far.
func (r *replicated) pass(t *testing.T) host.Result {
	t.Helper()
	res, err := r.host.SyncOnce(t.Context(), r.Database, 0)
	if err != nil {
		t.Fatalf("pass: %v", err)
	}
	return res
}

// restored returns the latest state as a restore gives it.
func (r *replicated) restored(t *testing.T) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "restored.db")
	if _, err := restore.Run(t.Context(), r.replica, restore.Options{Output: out}); err != nil {
		t.Fatalf("restore: %v", err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestPhantomCommitsAreNeverShipped kills an application, or fails its sync of
// the log, when the frames of a transaction stand in the log with valid
// checksums and SQLite has not yet counted them as committed.
func TestPhantomCommitsAreNeverShipped(t *testing.T) {
	lib := shim.Build(t)
	r := rand.New(rand.NewPCG(1, 2))
	path := filepath.Join(t.TempDir(), "app.db")
	sqlitetest.StartShell(t, path).Run(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, v);")
	db := mustReplicate(t, path)
	db.pass(t)
	watcher := sqlitetest.Open(t, path) // after the host, which must not close the file under it
	died, failed := 0, 0
	for round := range 60 {
		action := []string{shim.Kill, shim.Fail}[round%2]
		call := []string{shim.Sync, shim.Sync, shim.Write}[r.IntN(3)]
		app := sqlitetest.StartShell(t, path, shim.Env(lib, action, call, "-wal", 1+r.IntN(6))...)
		stop := db.start(t)
		alive := true
		for i := 0; i < 8 && alive; i++ {
			var lines []string
			lines, alive = app.Try("PRAGMA synchronous=FULL;", fmt.Sprintf("INSERT INTO t(v) VALUES (randomblob(%d));", r.IntN(30000)))
			if len(lines) > 0 {
				failed++
			}
		}
		if !alive {
			died++
		}
		time.Sleep(3 * time.Millisecond) // passes meet what was left in the log
		stop()
		db.pass(t)
		sqlitetest.Same(t, db.restored(t), sqlitetest.Live(t, watcher), 4096)
		app.Quit()
	}
	if died < 10 || failed < 10 {
		t.Errorf("%d applications died and %d statements failed in 60 rounds, want at least 10 of each", died, failed)
	}
}
