package ship_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

const (
	writerA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	writerB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// moody is a store that fails when it is told to.
type moody struct {
	blob.Store
	away    bool // nothing gets through
	loseAck bool // the next put gets through, its answer does not
}

var errAway = fmt.Errorf("%w: no route to host", blob.ErrUnavailable)

func (m *moody) Put(ctx context.Context, key string, body io.Reader, meta blob.Metadata) (int64, error) {
	if m.away {
		return 0, errAway
	}
	n, err := m.Store.Put(ctx, key, body, meta)
	if m.loseAck && err == nil {
		m.loseAck = false
		return 0, errAway
	}
	return n, err
}

func (m *moody) Stat(ctx context.Context, key string) (blob.Info, error) {
	if m.away {
		return blob.Info{}, errAway
	}
	return m.Store.Stat(ctx, key)
}

func (m *moody) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	if m.away {
		return func(yield func(blob.Info, error) bool) { yield(blob.Info{}, errAway) }
	}
	return m.Store.List(ctx, prefix)
}

// bench is a database with its way to a replica.
type bench struct {
	t     testing.TB
	path  string
	app   *sql.DB
	store *moody
	opts  ship.Options
	dir   *ship.Dir
	db    *source.DB
	ship  *ship.Shipper
	fs    ship.FS
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, path: filepath.Join(t.TempDir(), "app.db"), store: &moody{Store: mem.New()}, fs: ship.OS}
	b.app = sqlitetest.Open(t, b.path)
	b.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
	b.opts = ship.Options{Name: "app", URL: "mem:", Writer: writerA, Replica: replica.New(b.store), Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	b.start()
	t.Cleanup(func() { b.stop() })
	return b
}

func (b *bench) start() {
	b.t.Helper()
	var err error
	if b.dir, err = ship.OpenDir(filepath.Join(filepath.Dir(b.path), ".app.db-holdfast"), b.fs); err != nil {
		b.t.Fatal(err)
	}
	if b.ship, err = ship.New(b.opts, b.dir); err != nil {
		b.t.Fatal(err)
	}
	if b.db, err = source.Open(b.path, b.opts.Log); err != nil {
		b.t.Fatal(err)
	}
	b.ship.Attach(b.db)
}

// stop ends the process, so to speak, without saying where it was.
func (b *bench) stop() {
	_, _ = b.db.Close()
	_ = b.dir.Close()
}

func (b *bench) exec(query string, args ...any) {
	b.t.Helper()
	sqlitetest.Exec(b.t, b.app, query, args...)
}

func (b *bench) insert(kib int) {
	b.t.Helper()
	b.exec("INSERT INTO t(v) VALUES (randomblob(?))", kib<<10)
}

func (b *bench) mustPass() ship.Outcome {
	b.t.Helper()
	out, err := b.ship.Pass(b.t.Context())
	if err != nil {
		b.t.Fatalf("pass: %v", err)
	}
	return out
}

func (b *bench) passWants(want error) {
	b.t.Helper()
	if _, err := b.ship.Pass(b.t.Context()); !errors.Is(err, want) {
		b.t.Fatalf("pass: got %v, want %v", err, want)
	}
}

