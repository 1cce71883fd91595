package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-db/holdfast/internal/blob"
)

func (s *suite) sizes(t *testing.T) {
	store := s.open(t)
	for i, size := range []int{0, 1, block - 1, block, block + 1, 20 << 20} {
		data := Bytes(uint64(i), size)
		mustPut(t, store, name(i), data, blob.Metadata{"size": fmt.Sprint(size)})
		require.True(t, bytes.Equal(data, mustGet(t, store, name(i), 0, -1)), "%d bytes", size)
		info, err := store.Stat(t.Context(), name(i))
		require.NoError(t, err)
		require.EqualValues(t, size, info.Size)
		require.Equal(t, fmt.Sprint(size), info.Metadata["size"])
	}
}

func (s *suite) createOnly(t *testing.T) {
	store := s.open(t)
	for i, size := range []int{0, 100, block + 1} {
		first, meta := Bytes(1, size), blob.Metadata{"writer": "first"}
		mustPut(t, store, name(i), first, meta)
		for _, second := range []int{0, 100, block + 1} {
			_, err := store.Put(t.Context(), name(i), bytes.NewReader(Bytes(2, second)), blob.Metadata{"writer": "second"})
			require.ErrorIs(t, err, blob.ErrExists, "%d bytes over %d", second, size)
		}
		require.True(t, bytes.Equal(first, mustGet(t, store, name(i), 0, -1)))
		info, err := store.Stat(t.Context(), name(i))
		require.NoError(t, err)
		require.Equal(t, "first", info.Metadata["writer"])
	}
}

