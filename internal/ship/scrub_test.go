package ship_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// overwrite writes content over the file of the database in place, as `cp` does,
// from another process: the file keeps its identity and its log stays.
func (b *bench) overwrite(content []byte) {
	b.t.Helper()
	from := filepath.Join(b.t.TempDir(), "backup.db")
	if err := os.WriteFile(from, content, 0o600); err != nil {
		b.t.Fatal(err)
	}
	if out, err := exec.Command("cp", from, b.path).CombinedOutput(); err != nil {
		b.t.Fatalf("cp: %v: %s", err, out)
	}
}

// pagesDiffer returns how many pages of the restored state are not those of the
// file, whose log has nothing beyond it.
func (b *bench) pagesDiffer() (n int) {
	b.t.Helper()
	got, size := b.restored()
	want := mustReadByAnother(b.t, b.path)
	if len(got) != len(want) {
		b.t.Fatalf("replica has %d bytes, the file %d", len(got), len(want))
	}
	for at := 0; at < len(want); at += size {
		if string(got[at:at+size]) != string(want[at:at+size]) {
			n++
		}
	}
	return n
}

// mustReadByAnother reads a database without opening it in this process.
func mustReadByAnother(t testing.TB, path string) []byte {
	t.Helper()
	b, err := exec.Command("cat", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// newCopied returns a bench whose database is all in its file, and an older copy
// of that file.
func newCopied(t *testing.T) (b *bench, older []byte) {
	t.Helper()
	b = newFilled(t)
	b.exec("PRAGMA wal_checkpoint(PASSIVE)")
	b.mustPass()
	older = mustReadByAnother(t, b.path)
	b.exec("UPDATE t SET v = randomblob(3000) WHERE id % 10 = 0")
	b.mustPass()
	b.exec("PRAGMA wal_checkpoint(PASSIVE)")
	b.mustPass()
	if n := b.pagesDiffer(); n != 0 {
		t.Fatalf("%d pages are not in the file yet", n)
	}
	return b, older
}

func TestAFileWrittenOverInPlaceIsFoundByAScrub(t *testing.T) {
	b, older := newCopied(t)
	b.overwrite(older)
	out, err := b.ship.Scrub(t.Context())
	if err != nil || !slices.Equal(out.Resyncs, []source.Rule{source.RuleScrub}) {
		t.Fatalf("resyncs %v (%v), want one for the scrub", out.Resyncs, err)
	}
	if n := b.pagesDiffer(); n != 0 {
		t.Errorf("%d pages differ from the file", n)
	}
	if out, err = b.ship.Scrub(t.Context()); err != nil || len(out.Resyncs) != 0 {
		t.Errorf("the next scrub: resyncs %v (%v), want none", out.Resyncs, err)
	}
}

// TestAWriteThatIsNoCheckpointBringsTheScrubForward waits for no scrub: the file
// has changed and SQLite has copied nothing into it.
func TestAWriteThatIsNoCheckpointBringsTheScrubForward(t *testing.T) {
	b, older := newCopied(t)
	b.mustPass() // has seen the file
	b.overwrite(older)
	if out := b.mustPass(); !slices.Equal(out.Resyncs, []source.Rule{source.RuleScrub}) {
		t.Fatalf("resyncs %v, want one for the scrub", out.Resyncs)
	}
	if n := b.pagesDiffer(); n != 0 {
		t.Errorf("%d pages differ from the file", n)
	}
}

// TestAScrubFindsNothingInAnOrdinaryDatabase looks again and again at what a
// running application does to its file.
func TestAScrubFindsNothingInAnOrdinaryDatabase(t *testing.T) {
	b := newFilled(t)
	app := sqlitetest.StartShell(t, b.path)
	for i := range 24 {
		app.Run(t, "UPDATE t SET v = randomblob(3000) WHERE id % 17 = "+string(rune('0'+i%10))+";")
		if i%3 == 0 {
			app.Run(t, "PRAGMA wal_checkpoint(PASSIVE);")
		}
		if i%10 == 9 {
			app.Run(t, "DELETE FROM t WHERE id > 900;", "PRAGMA incremental_vacuum;", "VACUUM;")
		}
		if out := b.mustPass(); len(out.Resyncs) != 0 {
			t.Fatalf("round %d: resyncs %v", i, out.Resyncs)
		}
		if out, err := b.ship.Scrub(t.Context()); err != nil || len(out.Resyncs) != 0 {
			t.Fatalf("round %d: scrub: resyncs %v (%v)", i, out.Resyncs, err)
		}
	}
	b.mustEqual()
}

// TestAScrubTakesItsTime gives the scrub two seconds for 1,000 pages: it is through
// after a while, and not at once.
func TestAScrubTakesItsTime(t *testing.T) {
	b, older := newCopied(t)
	b.stop()
	b.opts.Scrub, b.opts.Reading = 2*time.Second, tooFewAtOnce()
	b.start()
	b.overwrite(older) // before this process has seen the file for the first time
	passes := 0
	for start := time.Now(); time.Since(start) < time.Minute; passes++ {
		if out := b.mustPass(); len(out.Resyncs) > 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if n := b.pagesDiffer(); n != 0 || passes < 2 {
		t.Errorf("after %d passes %d pages differ from the file, want several passes and none", passes, n)
	}
}

// tooFewAtOnce lets scrubs read as fast as they will, but no whole file in one go.
func tooFewAtOnce() *rate.Limiter { return rate.NewLimiter(1<<30, 1<<20) }

// TestAFileWrittenOverWhileNobodyWatched kills the process, so to speak, and copies
// a backup over the file beside its log before the next one begins: the log says
// that nothing happened, and goes on. What is shipped first has the file's pages,
// or soon thereafter where that is much to read.
func TestAFileWrittenOverWhileNobodyWatched(t *testing.T) {
	for _, row := range []struct {
		name    string
		reading *rate.Limiter
	}{
		{"a small file", nil},
		{"a large one", tooFewAtOnce()},
	} {
		t.Run(row.name, func(t *testing.T) {
			b, older := newCopied(t)
			b.exec("UPDATE t SET v = 1 WHERE id = 5") // which stays in the log
			b.mustPass()
			_ = b.dir.Close()
			b.exec("UPDATE t SET v = 1 WHERE id = 6")
			b.overwrite(older)
			b.opts.Reading = row.reading
			b.start()
			passes := 1
			out := b.mustPass()
			for start := time.Now(); len(out.Resyncs) == 0 && time.Since(start) < time.Minute; passes++ {
				time.Sleep(20 * time.Millisecond)
				out = b.mustPass()
			}
			if !slices.Equal(out.Resyncs, []source.Rule{source.RuleScrub}) || passes > 1 != (row.reading != nil) {
				t.Errorf("%v in pass %d", out.Resyncs, passes)
			}
			if row.reading == nil && out.Puts != 1 {
				t.Errorf("%d puts, want one that has all", out.Puts)
			}
			b.mustEqual()
		})
	}
}

// closeInOrder ends application and process so that the next one finds the file as
// they left it.
func (b *bench) closeInOrder() {
	b.t.Helper()
	_ = b.app.Close()
	stamp, err := b.db.Close()
	if err != nil || stamp.IsZero() {
		b.t.Fatalf("closed with stamp %v, %v", stamp, err)
	}
	if err := b.ship.SaveClosed(stamp); err != nil {
		b.t.Fatal(err)
	}
	_ = b.dir.Close()
}

// TestAHurryIsFromFirstToLast gives a file that is too large to compare at once to
// a process that finds the slow comparison of an earlier one near its end, and, the
// second time, to one that ends in order before it has compared much.
func TestAHurryIsFromFirstToLast(t *testing.T) {
	for _, ended := range []bool{false, true} {
		t.Run(fmt.Sprint("ended in order ", ended), func(t *testing.T) {
			b, _ := newCopied(t)
			changed := mustReadByAnother(t, b.path)
			changed[4096*11+4000] ^= 1 // in a row of the table
			b.exec("UPDATE t SET v = 1 WHERE id = 5")
			b.mustPass()
			state, err := b.dir.Load()
			if err != nil {
				t.Fatal(err)
			}
			state.Scrubbed = state.Position.Commit - 3
			if err := b.dir.Save(state); err != nil {
				t.Fatal(err)
			}
			_ = b.dir.Close()
			b.exec("UPDATE t SET v = 1 WHERE id = 6")
			b.overwrite(changed)
			b.opts.Reading = tooFewAtOnce()
			died := b.db
			b.start()
			_ = died.Abandon() // only now, or closing its files would lose our locks
			resyncs := b.mustPass().Resyncs
			if ended {
				b.closeInOrder()
				b.start()
			}
			for start := time.Now(); len(resyncs) == 0 && time.Since(start) < time.Minute; time.Sleep(20 * time.Millisecond) {
				resyncs = b.mustPass().Resyncs
			}
			if !slices.Equal(resyncs, []source.Rule{source.RuleScrub}) {
				t.Errorf("resyncs %v, want one for the scrub", resyncs)
			}
			b.mustEqual()
		})
	}
}

// TestNobodyDoubtsWhatAPassLeftInOrder reopens a database whose application wrote
// on meanwhile: nothing but that is shipped.
func TestNobodyDoubtsWhatAPassLeftInOrder(t *testing.T) {
	b, _ := newCopied(t)
	b.exec("UPDATE t SET v = 1 WHERE id = 5")
	b.mustPass()
	_ = b.dir.Close()
	b.exec("UPDATE t SET v = 1 WHERE id = 6")
	b.exec("DELETE FROM t WHERE id > 900")
	b.start()
	if out := b.mustPass(); len(out.Resyncs) != 0 || out.Puts != 1 {
		t.Errorf("resyncs %v and %d puts, want none and one", out.Resyncs, out.Puts)
	}
	b.mustEqual()
}

// TestFreePagesThatDifferAreNoReasonToResync changes a page that SQLite does not
// use, behind its back.
func TestFreePagesThatDifferAreNoReasonToResync(t *testing.T) {
	b := newFilled(t)
	b.exec("DELETE FROM t WHERE id > 500")
	b.exec("PRAGMA wal_checkpoint(PASSIVE)")
	b.mustPass()
	file := mustReadByAnother(t, b.path)
	copy(file[4096*(len(file)/4096-1):], "nobody reads this") // the last page was freed
	b.overwrite(file)
	if out, err := b.ship.Scrub(t.Context()); err != nil || len(out.Resyncs) != 0 {
		t.Errorf("resyncs %v (%v), want none", out.Resyncs, err)
	}
	file[4096*3+4000] ^= 1 // and one that it does use
	b.overwrite(file)
	if out, err := b.ship.Scrub(t.Context()); err != nil || len(out.Resyncs) != 1 {
		t.Errorf("resyncs %v (%v), want one", out.Resyncs, err)
	}
}
