package source_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// TestPagesThatGrewWithoutAFrameAreTaken pretends that the database was 20 pages
// shorter when it was shipped last: none of them has a frame after that.
func TestPagesThatGrewWithoutAFrameAreTaken(t *testing.T) {
	for _, checkpointed := range []bool{true, false} {
		t.Run(fmt.Sprint("their content is in the file: ", checkpointed), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.db")
			app := sqlitetest.StartShell(t, path)
			app.Run(t, "CREATE TABLE t(v);", "INSERT INTO t VALUES (randomblob(200000));")
			if checkpointed {
				app.Run(t, "PRAGMA wal_checkpoint(TRUNCATE);", "INSERT INTO t VALUES (1);")
			}
			db, m := mustOpen(t, path), &mirror{}
			pass(t, db, m, 0)
			if _, err := db.Close(); err != nil {
				t.Fatal(err)
			}
			m.at.Commit -= 20
			for page := range uint32(20) {
				delete(m.pages, m.at.Commit+page+1)
			}
			app.Run(t, "UPDATE t SET v = 2 WHERE v = 1;", "CREATE TABLE u(v);")
			db = mustOpen(t, path)
			db.Resume(source.Place{Position: m.at})
			pass(t, db, m, 0)
			mustEqual(t, m, path)
			if len(m.resyncs) != 1 {
				t.Errorf("took all pages for %v, want only the first time", m.resyncs)
			}
		})
	}
}

// TestNothingIsMissedBetweenTwoLocks lets two other processes write and restart
// the log as fast as they can while captures hand their lock over.
func TestNothingIsMissedBetweenTwoLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	apps := []*sqlitetest.Shell{sqlitetest.StartShell(t, path), sqlitetest.StartShell(t, path)}
	apps[0].Run(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, v);")
	db, m := mustOpen(t, path), &mirror{}
	pass(t, db, m, 0)
	work := strings.Repeat("INSERT INTO t(v) VALUES (randomblob(abs(random()) % 9000));PRAGMA wal_checkpoint(PASSIVE);", 20) +
		"PRAGMA wal_checkpoint(RESTART);DELETE FROM t WHERE id % 5 = 0;"
	var wg sync.WaitGroup
	var enough atomic.Bool
	for _, app := range apps {
		wg.Go(func() {
			defer enough.Store(true)
			for !enough.Load() {
				if _, alive := app.Try(work); !alive {
					t.Error("sqlite3 died")
					return
				}
			}
		})
	}
	captures, generations := 0, make(map[[2]uint32]bool)
	want := 25
	if testing.Short() {
		want = 5
	}
	for end := time.Now().Add(time.Minute); len(generations) < want && time.Now().Before(end); captures++ {
		pass(t, db, m, 1+captures%50)
		generations[m.at.Salts] = true
	}
	enough.Store(true)
	wg.Wait()
	pass(t, db, m, 0)
	mustEqual(t, m, path)
	if len(m.resyncs) != 1 {
		t.Errorf("took all pages for %v, want only the first time", m.resyncs)
	}
	if len(generations) < want {
		t.Errorf("the log had %d generations in %d passes, want at least %d for this to mean something", len(generations), captures, want)
	}
	t.Logf("%d passes over %d generations of the log", captures, len(generations))
}
