package ship_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/source"
)

// TestSwappedFileIsShippedAfterTheStateWasLost renames a backup over the file, as
// TestSwappedFileIsShipped does, after a process that found no local state but the
// page digests, and so never had to look at all pages.
func TestSwappedFileIsShippedAfterTheStateWasLost(t *testing.T) {
	b := newBench(t)
	b.exec("CREATE TABLE u(v)")
	b.insert(100)
	b.exec("PRAGMA wal_checkpoint(TRUNCATE)")
	if out, err := exec.Command("cp", b.path, b.path+".backup").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b.exec("UPDATE t SET v = randomblob(102400)")
	b.exec("PRAGMA wal_checkpoint(TRUNCATE)")
	b.mustPass()
	b.exec("INSERT INTO u VALUES (1)")
	b.mustPass()
	if err := b.ship.Rest(); err != nil {
		t.Fatal(err)
	}
	b.stop()
	mustRemove(t, filepath.Join(filepath.Dir(b.path), ".app.db-holdfast", "state.json"))
	b.start()
	if out := b.mustPass(); len(out.Resyncs) != 0 {
		t.Fatalf("resyncs %v, want none for this to mean something", out.Resyncs)
	}
	_ = b.app.Close()
	if out, err := exec.Command("mv", b.path+".backup", b.path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b.passWants(source.ErrReplaced)
	if err := b.db.Abandon(); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	b.mustPass()
	b.mustEqual()
}
