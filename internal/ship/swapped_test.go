package ship_test

import (
	"errors"
	"os/exec"
	"testing"

	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
)

// TestSwappedFileIsShipped renames a backup over the file of an application that
// has stopped. Its log stays where it is, since we are connected, and SQLite
// reads the backup through it: that is the database now.
func TestSwappedFileIsShipped(t *testing.T) {
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
	_ = b.app.Close()
	if out, err := exec.Command("mv", b.path+".backup", b.path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b.passWants(source.ErrReplaced)
	if err := b.db.Abandon(); err != nil { // as a slot does
		t.Fatal(err)
	}
	b.reopen()
	out := b.mustPass()
	t.Logf("in sync at %v with %d puts, resyncs %v", out.SyncedAt, out.Puts, out.Resyncs)
	b.mustEqual()
}

// TestTwinIsFenced lets two hosts write one replica under the same identity, as a
// copied machine does with the state directory in it.
func TestTwinIsFenced(t *testing.T) {
	store := &moody{Store: mem.New()}
	var twins [2]*bench
	for i := range twins {
		b := newBench(t)
		b.stop()
		b.store, b.opts.Replica = store, replica.New(store)
		b.start()
		twins[i] = b
	}
	fenced := false
	for range 3 {
		for i, b := range twins {
			b.exec("UPDATE t SET v = 1 WHERE id = 1; INSERT INTO t(v) VALUES (?)", i)
			out, err := b.ship.Pass(t.Context())
			fenced = fenced || errors.Is(err, ship.ErrFenced)
			t.Logf("host %d: TXID %d, resyncs %v, %v", i, out.TXID, out.Resyncs, err)
		}
	}
	if !fenced {
		t.Error("both wrote on, by turns, and neither was fenced")
	}
}
