package interop_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// A replica that Litestream has written, with merged objects and snapshots:
// Holdfast restores the latest state and every one that an object ends with to
// the same bytes as Litestream.
func TestHoldfastRestoresLitestreamsReplica(t *testing.T) {
	inEachPlace(t, func(t *testing.T, p place) {
		path := filepath.Join(t.TempDir(), "app.db")
		app := sqlitetest.Open(t, path, "page_size=2048", "auto_vacuum=incremental")
		sqlitetest.Exec(t, app, "CREATE TABLE orders (id INTEGER PRIMARY KEY, note BLOB)")
		litestreamReplicate(t, p, path, func() {
			for deadline, n := time.Now().Add(4*time.Second), 1; time.Now().Before(deadline); n++ {
				sqlitetest.Exec(t, app, rows(n*10, n*10+8, 700))
				if n%20 == 0 {
					sqlitetest.Exec(t, app, fmt.Sprintf("DELETE FROM orders WHERE id < %d", n*10-60))
					sqlitetest.Exec(t, app, "PRAGMA incremental_vacuum")
				}
				time.Sleep(25 * time.Millisecond)
			}
			time.Sleep(time.Second)
		})
		truth := filepath.Join(t.TempDir(), "truth.db")
		if err := os.WriteFile(truth, sqlitetest.Truth(t, path), 0o600); err != nil {
			t.Fatal(err)
		}
		assertBothRestore(t, p, plan.Target{}, truth)

		objects, err := p.replica.All(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		levels := map[int]int{}
		for _, o := range objects {
			if o.Format != 0 || o.Writer != "" {
				t.Errorf("%s claims to be ours: %+v", o.Key(), o)
			}
			levels[o.Level]++
			if levels[o.Level] > 12 && o.Level == 0 {
				continue // every state of the first second will do
			}
			target := plan.Target{TXID: o.Max}
			ours, _ := holdfastRestore(t, p, target)
			assertSameFile(t, ours, litestreamRestore(t, p, target))
		}
		if levels[0] < 20 || levels[1] < 2 || levels[2] < 1 || levels[9] < 2 {
			t.Errorf("objects by level %v; the test proves less than it says", levels)
		}
		head, err := p.replica.Head(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if pos, err := p.replica.Position(t.Context(), head); err != nil || pos.PageSize != 2048 || pos.Frame != 0 {
			t.Errorf("position %+v, %v; want one that nothing continues", pos, err)
		}
	})
}
