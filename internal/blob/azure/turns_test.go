package azure_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/azure"
)

// crowd is a store that keeps its requests until enough have come, or some time has
// passed, and counts them.
type crowd struct {
	enough   int
	now, all atomic.Int32
	most     atomic.Int32
	full     chan struct{}
	once     sync.Once
}

func (c *crowd) serve(t *testing.T, w http.ResponseWriter, r *http.Request) {
	_, err := io.Copy(io.Discard, r.Body)
	require.NoError(t, err)
	c.all.Add(1)
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for old := c.most.Load(); n > old && !c.most.CompareAndSwap(old, n); old = c.most.Load() {
	}
	if int(n) == c.enough {
		c.once.Do(func() { time.AfterFunc(50*time.Millisecond, func() { close(c.full) }) }) // more would come
	}
	select {
	case <-c.full:
	case <-time.After(5 * time.Second):
	}
	answer(w, r, http.StatusCreated, "")
}

// meet calls a store at once as often as calls says, and returns what it saw.
func meet(t *testing.T, enough, calls int, call func(ctx context.Context, s blob.Store) error) *crowd {
	c := &crowd{enough: enough, full: make(chan struct{})}
	store := mustFake(t, func(w http.ResponseWriter, r *http.Request) { c.serve(t, w, r) })
	var all sync.WaitGroup
	for range calls {
		all.Go(func() {
			if err := call(t.Context(), store); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	return c
}

func put(size int) func(ctx context.Context, s blob.Store) error {
	data := make([]byte, size)
	return func(ctx context.Context, s blob.Store) error {
		_, err := s.Put(ctx, "a", bytes.NewReader(data), nil)
		return err
	}
}

func TestCallsInFlightAreBounded(t *testing.T) {
	c := meet(t, azure.CallsAtOnce, 3*azure.CallsAtOnce, put(1))
	require.EqualValues(t, azure.CallsAtOnce, c.most.Load())
}

// A call that waits for its turn for longer than an answer may take is not given up.
func TestAWaitIsNoSilence(t *testing.T) {
	azure.SetTimes(t, 2*time.Second, time.Second)
	var requests atomic.Int32
	slow := mustFake(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		time.Sleep(1200 * time.Millisecond)
		answer(w, r, http.StatusCreated, "")
	})
	var all sync.WaitGroup
	for range 2 * azure.CallsAtOnce {
		all.Go(func() {
			if err := put(1)(t.Context(), slow); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 2*azure.CallsAtOnce, requests.Load())
}

func TestBlocksInMemoryAreBounded(t *testing.T) {
	c := meet(t, azure.BlocksAtOnce, 3*azure.BlocksAtOnce, put(azure.SmallSize))
	require.EqualValues(t, azure.BlocksAtOnce, c.most.Load())
}

func TestObjectsWithoutABlockDoNotWaitForOne(t *testing.T) {
	c := meet(t, azure.BlocksAtOnce+1, azure.BlocksAtOnce+1, put(azure.SmallSize-1))
	require.EqualValues(t, azure.BlocksAtOnce+1, c.most.Load())
}

// However a put ends, it keeps no block.
func TestNoBlockIsLost(t *testing.T) {
	errBody, errCut := errors.New("the body ended early"), fmt.Errorf("read the body: %w", io.EOF) // which is not its end
	for _, row := range []struct {
		name   string
		body   io.Reader
		status int
		want   error
	}{
		{"one request", bytes.NewReader(make([]byte, azure.SmallSize)), http.StatusCreated, nil},
		{"two blocks", bytes.NewReader(make([]byte, 2*azure.BlockSize)), http.StatusCreated, nil},
		{"two blocks and a bit", bytes.NewReader(make([]byte, 2*azure.BlockSize+1)), http.StatusCreated, nil},
		{"a body that fails", io.MultiReader(bytes.NewReader(make([]byte, azure.SmallSize+1)), iotest.ErrReader(errBody)), http.StatusCreated, errBody},
		{"a later block that fails", io.MultiReader(bytes.NewReader(make([]byte, 2*azure.BlockSize)), iotest.ErrReader(errBody)), http.StatusCreated, errBody},
		{"a body that is cut", io.MultiReader(bytes.NewReader(make([]byte, azure.BlockSize)), iotest.ErrReader(io.ErrUnexpectedEOF)), http.StatusCreated, io.ErrUnexpectedEOF},
		{"a small body that is cut", io.MultiReader(bytes.NewReader(make([]byte, 9)), iotest.ErrReader(errCut)), http.StatusCreated, errCut},
		{"a body that is cut after a block", io.MultiReader(bytes.NewReader(make([]byte, azure.BlockSize)), iotest.ErrReader(errCut)), http.StatusCreated, errCut},
		{"a refusal", endless{}, http.StatusForbidden, blob.ErrDenied},
		{"a refusal of the only block", bytes.NewReader(make([]byte, azure.BlockSize)), http.StatusForbidden, blob.ErrDenied},
	} {
		t.Run(row.name, func(t *testing.T) {
			store := mustFake(t, func(w http.ResponseWriter, r *http.Request) { answer(w, r, row.status, "") })
			_, err := store.Put(t.Context(), "a", row.body, nil)
			require.ErrorIs(t, err, row.want)
			require.True(t, azure.AllBlocksAreFree())
		})
	}
	t.Run("given up while it waits", func(t *testing.T) {
		giveBack := azure.LeaveBlocks(t, 0)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		store := mustFake(t, func(http.ResponseWriter, *http.Request) { t.Error("a request came") })
		require.ErrorIs(t, put(azure.SmallSize)(ctx, store), context.DeadlineExceeded)
		giveBack()
		require.True(t, azure.AllBlocksAreFree())
	})
}

// TestAPutInTheWayOfAKilledOneNeedsNoSecondBlock would else wait for others that wait, too.
func TestAPutInTheWayOfAKilledOneNeedsNoSecondBlock(t *testing.T) {
	defer azure.LeaveBlocks(t, 1)()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	store := mustFake(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodHead:
			answer(w, r, http.StatusNotFound, "BlobNotFound")
		case r.URL.Query().Get("comp") == "":
			answer(w, r, http.StatusConflict, "BlobAlreadyExists")
		default:
			answer(w, r, http.StatusCreated, "")
		}
	})
	require.NoError(t, put(azure.SmallSize)(ctx, store))
}
