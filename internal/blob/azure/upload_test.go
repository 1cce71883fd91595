package azure_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/stretchr/testify/require"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/azure"
	"github.com/holdfast-db/holdfast/internal/blob/blobtest"
)

func TestOneRequestUpToABlock(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int
		ops  []string
	}{
		{"nothing", 0, []string{"put"}},
		{"exactly a block", azure.BlockSize, []string{"put"}},
		{"a byte more", azure.BlockSize + 1, []string{"stage", "stage", "commit"}},
		{"exactly two blocks", 2 * azure.BlockSize, []string{"stage", "stage", "commit"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := mustProxy(t, pass)
			mustPut(t, p.mustOpen(t), "a", blobtest.Bytes(1, tt.size))
			require.Equal(t, tt.ops, p.ops)
		})
	}
}

func TestEveryRequestIsGuarded(t *testing.T) {
	var mu sync.Mutex
	headers := map[string]http.Header{}
	p := mustProxy(t, func(p *proxy, op string, w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if op != "commit" {
			sum := md5.Sum(body)
			require.Equal(t, base64.StdEncoding.EncodeToString(sum[:]), r.Header.Get("Content-Md5"), op)
		}
		mu.Lock()
		headers[op] = r.Header.Clone()
		mu.Unlock()
		pass(p, op, w, r)
	})
	store, err := azure.New(p.url, azure.Credentials{ConnectionString: p.connectionString, Tier: "cool"})
	require.NoError(t, err)
	mustPut(t, store, "small", []byte("abc"))
	mustPut(t, store, "large", blobtest.Bytes(1, azure.BlockSize+1))
	for _, op := range []string{"put", "commit"} {
		require.Equal(t, "*", headers[op].Get("If-None-Match"), op)
		require.Equal(t, "Cool", headers[op].Get("X-Ms-Access-Tier"), op)
	}
}

func TestDamageOnTheWayIsRefused(t *testing.T) {
	p := mustProxy(t, func(p *proxy, op string, w http.ResponseWriter, r *http.Request) {
		if op == "put" || op == "stage" {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return // another block was refused, so nobody waits for this one
			}
			body[len(body)/2] ^= 1
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		pass(p, op, w, r)
	})
	for _, size := range []int{100, azure.BlockSize + 1} {
		_, err := p.mustOpen(t).Put(t.Context(), "a", bytes.NewReader(blobtest.Bytes(1, size)), nil)
		require.ErrorContains(t, err, "InvalidOperation") // Azure's word is Md5Mismatch
		_, err = p.mustOpen(t).Stat(t.Context(), "a")
		require.ErrorIs(t, err, blob.ErrNotFound)
	}
}

func TestBoundedBlocksInFlight(t *testing.T) {
	var now, most atomic.Int32
	p := mustProxy(t, func(p *proxy, op string, w http.ResponseWriter, r *http.Request) {
		if op == "stage" {
			n := now.Add(1)
			defer now.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			time.Sleep(50 * time.Millisecond)
		}
		pass(p, op, w, r)
	})
	data := blobtest.Bytes(1, 7*azure.BlockSize)
	mustPut(t, p.mustOpen(t), "a", data)
	require.EqualValues(t, 3, most.Load())
	require.True(t, bytes.Equal(data, mustGet(t, p.mustOpen(t), "a")))
}

