package restore_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// stage is a source whose states are shipped, and the copy that follows them.
type stage struct {
	*history
	app     *sql.DB
	out     string
	version int
	rows    sync.Map // of each version
}

func newStage(t *testing.T, pragmas ...string) *stage { return newStageIn(t, mem.New(), pragmas...) }

func newStageIn(t *testing.T, store blob.Store, pragmas ...string) *stage {
	t.Helper()
	s := &stage{history: newHistoryIn(t, store, 512), out: filepath.Join(t.TempDir(), "copy.db")}
	s.app = sqlitetest.Open(t, filepath.Join(t.TempDir(), "source.db"), append([]string{"page_size=512"}, pragmas...)...)
	sqlitetest.Exec(t, s.app, "CREATE TABLE t(k INTEGER PRIMARY KEY, v INTEGER, b BLOB)")
	s.commit(20)
	return s
}

// commit gives the source so many rows, all of the next version, and ships that.
func (s *stage) commit(rows int) {
	s.t.Helper()
	s.version++
	s.rows.Store(s.version, rows)
	for _, statement := range []string{
		"BEGIN", fmt.Sprintf("DELETE FROM t WHERE k > %d", rows), fmt.Sprintf("UPDATE t SET v = %d, b = randomblob(100)", s.version),
		fmt.Sprintf("WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k+1 FROM n WHERE k < %d) INSERT OR IGNORE INTO t SELECT k, %d, randomblob(100) FROM n", rows, s.version),
		"COMMIT", "PRAGMA incremental_vacuum",
	} {
		sqlitetest.Exec(s.t, s.app, statement)
	}
	s.ship(sqlitetest.Live(s.t, s.app), false)
}

// following is a Follow under way.
type following struct {
	t      *testing.T
	events chan restore.Event
	cancel context.CancelFunc
	done   chan error
}

// follow starts to follow in this process, where nobody else may read the copy then.
func (s *stage) follow(change ...func(*restore.FollowOptions)) *following {
	s.t.Helper()
	return s.followFrom(s.replica, change...)
}

func (s *stage) followFrom(r *replica.Replica, change ...func(*restore.FollowOptions)) *following {
	ctx, cancel := context.WithCancel(s.t.Context())
	f := &following{t: s.t.(*testing.T), events: make(chan restore.Event, 10000), cancel: cancel, done: make(chan error, 1)}
	opts := restore.FollowOptions{
		Options: restore.Options{Output: s.out}, Source: "mem:", Interval: 2 * time.Millisecond,
		Tell: func(e restore.Event) { f.events <- e },
	}
	for _, c := range change {
		c(&opts)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.done <- restore.Follow(ctx, r, opts)
	}()
	s.t.Cleanup(func() {
		cancel()
		<-ended
	})
	return f
}

// until returns the events up to the first that ok accepts.
func (f *following) until(what string, ok func(restore.Event) bool) (seen []restore.Event) {
	f.t.Helper()
	late := time.After(30 * time.Second)
	for {
		select {
		case e := <-f.events:
			seen = append(seen, e)
			if ok(e) {
				return seen
			}
		case err := <-f.done:
			f.t.Fatalf("ended before %s: %v; saw %+v", what, err, seen)
		case <-late:
			f.t.Fatalf("no %s; saw %+v", what, seen)
		}
	}
}

// reach waits until the copy is at txid, not looking at what waits meanwhile.
func (f *following) reach(txid ltx.TXID) []restore.Event {
	f.t.Helper()
	return f.until(fmt.Sprintf("TXID %d", txid), func(e restore.Event) bool {
		return e.TXID == txid && (e.Kind == restore.Applied || e.Kind == restore.Restored || e.Kind == restore.Resumed)
	})
}

// stop interrupts f.
func (f *following) stop() {
	f.t.Helper()
	f.cancel()
	if err := <-f.done; !errors.Is(err, context.Canceled) {
		f.t.Fatalf("got %v, want that it was interrupted", err)
	}
}

func kinds(events []restore.Event) (all []restore.EventKind) {
	for _, e := range events {
		all = append(all, e.Kind)
	}
	return all
}

func has(events []restore.Event, kind restore.EventKind) bool {
	for _, e := range events {
		if e.Kind == kind {
			return true
		}
	}
	return false
}

// assertCopy fails unless the copy, which nobody has open, is the newest state, without a
// log.
func (s *stage) assertCopy() {
	s.t.Helper()
	if !bytes.Equal(mustRead(s.t, s.out), s.states[s.head()]) {
		s.t.Error("the copy is not what was shipped last")
	}
	assertFiles(s.t, filepath.Dir(s.out), ".copy.db-holdfast-follow", "copy.db")
}

// editState changes what stands beside the copy.
func (s *stage) editState(change func(map[string]any)) {
	s.t.Helper()
	path := filepath.Join(filepath.Dir(s.out), ".copy.db-holdfast-follow", "state.json")
	decoder := json.NewDecoder(bytes.NewReader(mustRead(s.t, path)))
	decoder.UseNumber() // digests have 64 bits
	var state map[string]any
	if err := decoder.Decode(&state); err != nil {
		s.t.Fatal(err)
	}
	change(state)
	b, err := json.Marshal(state)
	if err != nil {
		s.t.Fatal(err)
	}
	mustWrite(s.t, path, string(b))
}

// resize gives the source another page size, which is shipped as a snapshot alone.
func (s *stage) resize(pageSize uint32) {
	s.t.Helper()
	for _, pragma := range []string{"journal_mode=DELETE", fmt.Sprintf("page_size=%d", pageSize)} {
		sqlitetest.Exec(s.t, s.app, "PRAGMA "+pragma)
	}
	sqlitetest.Exec(s.t, s.app, "VACUUM")
	sqlitetest.Exec(s.t, s.app, "PRAGMA journal_mode=WAL")
	s.pageSize = pageSize
	state := sqlitetest.Live(s.t, s.app)
	s.put(plan.SnapshotLevel, 1, s.head()+1, s.changed(nil, state, true), state)
	s.states = append(s.states, state)
}

func mustClose(t testing.TB, db *sql.DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustRemove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
