package interop_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// mustHost returns a worker's data plane that ships to p.
func mustHost(t *testing.T, p place) *host.Host {
	t.Helper()
	h, err := host.New(host.Options{
		StateDir:    t.TempDir(),
		Log:         slog.New(slog.NewTextHandler(io.Discard, nil)),
		OpenReplica: func(context.Context, string) (*replica.Replica, error) { return p.replica, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close(context.WithoutCancel(t.Context())) })
	return h
}

// What our data plane ships of a live database, with resyncs of both kinds of
// start, a shrink and growth, is restored by Litestream: every state by its
// TXID's time, and the latest, byte for byte the source's.
func TestBothRestoreWhatWasShipped(t *testing.T) {
	inEachPlace(t, func(t *testing.T, p place) {
		path := filepath.Join(t.TempDir(), "app.db")
		app := sqlitetest.StartShell(t, path)
		app.Run(t, "PRAGMA auto_vacuum=2;", "CREATE TABLE t(id INTEGER PRIMARY KEY, v);")
		d := host.Database{Name: "app", Path: path, Replica: "somewhere", Writer: "0123456789abcdef0123456789abcdef"}
		h := mustHost(t, p)
		truths, resyncs := make(map[ltx.TXID]string), 0
		ship := func() {
			t.Helper()
			res, err := h.SyncOnce(t.Context(), d, 0)
			if err != nil {
				t.Fatal(err)
			}
			resyncs += res.Resyncs
			truth := filepath.Join(t.TempDir(), fmt.Sprint(res.TXID))
			if err := os.WriteFile(truth, sqlitetest.Truth(t, path), 0o600); err != nil {
				t.Fatal(err)
			}
			truths[res.TXID] = truth
			time.Sleep(3 * time.Millisecond) // states are told apart by their milliseconds
		}
		ship()
		for i := range 5 {
			app.Run(t, fmt.Sprintf("INSERT INTO t(v) VALUES (randomblob(%d));", 1000+i*30000))
			ship()
		}
		app.Run(t, "DELETE FROM t WHERE id > 2;", "PRAGMA incremental_vacuum;") // a shrink
		ship()
		if err := h.Release(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		app.Run(t, "PRAGMA wal_checkpoint(TRUNCATE);", "INSERT INTO t(v) VALUES (randomblob(90000));") // nobody watches
		h = mustHost(t, p)
		ship()
		app.Run(t, "INSERT INTO t(v) VALUES ('after the resync');")
		ship()
		if resyncs != 1 || len(truths) != 9 {
			t.Fatalf("%d resyncs, %d states; want 1 and 9", resyncs, len(truths))
		}
		assertBothRestore(t, p, plan.Target{}, truths[ltx.TXID(len(truths))])
		objects, err := p.replica.Objects(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range objects {
			assertBothRestore(t, p, plan.Target{TXID: o.Max}, truths[o.Max])
			if i+1 < len(objects) {
				assertBothRestore(t, p, plan.Target{At: objects[i+1].Created}, truths[o.Max])
			}
		}
	})
}