func TestRefusedUploadLeavesTheRestOfItsBody(t *testing.T) {
	p := mustProxy(t, func(p *proxy, op string, w http.ResponseWriter, r *http.Request) {
		answer(w, r, 403, "AuthorizationFailure")
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := p.mustOpen(t).Put(ctx, "a", endless{}, nil)
	require.ErrorIs(t, err, blob.ErrDenied)
	require.Zero(t, p.times("commit"))
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// Azurite refuses a put under a key that has uncommitted blocks; Azure does not.
func TestKilledUploads(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int
	}{
		{"nothing after it", 0},
		{"a small object after it", 100},
		{"a block after it", azure.BlockSize},
		{"a large object after it", azure.BlockSize + 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := mustAzurite(t)
			a.mustStage(t, "a", strings.Repeat("x", 64))
			store := a.mustOpen(t)
			_, err := store.Stat(t.Context(), "a")
			require.ErrorIs(t, err, blob.ErrNotFound)

			data := blobtest.Bytes(1, tt.size)
			mustPut(t, store, "a", data)
			require.True(t, bytes.Equal(data, mustGet(t, store, "a")))
			info, err := store.Stat(t.Context(), "a")
			require.NoError(t, err)
			require.Equal(t, meta, info.Metadata)
			_, err = store.Put(t.Context(), "a", bytes.NewReader(data), nil)
			require.ErrorIs(t, err, blob.ErrExists)
		})
	}
}

// What the service may answer to the last request of a put, and then to the
// question whether the object is there.
func TestConflicts(t *testing.T) {
	for _, tt := range []struct {
		name       string
		size       int
		status     int
		code       string
		stat       int
		statCode   string
		want       error
		operations []string
	}{
		{"an object that is there", 10, 409, "BlobAlreadyExists", 200, "", blob.ErrExists, []string{"put", "head"}},
		{"a condition that is not met", 10, 412, "ConditionNotMet", 200, "", blob.ErrExists, []string{"put", "head"}},
		{"an object that nobody may look at", 10, 409, "BlobAlreadyExists", 403, "AuthorizationFailure", blob.ErrDenied, []string{"put", "head"}},
		{"a commit over an object", azure.BlockSize + 1, 409, "BlobAlreadyExists", 200, "", blob.ErrExists, []string{"stage", "stage", "commit", "head"}},
		{"blocks gone, since another put was committed", azure.BlockSize + 1, 400, "InvalidBlockList", 200, "", blob.ErrExists, []string{"stage", "stage", "commit", "head"}},
		{"blocks gone and no object", azure.BlockSize + 1, 400, "InvalidBlockList", 404, "BlobNotFound", blob.ErrUnavailable, []string{"stage", "stage", "commit", "head"}},
		{"another refusal", azure.BlockSize + 1, 403, "AuthorizationFailure", 200, "", blob.ErrDenied, []string{"stage", "stage", "commit"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := mustProxy(t, func(_ *proxy, op string, w http.ResponseWriter, r *http.Request) {
				switch op {
				case "put", "commit":
					answer(w, r, tt.status, tt.code)
				case "head":
					answer(w, r, tt.stat, tt.statCode)
				default:
					answer(w, r, 201, "")
				}
			})
			_, err := p.mustOpen(t).Put(t.Context(), "a", bytes.NewReader(blobtest.Bytes(1, tt.size)), nil)
			require.ErrorIs(t, err, tt.want)
			require.Equal(t, tt.operations, p.ops)
		})
	}
}

// A put that is committed while another one of its key still stages discards
// the other's blocks.
func TestOvertakenUpload(t *testing.T) {
	for _, size := range []int{10, azure.BlockSize + 1} {
		store := mustAzurite(t).mustOpen(t)
		winner := blobtest.Bytes(1, size)
		slow := io.MultiReader(
			bytes.NewReader(blobtest.Bytes(2, 2*azure.BlockSize)),
			readerFunc(func() error { mustPut(t, store, "a", winner); return io.EOF }),
			bytes.NewReader(blobtest.Bytes(3, azure.BlockSize)),
		)
		_, err := store.Put(t.Context(), "a", slow, nil)
		require.ErrorIs(t, err, blob.ErrExists)
		require.True(t, bytes.Equal(winner, mustGet(t, store, "a")))
	}
}

// mustStage leaves an uncommitted block behind, as a killed upload does.
func (a azurite) mustStage(t *testing.T, key, blockID string) {
	t.Helper()
	client, err := container.NewClientFromConnectionString(a.connectionString, a.url.Container, nil)
	require.NoError(t, err)
	_, err = client.NewBlockBlobClient(a.url.Path+"/"+key).StageBlock(t.Context(),
		base64.StdEncoding.EncodeToString([]byte(blockID)), streaming.NopCloser(strings.NewReader("half")), nil)
	require.NoError(t, err)
}

var meta = blob.Metadata{"holdfastwriter": "w"}

func mustPut(t *testing.T, store blob.Store, key string, data []byte) {
	t.Helper()
	n, err := store.Put(t.Context(), key, bytes.NewReader(data), meta)
	require.NoError(t, err)
	require.EqualValues(t, len(data), n)
}

func mustGet(t *testing.T, store blob.Store, key string) []byte {
	t.Helper()
	body, err := store.Get(t.Context(), key, 0, -1)
	require.NoError(t, err)
	defer body.Close()
	data, err := io.ReadAll(body)
	require.NoError(t, err)
	return data
}

// readerFunc is a reader of no bytes.
type readerFunc func() error

func (f readerFunc) Read([]byte) (int, error) { return 0, f() }
