package restore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/faulty"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
)

// large is a history whose first object is longer than several requests, with pages
// that do not compress, and whose others change some of them in between.
func large(t *testing.T, pageSize uint32) *history { return largeIn(t, mem.New(), pageSize) }

func largeIn(t *testing.T, store blob.Store, pageSize uint32) *history {
	t.Helper()
	h := newHistoryIn(t, store, pageSize)
	random := rand.NewChaCha8([32]byte{1})
	state := image(pageSize, 24<<20/pageSize, 1)
	_, _ = random.Read(state[pageSize:]) // never fails
	h.ship(state, true)
	for n := range 3 {
		state = bytes.Clone(state)
		for at := (n + 1) * 3 * int(pageSize); at < len(state); at += 3<<20 + 5*int(pageSize) {
			state[at]++
		}
		clear(state[5<<20 : 6<<20]) // becomes a hole
		h.ship(state, false)
	}
	return h
}

// aside stands in for the way past the page cache. It counts what is written, or
// refuses it.
type aside struct {
	file    *os.File
	refuse  error
	written atomic.Int64
	closed  int
}

// WriteAt implements io.WriterAt.
func (a *aside) WriteAt(p []byte, off int64) (int, error) {
	if a.refuse != nil {
		return 0, a.refuse
	}
	a.written.Add(int64(len(p)))
	return a.file.WriteAt(p, off)
}

// Close implements io.Closer.
func (a *aside) Close() error {
	a.closed++
	return a.file.Close()
}

// TestLargePiecesAreWrittenAside restores where the filesystem has the way past the page
// cache and where it refuses a write: what it cannot do is done otherwise, what fails
// fails.
func TestLargePiecesAreWrittenAside(t *testing.T) {
	for _, row := range []struct {
		pageSize uint32
		refuse   error
		want     error
	}{
		{pageSize: 4096},
		{pageSize: 65536},
		{pageSize: 512},
		{pageSize: 4096, refuse: syscall.EINVAL},
		{pageSize: 4096, refuse: syscall.EIO, want: syscall.EIO},
	} {
		t.Run(fmt.Sprintf("pages of %d, %v", row.pageSize, row.refuse), func(t *testing.T) {
			h := large(t, row.pageSize)
			way := &aside{refuse: row.refuse}
			defer restore.Direct(func(path string) interface {
				io.WriterAt
				io.Closer
			} {
				f, err := os.OpenFile(path, os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				way.file = f
				return way
			})()
			dir := t.TempDir()
			out := filepath.Join(dir, "out.db")
			_, err := restore.Run(t.Context(), h.replica, restore.Options{Output: out})
			if !errors.Is(err, row.want) || way.closed != 1 {
				t.Fatalf("got %v, want %v; closed %d times", err, row.want, way.closed)
			}
			if row.want != nil {
				assertFiles(t, dir)
				return
			}
			if !bytes.Equal(mustRead(t, out), h.states[h.head()]) {
				t.Error("what was restored is not what was shipped")
			}
			if most := int64(len(h.states[h.head()])); row.refuse == nil && row.pageSize >= replica.Alignment && way.written.Load() < most/2 {
				t.Errorf("%d bytes of %d went this way", way.written.Load(), most)
			}
		})
	}
}

// TestALargeObjectGoesOnWhereItsConnectionWasLost breaks off every answer after some
// bytes, in the file system's own way of writing.
func TestALargeObjectGoesOnWhereItsConnectionWasLost(t *testing.T) {
	h := large(t, 4096)
	store := faulty.New(h.store)
	var calls atomic.Int64
	store.Set(func(c faulty.Call) faulty.Fault {
		if c.Op == faulty.List {
			return faulty.Fault{}
		}
		calls.Add(1)
		return faulty.Fault{Kind: faulty.BreakOff, After: 300<<10 + 13}
	})
	out := filepath.Join(t.TempDir(), "out.db")
	if _, err := restore.Run(t.Context(), replica.New(store), restore.Options{Output: out}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(mustRead(t, out), h.states[h.head()]) || calls.Load() < 40 {
		t.Errorf("after %d calls, what was restored is not what was shipped", calls.Load())
	}
}
