package ship_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
)

// digestsFile is where the page digests are kept.
func (b *bench) digestsFile() string {
	return filepath.Join(filepath.Dir(b.path), ".app.db-holdfast", "digests")
}

// restartLog lets the application write what and begin its log anew, while nobody
// replicates.
func (b *bench) restartLog(what string) {
	b.t.Helper()
	b.exec(what)
	b.exec("PRAGMA wal_checkpoint(TRUNCATE)")
}

// mustResync makes a pass that looks at all pages by rule and returns how many it
// shipped.
func (b *bench) mustResync(rule source.Rule) (pages int) {
	b.t.Helper()
	out := b.mustPass()
	if !slices.Equal(out.Resyncs, []source.Rule{rule}) {
		b.t.Fatalf("resyncs %v, want %s", out.Resyncs, rule)
	}
	if out.Puts == 0 {
		return 0
	}
	b.eachPage(out.TXID, func(uint32) { pages++ })
	return pages
}

func (b *bench) eachPage(txid ltx.TXID, f func(pgno uint32)) {
	b.t.Helper()
	r, err := b.opts.Replica.Open(b.t.Context(), b.mustFind(txid))
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // only read
	err = r.Pages(func(pgno uint32, _ []byte) error { f(pgno); return nil })
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) mustFind(txid ltx.TXID) replica.Object {
	b.t.Helper()
	o, err := b.opts.Replica.Find(b.t.Context(), 0, txid, txid)
	if err != nil {
		b.t.Fatal(err)
	}
	return o
}

// newFilled returns a bench whose table has 1,000 rows on as many pages, shipped.
func newFilled(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	b.exec("WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO t SELECT i, randomblob(3000) FROM n")
	b.mustPass()
	return b
}

func TestEveryObjectCarriesTheDigestOfTheWholeDatabase(t *testing.T) {
	b := newBench(t)
	b.exec("PRAGMA auto_vacuum=FULL")
	b.exec("VACUUM")
	for i, what := range []string{
		"SELECT 1",
		"INSERT INTO t(v) VALUES (randomblob(100000))",
		"INSERT INTO t(v) VALUES (randomblob(300000))",
		"DELETE FROM t WHERE id = 2", // which shrinks it
		"INSERT INTO t(v) VALUES (zeroblob(50000))",
		"VACUUM",
		"UPDATE t SET v = randomblob(10)",
	} {
		b.exec(what)
		out := b.mustPass()
		if out.Puts == 0 && i > 0 {
			t.Fatalf("%s: nothing was put", what)
		}
		file, size := b.restored()
		if got, want := b.mustFind(out.TXID).Digest, digestOf(file, size); got != want {
			t.Errorf("%s: the object says %s, want %s", what, got, want)
		}
	}
}

func TestAResyncShipsOnlyWhatDiffers(t *testing.T) {
	b := newFilled(t)
	b.stop()
	b.restartLog("UPDATE t SET v = randomblob(3000) WHERE id % 100 = 0")
	b.start()
	if n := b.mustResync(source.RuleNoLog); n < 10 || n > 15 {
		t.Errorf("shipped %d pages, want about 10", n)
	}
	b.mustEqual()
}

func TestAResyncThatFindsNothingPutsNothing(t *testing.T) {
	b := newFilled(t)
	b.stop()
	b.restartLog("SELECT 1")
	b.start()
	if n := b.mustResync(source.RuleNoLog); n != 0 {
		t.Errorf("shipped %d pages, want none", n)
	}
	b.insert(1)
	b.mustPass()
	b.mustEqual()
}

// TestWhatWasFoundEqualIsRemembered ends the process after a resync that put
// nothing: the next one goes on in the log that was found then.
func TestWhatWasFoundEqualIsRemembered(t *testing.T) {
	b := newFilled(t)
	b.stop()
	b.exec("CREATE TEMP TABLE kept AS SELECT v FROM t WHERE id = 1")
	b.restartLog("UPDATE t SET v = zeroblob(3000) WHERE id = 1")
	b.exec("UPDATE t SET v = (SELECT v FROM kept) WHERE id = 1") // a frame, and no page differs
	b.start()
	if n := b.mustResync(source.RuleRestarted); n != 0 {
		t.Fatalf("shipped %d pages, want none", n)
	}
	_ = b.dir.Close() // as if killed
	b.start()
	b.insert(1)
	if out := b.mustPass(); len(out.Resyncs) != 0 || out.Puts != 1 {
		t.Errorf("resyncs %v and %d objects, want none and one", out.Resyncs, out.Puts)
	}
	b.mustEqual()
}

