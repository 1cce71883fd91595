package ship_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
)

// crash ends the process without a word: nothing is closed in order, and the
// next one finds what is on the disk.
func (b *bench) crash() {
	_ = b.dir.Close()
	b.start()
}

// spooled is a bench with a changeset in its spool and a store that is back.
func spooled(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	b.opts.WALLimit = 256 << 10
	b.stop()
	b.start()
	b.insert(10)
	b.mustPass()
	b.store.away = true
	b.insert(400)
	b.passWants(blob.ErrUnavailable)
	b.store.away = false
	return b
}

func TestTakeOverDoesNotShipAnOlderSpool(t *testing.T) {
	b := spooled(t)
	other := newBench(t)
	other.opts.Replica, other.opts.Writer, other.opts.TakeOver = b.opts.Replica, writerB, true
	other.stop()
	other.start()
	other.exec("CREATE TABLE z(v)")
	for range 30 {
		other.insert(20)
	}
	other.mustPass()
	other.stop()

	b.opts.TakeOver = true
	b.crash()
	b.mustPass()
	b.insert(1)
	if out := b.mustPass(); out.SpoolBytes != 0 {
		t.Errorf("%d bytes are left in the spool", out.SpoolBytes)
	}
	b.mustEqual()
}

func TestSpoolIsFoundAgainAfterALostAnswer(t *testing.T) {
	b := newBench(t)
	b.opts.WALLimit = 256 << 10
	b.stop()
	b.start()
	b.mustPass()
	b.insert(100)
	b.store.loseAck = true
	b.passWants(blob.ErrUnavailable) // TXID 2 is there, unknown to us
	b.store.away = true
	b.insert(400)
	b.passWants(blob.ErrUnavailable) // spooled as TXID 2
	b.store.away, b.store.loseAck = false, true
	b.passWants(blob.ErrUnavailable) // put as TXID 3, and the answer is lost again
	if out := b.mustPass(); out.SpoolBytes != 0 || len(out.Resyncs) != 0 {
		t.Errorf("got %+v, want an empty spool and no resync", out)
	}
	b.mustEqual()
}

// unsyncable is a file system whose spool directory cannot be synced, once.
type unsyncable struct {
	ship.FS
	armed bool
}

func (f *unsyncable) SyncDir(name string) error {
	if f.armed && filepath.Base(name) == "spool" {
		f.armed = false
		return &os.PathError{Op: "fsync", Path: name, Err: syscall.EIO}
	}
	return f.FS.SyncDir(name)
}

func TestSpoolThatFailedIsNotShippedLater(t *testing.T) {
	b := newBench(t)
	fs := &unsyncable{FS: ship.OS}
	b.fs, b.opts.WALLimit = fs, 256<<10
	b.stop()
	b.start()
	b.exec("CREATE TABLE u(id INTEGER PRIMARY KEY, v)")
	b.mustPass()
	b.store.away, fs.armed = true, true
	b.insert(400)
	b.passWants(syscall.EIO)
	b.store.away = false
	b.exec("DELETE FROM t")
	b.exec("INSERT INTO u(v) VALUES (randomblob(300000))")
	head := b.mustPass().TXID
	b.crash()
	if out := b.mustPass(); out.TXID != head || out.Puts != 0 {
		t.Errorf("the next process put %d objects up to TXID %d, want none after %d", out.Puts, out.TXID, head)
	}
	b.mustEqual()
}

func TestAllPagesDoNotGoToTheSpool(t *testing.T) {
	b := newBench(t)
	b.opts.WALLimit = 256 << 10
	b.stop()
	b.start()
	for range 10 {
		b.insert(1000)
	}
	b.mustPass()
	b.store.away = true
	if _, err := b.db.Close(); err != nil {
		t.Fatal(err)
	}
	b.exec("PRAGMA wal_checkpoint(TRUNCATE)") // nobody watches: the next capture compares all pages
	b.reopen()
	b.insert(300)
	out, err := b.ship.Pass(t.Context())
	if !errors.Is(err, blob.ErrUnavailable) || out.SpoolBytes != 0 {
		t.Errorf("got %d bytes in the spool, %v; want none, and that the store is away", out.SpoolBytes, err)
	}
	b.store.away = false
	b.mustPass()
	b.mustEqual()
}

// reopen opens the database anew within the same process, as after it was
// replaced.
func (b *bench) reopen() {
	b.t.Helper()
	var err error
	if b.db, err = source.Open(b.path, b.opts.Log); err != nil {
		b.t.Fatal(err)
	}
	b.ship.Attach(b.db)
}

func TestLostPutBeforeAnotherPageSizeKeepsItsTXID(t *testing.T) {
	b := newBench(t)
	b.insert(50)
	b.mustPass()
	b.insert(1)
	b.store.loseAck = true
	b.passWants(blob.ErrUnavailable) // TXID 2 is there, unknown to us
	if _, err := b.db.Close(); err != nil {
		t.Fatal(err)
	}
	b.insert(200)
	for _, q := range []string{"journal_mode=DELETE", "page_size=1024"} {
		b.exec("PRAGMA " + q)
	}
	b.exec("VACUUM")
	b.exec("PRAGMA journal_mode=WAL")
	b.reopen()
	b.mustPass()
	objects, err := b.opts.Replica.Objects(t.Context(), plan.SnapshotLevel)
	if err != nil || len(objects) != 1 || objects[0].Max != 3 {
		t.Fatalf("level 9 holds %v (%v), want 1-3: TXID 2 was taken", objects, err)
	}
	b.insert(3)
	b.mustPass()
	b.mustEqual()
}