// restored applies the replica's objects in the order that a restore would.
func (b *bench) restored() (file []byte, pageSize int) {
	b.t.Helper()
	objects, err := b.opts.Replica.All(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	chain, err := plan.Restore(replica.Files(objects), plan.Target{})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range chain {
		o, err := b.opts.Replica.Find(b.t.Context(), f.Level, f.Min, f.Max)
		if err != nil {
			b.t.Fatal(err)
		}
		r, err := b.opts.Replica.Open(b.t.Context(), o)
		if err != nil {
			b.t.Fatal(err)
		}
		pageSize = int(r.PageSize())
		sized := make([]byte, int(r.Commit())*pageSize)
		copy(sized, file)
		file = sized
		err = r.Pages(func(pgno uint32, data []byte) error {
			copy(file[int(pgno-1)*pageSize:], data)
			return nil
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
	return file, pageSize
}

func (b *bench) mustEqual() {
	b.t.Helper()
	got, size := b.restored()
	sqlitetest.Same(b.t, got, sqlitetest.Truth(b.t, b.path), size)
}

func TestPassShipsWhatWasCommitted(t *testing.T) {
	b := newBench(t)
	for i := range 20 {
		b.insert(i)
		b.mustPass()
	}
	if out := b.mustPass(); out.Puts != 0 {
		t.Errorf("an idle pass put %d objects", out.Puts)
	}
	b.exec("DELETE FROM t")
	b.exec("VACUUM")
	if out := b.mustPass(); out.TXID != 21 || out.BehindBytes != 0 || out.SyncedAt.IsZero() {
		t.Errorf("got %+v, want TXID 21 and nothing behind", out)
	}
	b.mustEqual()
}

func TestLostAnswerIsFoundAgain(t *testing.T) {
	b := newBench(t)
	b.mustPass()
	b.insert(10)
	b.store.loseAck = true
	b.passWants(blob.ErrUnavailable)
	b.insert(20)
	if out := b.mustPass(); out.TXID != 3 || len(out.Resyncs) != 0 {
		t.Errorf("got TXID %d with resyncs %v, want 3 without", out.TXID, out.Resyncs)
	}
	b.mustEqual()
}

func TestAnotherWriterIsFenced(t *testing.T) {
	b := newBench(t)
	b.mustPass()
	b.stop()

	other := newBench(t)
	other.opts.Replica, other.opts.Writer = b.opts.Replica, writerB
	other.stop()
	other.start()
	other.passWants(ship.ErrForeign)
	other.passWants(ship.ErrFenced)

	other.opts.TakeOver = true
	other.stop()
	other.start()
	other.mustPass()
	other.mustEqual()

	b.start()
	b.insert(1)
	b.passWants(ship.ErrFenced)
}

func TestLateWriterIsFencedAtItsPut(t *testing.T) {
	b := newBench(t)
	b.mustPass()
	other := newBench(t)
	other.opts.Replica, other.opts.Writer, other.opts.TakeOver = b.opts.Replica, writerB, true
	other.stop()
	other.start()
	other.mustPass()
	b.insert(1) // b knows nothing of that
	_, err := b.ship.Pass(t.Context())
	if !errors.Is(err, ship.ErrFenced) || !strings.Contains(err.Error(), "bbbbbbbb") {
		t.Fatalf("got %v, want fenced by writer bbbbbbbb", err)
	}
	other.mustEqual()
}

func TestSpoolTakesWhatTheLogMayNotHold(t *testing.T) {
	b := newBench(t)
	b.opts.WALLimit = 256 << 10
	b.stop()
	b.start()
	b.mustPass()
	b.store.away = true
	for range 12 {
		b.insert(100)
		b.passWants(blob.ErrUnavailable)
	}
	out, _ := b.ship.Pass(t.Context())
	if out.SpoolBytes == 0 || out.BehindBytes > b.opts.WALLimit {
		t.Fatalf("spool has %d bytes and the log %d, want the spool to hold what is beyond %d", out.SpoolBytes, out.BehindBytes, b.opts.WALLimit)
	}
	b.stop() // and the next process finds the spool
	b.start()
	b.insert(100)
	b.passWants(blob.ErrUnavailable)
	b.store.away = false
	out = b.mustPass()
	if out.SpoolBytes != 0 || len(out.Resyncs) != 0 {
		t.Errorf("spool has %d bytes left, resyncs %v, want none of both", out.SpoolBytes, out.Resyncs)
	}
	b.mustEqual()
}

func TestSpoolGoesOnAfterAPutThatWasThoughtLost(t *testing.T) {
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
	b.passWants(blob.ErrUnavailable) // spooled as TXID 2, with more in it
	b.store.away = false
	if out := b.mustPass(); out.TXID != 3 || len(out.Resyncs) != 0 {
		t.Errorf("got TXID %d, resyncs %v; want 3 without", out.TXID, out.Resyncs)
	}
	b.mustEqual()
}

func TestPageSizeChangeStartsOverAtLevelNine(t *testing.T) {
	b := newBench(t)
	b.insert(50)
	b.mustPass()
	b.stop()
	b.exec("PRAGMA journal_mode=DELETE")
	b.exec("PRAGMA page_size=1024")
	b.exec("VACUUM")
	b.exec("PRAGMA journal_mode=WAL")
	b.start()
	b.mustPass()
	b.insert(3)
	b.mustPass()
	objects, err := b.opts.Replica.Objects(t.Context(), plan.SnapshotLevel)
	if err != nil || len(objects) != 1 || objects[0].Min != 1 || objects[0].Max != 2 {
		t.Fatalf("level 9 holds %v (%v), want 1-2", objects, err)
	}
	b.mustEqual()
}
