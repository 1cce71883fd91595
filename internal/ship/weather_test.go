package ship_test

import (
	"context"
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

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/digest"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// weather is a store whose puts fail at random, before or after they got through.
type weather struct {
	blob.Store
	bad atomic.Int64 // in percent
	r   *rand.Rand
}

func (w *weather) Put(ctx context.Context, key string, body io.Reader, meta blob.Metadata) (int64, error) {
	if w.r.Int64N(100) < w.bad.Load() {
		_, _ = io.CopyN(io.Discard, body, w.r.Int64N(5000))
		return 0, errAway
	}
	n, err := w.Store.Put(ctx, key, body, meta)
	if err == nil && w.r.Int64N(100) < w.bad.Load() {
		return 0, errAway
	}
	return n, err
}

// statement returns what the application does next: whatever it is, both tables
// count on together.
func statement(r *rand.Rand) string {
	count := "UPDATE a SET n = n + 1; UPDATE b SET n = n + 1;"
	in := func(s string) string { return "BEGIN IMMEDIATE; " + count + s + " COMMIT;" }
	switch r.IntN(30) {
	case 0:
		return "PRAGMA wal_checkpoint(PASSIVE);"
	case 1:
		return "PRAGMA busy_timeout=20; PRAGMA wal_checkpoint(" + []string{"FULL", "RESTART", "TRUNCATE"}[r.IntN(3)] + "); PRAGMA busy_timeout=5000;"
	case 2:
		return in("DELETE FROM t WHERE id % 2 = 0;")
	case 3, 4:
		return "PRAGMA incremental_vacuum;"
	case 5:
		return in("DELETE FROM t; PRAGMA incremental_vacuum;")
	case 6:
		if r.IntN(3) == 0 {
			return "VACUUM;"
		}
		return in("")
	case 7:
		return in("CREATE TABLE z AS SELECT randomblob(30000) AS z; DROP TABLE z;")
	case 8:
		return "PRAGMA cache_size=5; " + in("INSERT INTO t(v) SELECT randomblob(3000) FROM t LIMIT 30;")
	case 9:
		return "BEGIN; UPDATE a SET n = 0; INSERT INTO t(v) VALUES (randomblob(60000)); ROLLBACK;"
	case 10:
		return "PRAGMA journal_size_limit=" + []string{"0", "20000", "-1"}[r.IntN(3)] + ";"
	}
	return in(fmt.Sprintf("INSERT INTO t(v) VALUES (randomblob(%d));", r.IntN(20000)))
}

// TestWeather lets an application in another process do what it likes while the
// store fails and this process dies, and then restores every TXID.
func TestWeather(t *testing.T) {
	seeds := 1
	if s := os.Getenv("SEEDS"); s != "" {
		_, _ = fmt.Sscan(s, &seeds)
	}
	start := 1
	if s := os.Getenv("START"); s != "" {
		_, _ = fmt.Sscan(s, &start)
	}
	for seed := start; seed < start+seeds; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { brave(t, uint64(seed)) })
	}
}

func brave(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	store := &weather{Store: mem.New(), r: rand.New(rand.NewPCG(seed, 2))}
	b := &bench{t: t, path: filepath.Join(t.TempDir(), "app.db"), fs: ship.OS}
	app := sqlitetest.StartShell(t, b.path)
	app.Run(t, "PRAGMA journal_mode=DELETE;", "PRAGMA page_size=512;", "PRAGMA auto_vacuum=2;", "VACUUM;", "PRAGMA journal_mode=WAL;",
		"CREATE TABLE t(id INTEGER PRIMARY KEY, v); CREATE TABLE a(n); CREATE TABLE b(n); INSERT INTO a VALUES (0); INSERT INTO b VALUES (0);")
	b.opts = ship.Options{Name: "app", URL: "mem:", Writer: writerA, Replica: replica.New(store), Log: slog.New(slog.NewTextHandler(io.Discard, nil)), WALLimit: 40 << 10}
	b.start()
	defer func() { b.stop() }()
	for round := range 8 {
		if r.IntN(2) == 0 {
			store.bad.Store(30)
		}
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			w := rand.New(rand.NewPCG(seed, uint64(100+round)))
			for {
				select {
				case <-stop:
					return
				default:
					app.Try(statement(w))
				}
			}
		}()
		for range 15 {
			time.Sleep(time.Duration(r.IntN(12)) * time.Millisecond)
			switch r.IntN(14) {
			case 0: // killed
				_ = b.db.Abandon()
				_ = b.dir.Close()
				b.start()
			case 1: // ended in order
				stamp, _ := b.db.Close()
				_ = b.ship.SaveClosed(stamp)
				_ = b.dir.Close()
				b.start()
			case 2:
				_ = b.ship.Shelter()
			case 3:
				_, _ = b.db.Tend()
			case 4:
				b.ship.Forget()
			default:
				if _, err := b.ship.Pass(t.Context()); err != nil && os.Getenv("SHOW") != "" {
					t.Log(err)
				}
			}
		}
		close(stop)
		<-done
		store.bad.Store(0)
		b.mustPass()
		same(t, b, b.path)
	}
	everyTXID(t, b)
}

