package ship_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/ship"
)

// sleepy is a store during whose puts the machine may sleep.
type sleepy struct {
	blob.Store
	onPut func()
}

// TestSilenceIsHalfOfWhatIsKept: a writer looks again before what it relies on may go.
func TestSilenceIsHalfOfWhatIsKept(t *testing.T) {
	if 2*ship.DefaultSilence > plan.LeastLevel0 {
		t.Errorf("a writer may be silent for %v, and objects go after %v", ship.DefaultSilence, plan.LeastLevel0)
	}
}

func (s *sleepy) Put(ctx context.Context, key string, body io.Reader, meta blob.Metadata) (int64, error) {
	n, err := s.Store.Put(ctx, key, body, meta)
	if s.onPut != nil {
		s.onPut()
	}
	return n, err
}

// TestAHeadAmongExpiredObjects has a process that was away while its objects grew old,
// and half of them were removed: the last one before a hole is not the head.
func TestAHeadAmongExpiredObjects(t *testing.T) {
	b := newBench(t)
	for range 6 {
		b.insert(1)
		b.mustPass()
	}
	b.stop()
	if err := os.Remove(filepath.Join(filepath.Dir(b.path), ".app.db-holdfast", "state.json")); err != nil {
		t.Fatal(err)
	}
	if err := b.store.Delete(t.Context(), replica.Key(0, 3, 3), replica.Key(0, 4, 4)); err != nil {
		t.Fatal(err)
	}
	b.opts.Head, b.opts.Silence = 2, 20*time.Millisecond
	time.Sleep(2 * b.opts.Silence)
	b.start()
	b.insert(1)
	if out := b.mustPass(); out.TXID != 7 {
		t.Errorf("went on to TXID %d, want 7", out.TXID)
	}
}

// TestANewestObjectThatWasRemovedByHand has a process that died with an old idea of where
// it left off, and the newest object removed after it was merged. To put its TXID again
// would have a restore go on after the merge with what follows something else.
func TestANewestObjectThatWasRemovedByHand(t *testing.T) {
	for _, row := range []struct {
		name    string
		merged  []ltx.TXID
		removed ltx.TXID // and all after it
	}{
		{"the newest", []ltx.TXID{2, 3, 4, 5, 6, 7, 8, 9}, 9},
		{"the newest three", []ltx.TXID{2, 3, 4, 5, 6, 7, 8, 9}, 7},
		{"the newest, of a merge of two", []ltx.TXID{8, 9}, 9},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			for txid := ltx.TXID(1); txid <= 9; txid++ {
				b.insert(int(txid))
				if out := b.mustPass(); out.TXID != txid {
					t.Fatalf("put TXID %d, want %d", out.TXID, txid)
				}
				if txid == 5 {
					if err := b.ship.Save(); err != nil {
						t.Fatal(err)
					}
				}
			}
			b.merge(1, row.merged...)
			for txid := row.removed; txid <= 9; txid++ {
				b.change(replica.Key(0, txid, txid), nil)
			}
			b.crash()
			for _, want := range []ltx.TXID{10, 11} {
				b.insert(1)
				if out := b.mustPass(); out.TXID != want {
					t.Errorf("went on to TXID %d, want %d", out.TXID, want)
				}
				b.mustEqual()
			}
		})
	}
}

// TestASleepDuringAPut lets a put take so long that another writer has taken over, gone
// on, and had its objects removed again up to the newest: going on after what was put
// would mix two histories.
func TestASleepDuringAPut(t *testing.T) {
	b := newBench(t)
	s := &sleepy{Store: mem.New()}
	b.opts.Replica, b.opts.Silence = replica.New(s), 50*time.Millisecond
	b.stop()
	b.start()
	b.insert(1)
	b.mustPass()
	other := newBench(t)
	other.insert(5)
	other.mustPass()
	s.onPut = func() {
		s.onPut = nil
		time.Sleep(2 * b.opts.Silence)
		copyAs(t, other, s, 9)
	}
	b.insert(1)
	_, err := b.ship.Pass(t.Context())
	if err == nil {
		b.insert(1)
		_, err = b.ship.Pass(t.Context())
	}
	if !errors.Is(err, ship.ErrFenced) {
		t.Errorf("went on with %v, want %v", err, ship.ErrFenced)
	}
	if _, err := b.opts.Replica.Find(t.Context(), 0, 3, 3); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("put after another's objects: %v", err)
	}
}

// copyAs puts an object by another writer at txid.
func copyAs(t *testing.T, from *bench, to blob.Store, txid ltx.TXID) {
	t.Helper()
	head, err := from.opts.Replica.Head(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := from.opts.Replica.Position(t.Context(), head)
	if err != nil {
		t.Fatal(err)
	}
	d := replica.Draft{Min: txid, Max: txid, Created: time.Now(), Position: p, From: 32, Writer: writerB}
	pages := func(emit func(uint32, []byte) error) error { return emit(1, make([]byte, p.PageSize)) }
	if _, err := replica.New(to).Put(t.Context(), d, pages); err != nil {
		t.Fatal(err)
	}
}

// TestASpoolThatWasShippedAndExpired has a process that died when it had shipped its
// spool, without a word of that on its disk, and comes back when the first of it has
// been removed from the replica for its age.
func TestASpoolThatWasShippedAndExpired(t *testing.T) {
	s := newStand(t)
	spoolOf3(s)
	saved := t.TempDir()
	if err := os.CopyFS(saved, os.DirFS(s.in(""))); err != nil {
		t.Fatal(err)
	}
	s.mustPass()
	if err := errors.Join(s.db.Abandon(), s.ship.Close(), s.dir.Close()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"state.json", "spool"} {
		if err := os.RemoveAll(s.in(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(s.in("spool"), os.DirFS(filepath.Join(saved, "spool"))); err != nil {
		t.Fatal(err)
	}
	state, err := os.ReadFile(filepath.Join(saved, "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	s.plant("state.json", string(state))
	if err := s.store.Delete(t.Context(), replica.Key(0, 2, 2)); err != nil {
		t.Fatal(err)
	}
	s.opts.Silence = 20 * time.Millisecond
	time.Sleep(2 * s.opts.Silence)
	s.start()
	if out := s.mustPass(); out.TXID != 4 || out.Puts != 0 {
		t.Errorf("put %d objects, up to TXID %d; want none: all up to 4 was shipped", out.Puts, out.TXID)
	}
}
