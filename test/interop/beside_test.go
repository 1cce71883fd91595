package interop_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// Both cannot be at work on one database: Litestream checkpoints it as it sees
// fit. Holdfast notices, refuses, and goes on when it is alone.
func TestLitestreamAtWorkOnTheSameDatabaseIsRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Litestream; run make test")
	}
	p, ours := filesPlace(t), filesPlace(t)
	path := filepath.Join(t.TempDir(), "app.db")
	app := sqlitetest.StartShell(t, path)
	app.Run(t, "CREATE TABLE t(v);")
	d := host.Database{Name: "app", Path: path, Replica: "elsewhere", Writer: "0123456789abcdef0123456789abcdef"}
	h := mustHost(t, ours)
	litestreamReplicate(t, p, path, func() {
		deadline := time.Now().Add(20 * time.Second)
		for { // it takes a moment to open the database
			app.Run(t, "INSERT INTO t VALUES (randomblob(100));")
			objects, err := p.replica.All(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(objects) > 1 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("litestream ships nothing")
			}
			time.Sleep(50 * time.Millisecond)
		}
		if _, err := h.SyncOnce(t.Context(), d, 0); !errors.Is(err, source.ErrContract) {
			t.Errorf("beside it: got %v, want a refusal", err)
		}
	})
	if err := h.Release(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if res, err := h.SyncOnce(t.Context(), d, 0); err != nil || res.Puts != 1 {
		t.Errorf("alone: %d objects, %v; want one", res.Puts, err)
	}
}
