package changes_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// TestLongReader keeps an old state in view over many passes and checkpoints. The
// log cannot be used again meanwhile, which keeps nothing from being shipped.
func TestLongReader(t *testing.T) {
	path, app := mustDatabase(t, startOlder)
	r := mustReplicate(t, path)
	r.WALLimit = 256 << 10
	r.mark(t)
	reader := startNewer(t, path)
	run(t, reader, "BEGIN")
	before := ask(t, reader, "SELECT count(*), total(length(v)) FROM t")
	w := r.startWindow(t, time.Millisecond)
	for range 20 {
		run(t, app, fill)
		ask(t, app, "PRAGMA wal_checkpoint(PASSIVE)")
	}
	w.stop(t)
	r.mark(t)
	same(t, "the state beside the reader", r.restored(t, plan.Target{}), sqlitetest.Truth(t, path))
	grown := logSize(t, path)
	if grown < 4*r.WALLimit {
		t.Errorf("the log has %d bytes, want that the reader kept it from being used again", grown)
	}
	if got := ask(t, reader, "SELECT count(*), total(length(v)) FROM t"); got != before {
		t.Errorf("the reader sees %s, want %s as at its beginning", got, before)
	}
	run(t, reader, "COMMIT")
	w = r.startWindow(t, time.Millisecond)
	for range 20 {
		run(t, app, fill)
		time.Sleep(2 * time.Millisecond)
	}
	w.stop(t)
	if size := logSize(t, path); size > grown*3/2 {
		t.Errorf("the log has grown from %d to %d bytes after the reader had ended", grown, size)
	}
	w = r.startWindow(t, time.Millisecond)
	checkpoint(t, app, "TRUNCATE")
	w.stop(t)
	if size := logSize(t, path); size != 0 {
		t.Errorf("the log has %d bytes after it was emptied", size)
	}
	r.check(t)
}

func logSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestWriterThatNeverPauses commits as fast as it can.
func TestWriterThatNeverPauses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	app := startNewer(t, path).(*child)
	run(t, app, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
	r := mustReplicate(t, path)
	r.WALLimit = 4 << 20
	r.mark(t)
	w := r.startWindow(t, time.Millisecond)
	app.send(t, flood+"1000")
	commits := app.answer(t, flood)
	res := w.stop(t)
	t.Logf("%s commits became %d objects, the log has %d KiB", commits, res.Puts, logSize(t, path)>>10)
	if res.Puts < 5 {
		t.Errorf("%d objects were put meanwhile", res.Puts)
	}
	r.check(t)
}

// TestVersionsTakeTurns lets two SQLite versions write one after the other, each
// also right after the other's checkpoint.
func TestVersionsTakeTurns(t *testing.T) {
	path, older := mustDatabase(t, startOlder)
	newer := startNewer(t, path)
	r := mustReplicate(t, path)
	r.mark(t)
	for i := range 8 {
		writer, other := older, newer
		if i%2 == 1 {
			writer, other = newer, older
		}
		run(t, writer, "INSERT INTO t(v) VALUES (randomblob(20000))", "DELETE FROM t WHERE id % 4 = 1")
		if i%3 == 0 {
			r.mark(t)
		}
		ask(t, other, "PRAGMA wal_checkpoint(PASSIVE)")
		run(t, other, "UPDATE t SET v = randomblob(3000) WHERE id % 4 = 2")
		r.mark(t)
	}
	r.check(t)
}

// TestVersionsWriteAtOnce lets four processes of two versions write and
// checkpoint at the same time.
func TestVersionsWriteAtOnce(t *testing.T) {
	path, app := mustDatabase(t, startOlder)
	r := mustReplicate(t, path)
	r.mark(t)
	w := r.startWindow(t, time.Millisecond)
	done := make(chan []string, 4)
	for i := range 4 {
		writer := versions[i%2].start(t, path)
		writer.Run(t, fmt.Sprintf("PRAGMA wal_autocheckpoint=%d", 20*i))
		go func() {
			var printed []string
			for j := range 60 {
				printed = append(printed, writer.Run(t, fmt.Sprintf("INSERT INTO t(v) VALUES (randomblob(%d))", 200*j), fmt.Sprintf("DELETE FROM t WHERE id %% 50 = %d", j))...)
			}
			done <- printed
		}()
	}
	for range 4 {
		if printed := <-done; len(printed) > 0 {
			t.Errorf("a writer printed %q", printed)
		}
	}
	if res := w.stop(t); res.Puts < 5 {
		t.Errorf("%d objects were put meanwhile", res.Puts)
	}
	if got := ask(t, app, "PRAGMA integrity_check"); got != "ok" {
		t.Errorf("integrity check: %s", got)
	}
	r.check(t)
}

// TestReservedBytes keeps eight bytes at the end of each page, as the extension
// that keeps checksums there does, with content in them that SQLite leaves alone.
func TestReservedBytes(t *testing.T) {
	path, app := mustDatabase(t, startOlder)
	r := mustReplicate(t, path)
	r.mark(t)
	if got := app.Run(t, ".filectrl reserve_bytes 8", "VACUUM"); len(got) != 1 || got[0] != "8" {
		t.Fatalf("got %q, want 8", got)
	}
	r.mark(t)
	if got := sqlitetest.Truth(t, path)[20]; got != 8 {
		t.Fatalf("byte 20 of the header is %d, want 8", got)
	}
	run(t, app, fill, thin)
	r.mark(t)
	r.stop(t)
	app.Quit() // the log goes
	mustMarkReserved(t, path)
	r.start(t)
	r.mark(t)
	r.wantResyncs(t, "no_log")
	app = startOlder(t, path)
	run(t, app, "UPDATE t SET v = randomblob(1000) WHERE id % 2 = 0")
	r.mark(t)
	restored := r.restored(t, plan.Target{})
	kept := 0
	for at := 4096; at <= len(restored); at += 4096 {
		if string(restored[at-8:at]) == "reserved" {
			kept++
		}
	}
	if kept == 0 {
		t.Error("no page has kept what was in its reserved bytes")
	}
	r.check(t, "no_log")
}

// mustMarkReserved writes into the reserved bytes of all pages of a closed
// database.
func mustMarkReserved(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := 4096; at <= len(b); at += 4096 {
		copy(b[at-8:at], "reserved")
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
