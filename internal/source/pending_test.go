package source_test

import (
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// TestCheckpointAfterAPart checkpoints when only a part of what was committed has
// been captured, as a pass does whose writer commits more than one changeset
// takes between two of its steps.
func TestCheckpointAfterAPart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	app := sqlitetest.StartShell(t, path)
	app.Run(t, "CREATE TABLE t(v);")
	db, m := mustOpen(t, path), &mirror{}
	pass(t, db, m, 0)
	app.Run(t, "INSERT INTO t VALUES (1);", "INSERT INTO t VALUES (2);")
	c, err := db.Capture(1, "")
	if err != nil || c.Complete {
		t.Fatalf("got %+v, %v; want a part", c, err)
	}
	m.apply(t, c)
	if err := db.Shipped(c); err != nil {
		t.Fatal(err)
	}
	if room, err := db.Checkpoint(); err != nil {
		t.Errorf("checkpoint: %v, %v", room, err)
	}
	pass(t, db, m, 0)
	mustEqual(t, m, path)
}