// same compares the newest state with the source, but for free pages.
func same(t *testing.T, b *bench, path string) {
	t.Helper()
	got, size := b.restored()
	if os.Getenv("BYTES") != "" {
		sqlitetest.Same(t, got, sqlitetest.Truth(t, path), size)
		return
	}
	if dump(t, got) != dump(t, sqlitetest.Truth(t, path)) {
		t.Fatal("the replica has other content than the source")
	}
}

func dump(t *testing.T, image []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image.db")
	if err := os.WriteFile(name, image, 0o600); err != nil {
		t.Fatal(err)
	}
	return mustSQL(t, name, "PRAGMA integrity_check; SELECT n FROM a; SELECT n FROM b; \n.sha3sum\n")
}

// everyTXID restores each TXID and checks that it is a state that was committed.
func everyTXID(t *testing.T, b *bench) {
	t.Helper()
	objects, err := b.opts.Replica.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last, head := 0, objects[len(objects)-1].Max
	for txid := ltx.TXID(1); txid <= head; txid++ {
		image := restoredAt(t, b, objects, txid)
		if got, want := b.mustFind(txid).Digest, digestOf(image, 512); got != 0 && got != want {
			t.Errorf("TXID %d: its object has digest %s, the state %s", txid, got, want)
		}
		name := filepath.Join(t.TempDir(), "image.db")
		if err := os.WriteFile(name, image, 0o600); err != nil {
			t.Fatal(err)
		}
		out := mustSQL(t, name, "PRAGMA integrity_check; SELECT a.n FROM a JOIN b USING (n);")
		n := 0
		if _, err := fmt.Sscanf(out, "ok\n%d\n", &n); err != nil || n < last {
			t.Errorf("TXID %d: got %q after count %d", txid, out, last)
		}
		last = n
	}
	t.Logf("%d TXIDs, count %d", head, last)
}

// digestOf returns the digest of a database file.
func digestOf(image []byte, pageSize int) digest.Digest {
	h := digest.Hasher{PageSize: uint32(pageSize)}
	for at := 0; at < len(image); at += pageSize {
		h.Add(uint32(at/pageSize+1), image[at:at+pageSize])
	}
	return h.Digest(uint32(len(image) / pageSize))
}

func restoredAt(t *testing.T, b *bench, objects []replica.Object, txid ltx.TXID) []byte {
	t.Helper()
	chain, err := plan.Restore(replica.Files(objects), plan.Target{TXID: txid})
	if err != nil {
		t.Fatal(err)
	}
	var file []byte
	for _, f := range chain {
		o, err := b.opts.Replica.Find(t.Context(), f.Level, f.Min, f.Max)
		if err != nil {
			t.Fatal(err)
		}
		rd, err := b.opts.Replica.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		size := int(rd.PageSize())
		sized := make([]byte, int(rd.Commit())*size)
		copy(sized, file)
		file = sized
		if err := rd.Pages(func(pgno uint32, data []byte) error {
			copy(file[int(pgno-1)*size:], data)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

// mustSQL runs statements in the sqlite3 program.
func mustSQL(t *testing.T, path, statements string) string {
	t.Helper()
	cmd := exec.Command("sqlite3", "-batch", path)
	cmd.Stdin = strings.NewReader(statements)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}