// lateMetadata adds to the metadata when the body has been read, as whoever
// learns something from the body does.
func (s *suite) lateMetadata(t *testing.T) {
	store := s.open(t)
	for i, size := range []int{0, 100, block + 1} {
		meta := blob.Metadata{"early": "yes"}
		body := io.MultiReader(bytes.NewReader(Bytes(1, size)), readerFunc(func([]byte) (int, error) {
			meta["late"] = "too"
			return 0, io.EOF
		}))
		_, err := store.Put(t.Context(), name(i), body, meta)
		require.NoError(t, err)
		info, err := store.Stat(t.Context(), name(i))
		require.NoError(t, err)
		require.Equal(t, "yes", info.Metadata["early"], "%d bytes", size)
		require.Equal(t, "too", info.Metadata["late"], "%d bytes", size)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (s *suite) race(t *testing.T) {
	store := s.open(t)
	for round := range 4 {
		mustHaveOneWinner(t, store, name(round), 16, 64<<10)
	}
}

func (s *suite) largeRace(t *testing.T) {
	mustHaveOneWinner(t, s.open(t), name(1), 3, 2*block+1)
}

// mustHaveOneWinner puts different bytes and metadata under key from many
// goroutines; bytes and metadata must be the winner's.
func mustHaveOneWinner(t *testing.T, store blob.Store, key string, writers, size int) {
	t.Helper()
	errs := make([]error, writers)
	var start, done sync.WaitGroup
	start.Add(1)
	for i := range writers {
		data := Bytes(uint64(i), size)
		done.Go(func() {
			start.Wait()
			_, errs[i] = store.Put(t.Context(), key, bytes.NewReader(data), blob.Metadata{"writer": fmt.Sprint(i)})
		})
	}
	start.Done()
	done.Wait()

	winner := -1
	for i, err := range errs {
		if err == nil {
			require.Equal(t, -1, winner, "two puts of one key succeeded")
			winner = i
			continue
		}
		require.ErrorIs(t, err, blob.ErrExists)
	}
	require.NotEqual(t, -1, winner, "no put succeeded: %v", errs)
	require.True(t, bytes.Equal(Bytes(uint64(winner), size), mustGet(t, store, key, 0, -1)), "not the winner's bytes")
	info, err := store.Stat(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprint(winner), info.Metadata["writer"])
}

func (s *suite) failingBody(t *testing.T) {
	store := s.open(t)
	broken := errors.New("the source broke")
	for i, size := range []int{0, 100, block, 2*block + 100} {
		for _, broken := range []error{broken, io.ErrUnexpectedEOF} { // the latter is what a source cut short gives
			body := io.MultiReader(bytes.NewReader(Bytes(1, size)), &hook{run: func() error { return broken }})
			_, err := store.Put(t.Context(), name(i), body, nil)
			require.ErrorIs(t, err, broken, "after %d bytes", size)
			mustBeAbsent(t, store, name(i))
		}
		mustPut(t, store, name(i), Bytes(2, size), nil)
		require.True(t, bytes.Equal(Bytes(2, size), mustGet(t, store, name(i), 0, -1)))
	}
}

func (s *suite) neverPartial(t *testing.T) {
	store := s.open(t)
	for i, size := range []int{10, block, 3 * block} {
		data, looked := Bytes(1, size), 0
		look := &hook{run: func() error {
			looked++
			return absent(t.Context(), store, name(i))
		}}
		half := len(data) / 2
		body := io.MultiReader(look, bytes.NewReader(data[:half]), look.again(), bytes.NewReader(data[half:]), look.again())
		_, err := store.Put(t.Context(), name(i), body, nil)
		require.NoError(t, err)
		require.Equal(t, 3, looked)
		require.True(t, bytes.Equal(data, mustGet(t, store, name(i), 0, -1)))
	}
}

// appearance looks for objects that are being put. Whoever sees one must know
// whose it is.
func (s *suite) appearance(t *testing.T) {
	store := s.open(t)
	const objects = 30
	var reader sync.WaitGroup
	reader.Go(func() {
		for i := range objects {
			info, err := store.Stat(t.Context(), name(i))
			for ; isNotFound(err); info, err = store.Stat(t.Context(), name(i)) {
			}
			if err != nil || info.Metadata["writer"] != "w" || info.Size != 3 {
				t.Errorf("stat %s: got %+v, %v", name(i), info, err)
			}
		}
	})
	for i := range objects {
		mustPut(t, store, name(i), []byte("abc"), blob.Metadata{"writer": "w"})
	}
	reader.Wait()
}

func (s *suite) cancelledPut(t *testing.T) {
	store := s.open(t)
	for i, size := range []int{10, 2*block + 10} {
		ctx, cancel := context.WithCancel(t.Context())
		stop := &hook{run: func() error { cancel(); return nil }}
		body := io.MultiReader(bytes.NewReader(Bytes(1, size)), stop, bytes.NewReader(Bytes(2, size)))
		_, err := store.Put(ctx, name(i), body, nil)
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, blob.ErrUnavailable)
		mustBeAbsent(t, store, name(i))
	}
}

func (s *suite) cancelled(t *testing.T) {
	store := s.open(t)
	mustPut(t, store, name(1), []byte("x"), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := store.Put(ctx, name(2), bytes.NewReader([]byte("x")), nil)
	require.ErrorIs(t, err, context.Canceled)
	_, err = store.Stat(ctx, name(1))
	require.ErrorIs(t, err, context.Canceled)
	_, err = get(ctx, store, name(1), 0, -1)
	require.ErrorIs(t, err, context.Canceled)
	_, err = list(ctx, store, "")
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, store.Delete(ctx, name(1)), context.Canceled)
	_, err = store.Clock(ctx)
	require.ErrorIs(t, err, context.Canceled)
	mustBeAbsent(t, store, name(2))
	require.Len(t, mustList(t, store, ""), 1)
}

func (s *suite) invalid(t *testing.T) {
	store := s.open(t)
	for _, key := range []string{"", "/a", "a/../b", "a/.b", "a.tmp"} {
		_, err := store.Put(t.Context(), key, bytes.NewReader(nil), nil)
		require.ErrorIs(t, err, blob.ErrInvalid, "put %q", key)
	}
	_, err := store.Put(t.Context(), "a", bytes.NewReader(nil), blob.Metadata{"Bad-Key": "x"})
	require.ErrorIs(t, err, blob.ErrInvalid)
	require.Empty(t, mustList(t, store, ""))
}

// hook is a reader of no bytes that runs a function when it is read.
type hook struct {
	run func() error
	ran bool
}

func (h *hook) again() *hook { return &hook{run: h.run} }

func (h *hook) Read([]byte) (int, error) {
	if h.ran {
		return 0, io.EOF
	}
	h.ran = true
	return 0, h.run()
}