func TestDigestsAfterACrash(t *testing.T) {
	rows := []struct {
		name        string
		spoil       func(t *testing.T, b *bench, atMark []byte)
		rule        source.Rule
		least, most int // pages shipped by the resync
	}{
		{name: "as they were", rule: source.RuleNoLog, spoil: func(*testing.T, *bench, []byte) {}, least: 10, most: 15},
		{
			name: "of the last mark, objects ago", rule: source.RuleNoLog, least: 10, most: 15,
			spoil: func(t *testing.T, b *bench, atMark []byte) { mustWrite(t, b.digestsFile(), atMark) },
		},
		{
			name: "of the last mark, with a part of what came later", rule: source.RuleNoLog, least: 10, most: 15,
			spoil: func(t *testing.T, b *bench, atMark []byte) {
				now := mustRead(t, b.digestsFile())
				mustWrite(t, b.digestsFile(), append(atMark[:4096+500*8:4096+500*8], now[4096+500*8:]...))
			},
		},
		{
			name: "torn", rule: source.RuleDigests, least: 1000, most: 1100,
			spoil: func(t *testing.T, b *bench, _ []byte) {
				now := mustRead(t, b.digestsFile())
				now[4096+8*77] ^= 1
				mustWrite(t, b.digestsFile(), now)
			},
		},
		{
			name: "gone, with a short history", rule: source.RuleNoLog, least: 10, most: 15,
			spoil: func(t *testing.T, b *bench, _ []byte) { mustRemove(t, b.digestsFile()) },
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := newFilled(t)
			atMark := mustRead(t, b.digestsFile())
			for range 5 {
				b.exec("UPDATE t SET v = randomblob(3000) WHERE id IN (3, 500, 998)")
				b.insert(20)
				b.exec("DELETE FROM t WHERE id > 1000")
				b.mustPass()
			}
			b.stop()
			row.spoil(t, b, atMark)
			b.restartLog("UPDATE t SET v = randomblob(3000) WHERE id % 100 = 0")
			b.start()
			if n := b.mustResync(row.rule); n < row.least || n > row.most {
				t.Errorf("shipped %d pages, want %d to %d", n, row.least, row.most)
			}
			b.mustEqual()
			if o := b.mustFind(b.mustPass().TXID); o.Digest == 0 {
				t.Error("the object has no digest")
			}
		})
	}
}

func TestLostDigestsOfAnUnchangedDatabaseCostNoUpload(t *testing.T) {
	b := newFilled(t)
	for range 70 { // more than is read again for want of a mark
		b.insert(0)
		b.mustPass()
	}
	b.stop()
	mustRemove(t, b.digestsFile())
	b.start()
	if n := b.mustResync(source.RuleDigests); n != 0 {
		t.Errorf("shipped %d pages, want none", n)
	}
	b.insert(1)
	if out := b.mustPass(); len(out.Resyncs) != 0 {
		t.Errorf("resyncs %v after that, want none", out.Resyncs)
	}
	b.mustEqual()
}

// TestDigestsSurviveALostAnswer loses the answer to a put, and then the store.
func TestDigestsSurviveALostAnswer(t *testing.T) {
	b := newFilled(t)
	b.insert(100)
	b.store.loseAck = true
	b.passWants(blob.ErrUnavailable)
	b.store.away = true
	b.insert(100)
	b.passWants(blob.ErrUnavailable)
	b.store.away = false
	if out := b.mustPass(); len(out.Resyncs) != 0 {
		t.Errorf("resyncs %v, want none", out.Resyncs)
	}
	b.mustEqual()
}

func TestTakingOverClaimsTheReplicaEvenIfNothingDiffers(t *testing.T) {
	b := newFilled(t)
	b.stop()
	b.opts.Writer, b.opts.TakeOver = writerB, true
	mustRemove(t, filepath.Join(filepath.Dir(b.path), ".app.db-holdfast", "state.json"))
	b.start()
	if n := b.mustResync(source.RuleUnknown); n != 1 {
		t.Errorf("shipped %d pages, want the first alone", n)
	}
	if o := b.mustFind(b.mustPass().TXID); o.Writer != writerB {
		t.Errorf("the head is by %s", o.Writer)
	}
	b.mustEqual()
}

// TestASpoolFileThatWasDamagedIsNotShipped flips a bit in what waits in the spool.
func TestASpoolFileThatWasDamagedIsNotShipped(t *testing.T) {
	b := newBench(t)
	b.opts.WALLimit = 100 << 10
	b.stop()
	b.start()
	b.mustPass()
	b.store.away = true
	b.insert(300)
	b.passWants(blob.ErrUnavailable)
	files := b.spoolFiles()
	if len(files) != 1 {
		t.Fatalf("spool holds %v, want one file", files)
	}
	content := mustRead(t, files[0])
	content[len(content)/2] ^= 1
	mustWrite(t, files[0], content)
	b.store.away = false
	b.mustResync(source.RuleSpool)
	b.mustEqual()
	if _, err := os.Stat(files[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the damaged file is still there (%v)", err)
	}
	if r, err := b.ship.CleanUp(t.Context(), false); err != nil || r != (ship.Removed{}) {
		t.Errorf("left for a clean-up: %+v (%v)", r, err)
	}
}

func mustRead(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// mustWrite replaces a file: whoever has the old one mapped keeps that.
func mustWrite(t *testing.T, name string, content []byte) {
	t.Helper()
	mustRemove(t, name)
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustRemove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

// TestDigestsOfAProcessThatDiedBeforeItsFirstMark loses the answer to the first put
// and then the process: what the replica holds is known from the replica alone.
func TestDigestsOfAProcessThatDiedBeforeItsFirstMark(t *testing.T) {
	b := newBench(t)
	b.insert(100)
	b.store.loseAck = true
	b.passWants(blob.ErrUnavailable)
	_ = b.dir.Close()
	mustRemove(t, b.digestsFile())
	b.start()
	b.insert(1)
	if out := b.mustPass(); len(out.Resyncs) != 0 || b.mustFind(out.TXID).Digest == 0 {
		t.Errorf("resyncs %v, digest %s; want none, and one", out.Resyncs, b.mustFind(out.TXID).Digest)
	}
	b.mustEqual()
}
