package changes_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
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

// change is a statement that touches more pages than a small cache holds.
func change(random *rand.Rand) string {
	if random.IntN(2) == 0 {
		return fmt.Sprintf("UPDATE t SET v = randomblob(1000) WHERE id %% %d = 0", 1+random.IntN(9))
	}
	return fmt.Sprintf("INSERT INTO t(v) SELECT randomblob(1000) FROM t LIMIT %d", 1+random.IntN(30))
}
