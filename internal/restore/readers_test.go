package restore_test

import (
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob/file"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// TestTheLogIsWhatSQLiteMakesOfIt has a reader hold the first state while others follow,
// so that the log grows over more than two blocks of its index. Each state is, page by
// page, what a reader sees that came before, and one that comes now; the first one stays
// what it was. Once nobody holds it the log is emptied.
func TestTheLogIsWhatSQLiteMakesOfIt(t *testing.T) {
	s := newStage(t, "auto_vacuum=incremental")
	f := s.follow()
	f.reach(s.head())
	held, early := mustOpenCopy(t, s.out), mustOpenCopy(t, s.out)
	sqlitetest.Exec(t, held, "BEGIN")
	first := mustCount(t, held)
	sqlitetest.Same(t, sqlitetest.Live(t, early), s.states[s.head()], 512)
	for n := 0; mustSize(t, s.out+"-wal") < 8400*(512+24); n++ {
		s.commit(300 + n%7*20)
		f.reach(s.head())
		late := mustOpenCopy(t, s.out)
		for _, reader := range []*sql.DB{early, late} {
			sqlitetest.Same(t, sqlitetest.Live(t, reader), s.states[s.head()], 512)
		}
		mustClose(t, late)
	}
	if got := mustCount(t, held); got != first {
		t.Errorf("the reader who held %s sees %s", first, got)
	}
	sqlitetest.Exec(t, held, "COMMIT")
	for late := time.Now().Add(30 * time.Second); mustSize(t, s.out+"-wal") > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("the log is not emptied")
		}
	}
	s.commit(7)
	f.reach(s.head())
	sqlitetest.Same(t, sqlitetest.Live(t, early), s.states[s.head()], 512)
	mustClose(t, held)
	mustClose(t, early)
	f.stop()
	s.assertCopy()
}

