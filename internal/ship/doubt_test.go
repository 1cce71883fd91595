package ship_test

import (
	"os/exec"
	"testing"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/source"
)

// TestALostPutIsNotTakenForTheHeadBeforeIt puts a backup in the place of a
// database whose last put got through without an answer. The backup is just what
// the replica held before that put.
func TestALostPutIsNotTakenForTheHeadBeforeIt(t *testing.T) {
	b := newBench(t)
	b.insert(10)
	b.exec("PRAGMA wal_checkpoint(TRUNCATE)")
	b.mustPass()
	if out, err := exec.Command("cp", b.path, b.path+".backup").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b.insert(10)
	b.store.loseAck = true
	b.passWants(blob.ErrUnavailable)
	_ = b.app.Close()
	for _, command := range []string{"mv " + b.path + ".backup " + b.path, "rm " + b.path + "-wal", "rm " + b.path + "-shm"} {
		if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	b.passWants(source.ErrReplaced)
	if err := b.db.Abandon(); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	if out := b.mustPass(); out.SyncedAt.IsZero() {
		t.Errorf("got %+v, want to be in sync", out)
	}
	b.mustEqual()
}
