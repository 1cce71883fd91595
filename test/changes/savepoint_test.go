package changes_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/blob/file"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/internal/wal"
)

const brokenLog = "the log cannot be recovered after a crash: its application should use a newer SQLite"

// TestSavepointFaultOfOlderVersions rolls savepoints back over pages that had
// spilled into the log, which SQLite 3.40 may follow with frames whose checksums
// do not. Recovery after a crash would lose them; running readers see them, and
// so must the replica. The worker says that the log is in danger.
func TestSavepointFaultOfOlderVersions(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 40))
	path := filepath.Join(t.TempDir(), "app.db")
	app := startOlder(t, path)
	run(t, app, "PRAGMA cache_size=2", "CREATE TABLE t(id INTEGER PRIMARY KEY, v)", fill)
	r := mustReplicate(t, path)
	r.pass(t)
	watcher := sqlitetest.Open(t, path, "wal_autocheckpoint=0") // after the host, which must not close the file under it
	for round := range 60 {
		run(t, app, "BEGIN")
		for range 1 + random.IntN(3) {
			run(t, app, change(random), "SAVEPOINT s", change(random), change(random), "ROLLBACK TO s", change(random))
		}
		run(t, app, "COMMIT")
		r.pass(t)
		same(t, fmt.Sprint("round ", round), r.restored(t, plan.Target{}), sqlitetest.Live(t, watcher))
		if broken := len(r.logbook.told(brokenLog, "path")); broken >= 3 {
			t.Logf("the log was broken in %d of %d transactions", broken, round+1)
			break
		}
	}
	if len(r.logbook.told(brokenLog, "path")) == 0 {
		t.Error("the log was never broken: the fault was not provoked")
	}
	r.wantResyncs(t)
}

// TestSavepointFaultThenEverybodyDies provokes the fault while no worker is there,
// has what was committed copied into the file, and kills all who have it open.
// Recovery takes the transaction out of the log, but not its pages out of the
// file, and the log goes on where the replica ends. The first object after that
// must have what the file has.
func TestSavepointFaultThenEverybodyDies(t *testing.T) {
	path, store := filepath.Join(t.TempDir(), "app.db"), t.TempDir()
	app := startOlder(t, path)
	run(t, app, "PRAGMA cache_size=2", "CREATE TABLE t(id INTEGER PRIMARY KEY, v)", fill)
	w := startWorker(t, path, store)
	w.pass(t)
	checkpoint(t, app, "PASSIVE")
	w.pass(t)
	run(t, app, "CREATE TABLE few(v)") // starts the log over
	w.pass(t)
	w.Kill()
	// A frame is written over, which puts off the checksums of all that follow until
	// the commit. The end of the log then goes back to before that frame, and those
	// of the new ones in between are forgotten.
	const low, middle, high = "id < 100", "id BETWEEN 50 AND 90", "id > 100"
	const set = "UPDATE t SET v = randomblob(1000) WHERE "
	run(t, app, "BEGIN", "SAVEPOINT s", set+low, set+middle, "ROLLBACK TO s", set+high, "COMMIT")
	if !isBroken(t, path) {
		t.Fatal("the log is not broken: the fault was not provoked")
	}
	checkpoint(t, app, "PASSIVE")
	app.Kill()

	app = startOlder(t, path)
	run(t, app, "CREATE TABLE later(v)")
	r := mustReplicateTo(t, path, file.New(store))
	r.mark(t)
	r.check(t, source.RuleScrub)
}

// isBroken tells whether recovery would lose a part of the log of the database at
// path. Source for where the index says how many frames there are: the layout of
// the WAL-index in SQLite's wal.c.
func isBroken(t *testing.T, path string) bool {
	t.Helper()
	var end [4]byte
	if _, err := mustReader(t, path+"-shm").ReadAt(end[:], 16); err != nil {
		t.Fatal(err)
	}
	log := mustReader(t, path+"-wal")
	h, err := wal.ReadHeader(log)
	if err != nil {
		t.Fatal(err)
	}
	got, err := wal.Scan(log, h, 0, h.Chain, binary.NativeEndian.Uint32(end[:]), 0)
	if err != nil {
		t.Fatal(err)
	}
	return got.Broken
}

// change is a statement that touches more pages than a small cache holds.
func change(random *rand.Rand) string {
	if random.IntN(2) == 0 {
		return fmt.Sprintf("UPDATE t SET v = randomblob(1000) WHERE id %% %d = 0", 1+random.IntN(9))
	}
	return fmt.Sprintf("INSERT INTO t(v) SELECT randomblob(1000) FROM t LIMIT %d", 1+random.IntN(30))
}