// TestFramesThatNobodyPublishedAreForgotten leaves frames in the index as somebody does who
// dies before they are published.
func TestFramesThatNobodyPublishedAreForgotten(t *testing.T) {
	s := newStage(t)
	f := s.follow()
	f.reach(s.head())
	f.stop()
	c, err := restore.OpenCopy(s.out)
	if err != nil {
		t.Fatal(err)
	}
	for round := range uint32(20) {
		var pages []uint32
		for n := range 3000 + round*100 {
			pages = append(pages, 1+n*round%5000)
		}
		if err := c.Leave(pages); err != nil {
			t.Fatal(err)
		}
		s.commit(18 + int(round%3))
		state := s.states[s.head()]
		if err := c.Change(512, state); err != nil {
			t.Fatal(err)
		}
		reader := mustOpenCopy(t, s.out)
		sqlitetest.Same(t, sqlitetest.Live(t, reader), state, 512)
		mustClose(t, reader)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFollowUndoesWhatOthersWrite has another program write to the copy while it is
// followed.
func TestFollowUndoesWhatOthersWrite(t *testing.T) {
	s := newStage(t)
	f := s.follow()
	f.reach(s.head())
	for _, statement := range []string{"UPDATE t SET v = 99;", "CREATE TABLE theirs AS SELECT * FROM t;", "DELETE FROM t;"} {
		shell := sqlitetest.StartShell(t, s.out)
		shell.Run(t, statement)
		s.commit(20)
		if events := f.reach(s.head()); !has(events, restore.Anew) {
			t.Errorf("%s: saw %v", statement, kinds(events))
		}
		if got := shell.Run(t, "SELECT count(*) || ' ' || min(v) || ' ' || max(v) FROM t;"); got[0] != fmt.Sprintf("20 %d %d", s.version, s.version) {
			t.Errorf("%s: it reads %q", statement, got)
		}
		shell.Quit()
	}
	f.stop()
	s.assertCopy()
}

// TestReadersSeeWholeStates has programs of another SQLite read the copy all the time:
// through one connection, and through a new one each time.
func TestReadersSeeWholeStates(t *testing.T) {
	s := newStage(t, "auto_vacuum=incremental")
	f := s.follow()
	f.reach(s.head())
	readers := s.read(2)
	for n := range 120 {
		s.commit(10 + n*37%200)
		if n%3 == 0 {
			f.reach(s.head())
		}
	}
	f.reach(s.head())
	readers.end(t, 20)
	f.stop()
	s.assertCopy()
}

// TestAKilledFollowIsNeverSeenByReaders kills who follows again and again, and lets it
// live longer where it had no time to write. Readers see whole states all the time, and
// in the end the newest one.
func TestAKilledFollowIsNeverSeenByReaders(t *testing.T) {
	store := t.TempDir()
	s := newStageIn(t, file.New(store), "auto_vacuum=incremental")
	f := s.follow()
	f.reach(s.head())
	f.stop()
	readers := s.read(1)
	random := rand.New(rand.NewPCG(3, 4))
	kills := 25
	if testing.Short() {
		kills = 5
	}
	const states = 5
	for n := 0; n < kills || n < 10*kills && !readers.saw(states); n++ {
		cmd := restoring(store, s.out)
		cmd.Env = append(cmd.Env, followVariable+"=")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lives := time.Duration(40+random.IntN(120)*(1+n/kills)) * time.Millisecond
		for until := time.Now().Add(lives); time.Now().Before(until); {
			s.commit(10 + random.IntN(200))
			time.Sleep(2 * time.Millisecond) // else there is more to list at each start than one lives for
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	f = s.follow()
	f.reach(s.head())
	readers.end(t, states)
	f.stop()
	s.assertCopy()
}

// TestFollowBehindAShipper follows what is shipped of a database that an application
// writes to: amounts that it moves between accounts, of which the sum stays.
func TestFollowBehindAShipper(t *testing.T) {
	h := newHistory(t, 4096)
	path, out := filepath.Join(t.TempDir(), "source.db"), filepath.Join(t.TempDir(), "copy.db")
	app := sqlitetest.Open(t, path)
	sqlitetest.Exec(t, app, "CREATE TABLE account(id INTEGER PRIMARY KEY, amount INTEGER, note BLOB)")
	sqlitetest.Exec(t, app, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<100) INSERT INTO account SELECT i, 1000, randomblob(300) FROM n")
	pass := mustShip(t, h.replica, path)
	pass()
	s := &stage{history: h, out: out}
	f := s.follow()
	f.until("restored", func(e restore.Event) bool { return e.Kind == restore.Restored })
	shell := sqlitetest.StartShell(t, out)
	random := rand.New(rand.NewPCG(5, 6))
	seen := map[string]bool{}
	for n := range 150 {
		for range 3 {
			from, to, much := 1+random.IntN(100), 1+random.IntN(100), random.IntN(50)
			sqlitetest.Exec(t, app, "BEGIN")
			sqlitetest.Exec(t, app, "UPDATE account SET amount = amount - ?, note = randomblob(300) WHERE id = ?", much, from)
			sqlitetest.Exec(t, app, "UPDATE account SET amount = amount + ?, note = randomblob(300) WHERE id = ?", much, to)
			sqlitetest.Exec(t, app, "COMMIT")
		}
		pass()
		if n%10 == 9 {
			f.reach(mustHead(t, h.replica))
		}
		got := shell.Run(t, "SELECT count(*) || ' ' || sum(amount) FROM account;", "SELECT group_concat(amount) FROM account;")
		if got[0] != "100 100000" {
			t.Fatalf("a reader saw %q", got[0])
		}
		seen[got[1]] = true
	}
	if len(seen) < 15 {
		t.Errorf("the reader saw %d states", len(seen))
	}
	shell.Quit()
	f.stop()
	sqlitetest.Same(t, mustRead(t, out), sqlitetest.Truth(t, path), 4096)
}

func mustHead(t *testing.T, r *replica.Replica) ltx.TXID {
	t.Helper()
	head, err := r.Head(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return head.Max
}

// mustShip returns what makes a pass from the database at path to r.
func mustShip(t *testing.T, r *replica.Replica, path string) (pass func()) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	dir, err := ship.OpenDir(filepath.Join(t.TempDir(), "state"), ship.OS)
	if err != nil {
		t.Fatal(err)
	}
	shipper, err := ship.New(ship.Options{Name: "app", URL: "mem:", Writer: writer, Replica: r, Log: log}, dir)
	if err != nil {
		t.Fatal(err)
	}
	db, err := source.Open(path, log)
	if err != nil {
		t.Fatal(err)
	}
	shipper.Attach(db)
	t.Cleanup(func() {
		_, _ = db.Close()
		_ = shipper.Close()
		_ = dir.Close()
	})
	return func() {
		t.Helper()
		if _, err := shipper.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// readers are programs that read the copy of a stage until they are ended.
type readers struct {
	quit   chan struct{}
	ended  chan error
	count  int
	states atomic.Int64 // that were seen to follow an older one
}

// read starts so many readers of each kind.
func (s *stage) read(count int) *readers {
	r := &readers{quit: make(chan struct{}), ended: make(chan error, 2*count), count: 2 * count}
	for range count {
		shell := sqlitetest.StartShell(s.t, s.out)
		go func() { r.ended <- s.keepReading(r, shell) }()
		go func() { r.ended <- s.keepReading(r, nil) }()
	}
	return r
}

// keepReading reads with shell, or a new program each time.
func (s *stage) keepReading(r *readers, shell *sqlitetest.Shell) error {
	if shell != nil {
		defer shell.Quit()
	}
	last := 0
	for n := 0; ; n++ {
		select {
		case <-r.quit:
			return nil
		default:
		}
		var lines []string
		query := "SELECT count(*) || ' ' || min(v) || ' ' || max(v) FROM t;"
		statements := []string{"BEGIN;", query, query, "COMMIT;"}
		if n%8 == 0 {
			statements = []string{"BEGIN;", query, "PRAGMA integrity_check;", query, "COMMIT;"}
		}
		var alive bool
		if shell != nil {
			lines, alive = shell.Try(statements...)
		} else {
			printed, err := exec.Command("sqlite3", append([]string{"-batch", s.out, ".timeout 5000"}, statements...)...).CombinedOutput()
			lines, alive = strings.Split(strings.TrimSpace(string(printed)), "\n"), err == nil
		}
		version, err := s.check(lines)
		if err != nil || !alive || version < last {
			return fmt.Errorf("after version %d: read %q, alive %v: %w", last, lines, alive, err)
		}
		if version > last {
			r.states.Add(1)
		}
		last = version
	}
}

// check returns the version that all lines tell of.
func (s *stage) check(lines []string) (version int, err error) {
	if len(lines) == 3 && lines[1] == "ok" {
		lines = []string{lines[0], lines[2]}
	}
	var rows, least, most int
	if len(lines) != 2 || lines[0] != lines[1] {
		return 0, fmt.Errorf("two reads of one transaction differ")
	}
	if _, err := fmt.Sscan(strings.TrimSpace(lines[0]), &rows, &least, &most); err != nil {
		return 0, err
	}
	if want, _ := s.rows.Load(most); least != most || want != rows {
		return 0, fmt.Errorf("%d rows of versions %d to %d, want %v", rows, least, most, want)
	}
	return most, nil
}

// end ends the readers, which must have seen so many states each, on average.
func (r *readers) end(t *testing.T, states int64) {
	t.Helper()
	close(r.quit)
	for range r.count {
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
	}
	if !r.saw(states) {
		t.Errorf("%d readers saw %d states, want at least %d each", r.count, r.states.Load(), states)
	}
}

// saw says whether the readers saw so many states each, on average.
func (r *readers) saw(states int64) bool { return r.states.Load() >= states*int64(r.count) }

func mustOpenCopy(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// mustCount returns what a query sees, which begins a reader's transaction.
func mustCount(t *testing.T, db *sql.DB) string {
	t.Helper()
	var seen string
	if err := db.QueryRow("SELECT count(*) || ' ' || min(v) || ' ' || max(v) FROM t").Scan(&seen); err != nil {
		t.Fatal(err)
	}
	return seen
}

func mustSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
