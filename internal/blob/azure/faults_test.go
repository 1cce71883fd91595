package azure_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/azure"
	"github.com/holdfast-db/holdfast/internal/blob/blobtest"
)

// operations are one call of each method, with its name.
var operations = []struct {
	name string
	call func(ctx context.Context, s blob.Store) error
}{
	{"put", func(ctx context.Context, s blob.Store) error {
		_, err := s.Put(ctx, "a", bytes.NewReader([]byte("abc")), nil)
		return err
	}},
	{"put of blocks", func(ctx context.Context, s blob.Store) error {
		_, err := s.Put(ctx, "a", bytes.NewReader(make([]byte, azure.BlockSize+1)), nil)
		return err
	}},
	{"stat", func(ctx context.Context, s blob.Store) error {
		_, err := s.Stat(ctx, "a")
		return err
	}},
	{"get", func(ctx context.Context, s blob.Store) error {
		body, err := s.Get(ctx, "a", 0, -1)
		if err == nil {
			err = body.Close()
		}
		return err
	}},
	{"list", func(ctx context.Context, s blob.Store) error {
		for _, err := range s.List(ctx, "") {
			if err != nil {
				return err
			}
		}
		return nil
	}},
	{"clock", func(ctx context.Context, s blob.Store) error {
		_, err := s.Clock(ctx)
		return err
	}},
	{"delete", func(ctx context.Context, s blob.Store) error { return s.Delete(ctx, "a") }},
	{"delete of many", func(ctx context.Context, s blob.Store) error { return s.Delete(ctx, "a", "b", "c", "d", "e") }},
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		code   string
		header http.Header
		want   error
		wait   time.Duration
		tries  int
	}{
		{name: "busy, with a long wait", status: 503, code: "ServerBusy", header: http.Header{"Retry-After": {"30"}},
			want: blob.ErrThrottled, wait: 30 * time.Second, tries: 1},
		{name: "busy, with a wait in milliseconds", status: 503, code: "ServerBusy", header: http.Header{"X-Ms-Retry-After-Ms": {"40000"}},
			want: blob.ErrThrottled, wait: 40 * time.Second, tries: 1},
		{name: "busy, with a short wait", status: 503, code: "ServerBusy", header: http.Header{"X-Ms-Retry-After-Ms": {"10"}},
			want: blob.ErrThrottled, wait: 10 * time.Millisecond, tries: 3},
		{name: "too many requests", status: 429, header: http.Header{"Retry-After": {"7"}}, want: blob.ErrThrottled, wait: 7 * time.Second, tries: 1},
		{name: "timed out inside", status: 500, code: "OperationTimedOut", want: blob.ErrThrottled, tries: 3},
		{name: "broken inside", status: 500, code: "InternalError", want: blob.ErrUnavailable, tries: 3},
		{name: "damaged on the way", status: 400, code: "Md5Mismatch", want: blob.ErrUnavailable, tries: 1},
		{name: "a gateway without a store", status: 502, want: blob.ErrUnavailable, tries: 3},
		{name: "not signed as it should be", status: 403, code: "AuthenticationFailed", want: blob.ErrDenied, tries: 1},
		{name: "nobody", status: 401, code: "NoAuthenticationInformation", want: blob.ErrDenied, tries: 1},
		{name: "a container that is being deleted", status: 409, code: "ContainerBeingDeleted", want: blob.ErrNoContainer, tries: 1},
		{name: "a web server that is no store", status: 404, want: blob.ErrNoContainer, tries: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var tries atomic.Int32
			store := mustFake(t, func(w http.ResponseWriter, r *http.Request) {
				tries.Add(1)
				for key, values := range tt.header {
					w.Header()[key] = values
				}
				answer(w, r, tt.status, tt.code)
			})
			err := operations[0].call(t.Context(), store)
			mustBeOneLine(t, err)
			require.ErrorIs(t, err, tt.want)
			wait, _ := blob.RetryAfter(err)
			require.Equal(t, tt.wait, wait)
			if tt.status != 409 { // a put asks whether the object is there
				require.EqualValues(t, tt.tries, tries.Load())
			}
			for _, op := range operations[2:6] {
				require.ErrorIs(t, op.call(t.Context(), store), tt.want, op.name)
			}
		})
	}
}

func TestRetryAfterDate(t *testing.T) {
	store := mustFake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", time.Now().Add(time.Minute).UTC().Format(http.TimeFormat))
		answer(w, r, 503, "ServerBusy")
	})
	wait, ok := blob.RetryAfter(operations[0].call(t.Context(), store))
	require.True(t, ok)
	require.InDelta(t, 60, wait.Seconds(), 3)
}

func TestStoreThatRecovers(t *testing.T) {
	p := mustProxy(t, func(p *proxy, op string, w http.ResponseWriter, r *http.Request) {
		if p.times(op) < 3 {
			answer(w, r, 500, "InternalError")
			return
		}
		pass(p, op, w, r)
	})
	data := blobtest.Bytes(1, azure.BlockSize+1)
	mustPut(t, p.mustOpen(t), "a", data)
	require.True(t, bytes.Equal(data, mustGet(t, p.mustOpen(t), "a")))
}

func TestLostAnswers(t *testing.T) {
	for _, tt := range []struct {
		op   string
		size int
		want error
	}{
		{"put", 100, blob.ErrExists},
		{"commit", azure.BlockSize + 1, blob.ErrExists},
		{"stage", azure.BlockSize + 1, nil},
	} {
		t.Run(tt.op, func(t *testing.T) {
			p := mustProxy(t, loseAnswer(tt.op))
			store := p.mustOpen(t)
			data := blobtest.Bytes(1, tt.size)
			_, err := store.Put(t.Context(), "a", bytes.NewReader(data), meta)
			require.ErrorIs(t, err, tt.want)
			require.True(t, bytes.Equal(data, mustGet(t, store, "a")))
			info, err := store.Stat(t.Context(), "a")
			require.NoError(t, err)
			require.Equal(t, meta, info.Metadata)
		})
	}
}

func TestDownloadThatBreaks(t *testing.T) {
	data := blobtest.Bytes(1, 1<<20)
	for _, tt := range []struct {
		name   string
		breaks int
		after  int // bytes
		want   error
	}{
		{"and progresses goes on", 20, 1000, nil},
		{"twice in one place goes on", 2, 0, nil},
		{"again and again in one place ends", 100, 0, blob.ErrUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := mustProxy(t, func(p *proxy, op string, w http.ResponseWriter, r *http.Request) {
				if op == "get" && p.times(op) <= tt.breaks {
					w = &short{ResponseWriter: w, left: tt.after}
				}
				pass(p, op, w, r)
			})
			store := p.mustOpen(t)
			mustPut(t, store, "a", data)
			body, err := store.Get(t.Context(), "a", 10, -1)
			require.NoError(t, err)
			defer body.Close()
			got, err := io.ReadAll(body)
			require.ErrorIs(t, err, tt.want)
			if tt.want == nil {
				require.True(t, bytes.Equal(data[10:], got))
			}
		})
	}
}

// short cuts the connection after some bytes.
type short struct {
	http.ResponseWriter
	left int
}

func (s *short) Write(p []byte) (int, error) {
	n, err := s.ResponseWriter.Write(p[:min(len(p), s.left)])
	if s.left -= n; s.left <= 0 {
		s.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

func TestSilence(t *testing.T) {
	azure.SetTimes(t, 100*time.Millisecond, 300*time.Millisecond)
	azure.SetFirstByte(t, 200*time.Millisecond) // for those whose size allows them minutes
	store := mustFake(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	for _, op := range operations {
		start := time.Now()
		err := op.call(t.Context(), store)
		require.ErrorIs(t, err, blob.ErrUnavailable, op.name)
		mustBeOneLine(t, err)
		require.Less(t, time.Since(start), 5*time.Second, op.name)
	}
}

func TestDownloadThatStalls(t *testing.T) {
	azure.SetTimes(t, 200*time.Millisecond, 300*time.Millisecond)
	var requests atomic.Int32
	store := mustFake(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write(make([]byte, 50))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	body, err := store.Get(t.Context(), "a", 0, -1)
	require.NoError(t, err)
	defer body.Close()
	time.Sleep(500 * time.Millisecond) // a slow reader does not make it stall
	n, err := io.ReadFull(body, make([]byte, 50))
	require.NoError(t, err)
	require.Equal(t, 50, n)
	_, err = body.Read(make([]byte, 1))
	require.ErrorIs(t, err, blob.ErrUnavailable)
	mustBeOneLine(t, err)
	require.EqualValues(t, 1, requests.Load())
}

func TestCancelledInMidRequest(t *testing.T) {
	asked := make(chan struct{}, 10)
	store := mustFake(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		asked <- struct{}{}
		<-r.Context().Done()
	})
	for _, op := range operations {
		for _, want := range []error{context.Canceled, context.DeadlineExceeded} {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			if want == context.Canceled {
				go func() { <-asked; cancel() }()
			}
			err := op.call(ctx, store)
			require.ErrorIs(t, err, want, op.name)
			for _, kind := range []error{blob.ErrUnavailable, blob.ErrDenied, blob.ErrExists} {
				require.NotErrorIs(t, err, kind, op.name)
			}
			cancel()
		}
	}
}

// Pages, folders of accounts with a hierarchical namespace, and keys of metadata
// as the service returns them: Azurite has none of these.
func TestListAcrossPages(t *testing.T) {
	var markers []string
	store := mustFake(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		markers = append(markers, q.Get("marker"))
		require.Equal(t, "root/ltx/", q.Get("prefix"))
		require.Equal(t, "metadata", q.Get("include"))
		next, from := "more", 0
		if q.Get("marker") == "more" {
			next, from = "", 2
		}
		fmt.Fprintf(w, `<?xml version="1.0"?><EnumerationResults><Blobs>%s%s<Blob><Name>root/ltx/folder</Name><Properties/>
			<Metadata><hdi_isfolder>true</hdi_isfolder></Metadata></Blob></Blobs><NextMarker>%s</NextMarker></EnumerationResults>`,
			entry(from), entry(from+1), next)
	})
	var got []blob.Info
	for info, err := range store.List(t.Context(), "ltx/") {
		require.NoError(t, err)
		got = append(got, info)
	}
	require.Equal(t, []string{"", "more"}, markers)
	require.Len(t, got, 4)
	for i, info := range got {
		require.Equal(t, blob.Info{
			Key: fmt.Sprintf("ltx/%d", i), Size: int64(i), Modified: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
			Metadata: blob.Metadata{"holdfastwriter": "w"},
		}, info)
	}
}

func entry(i int) string {
	return fmt.Sprintf(`<Blob><Name>root/ltx/%d</Name><Properties><Content-Length>%d</Content-Length>
		<Last-Modified>Fri, 02 Jan 2026 03:04:05 GMT</Last-Modified></Properties><Metadata><HoldfastWriter>w</HoldfastWriter></Metadata></Blob>`, i, i)
}

func TestDeleteOfMany(t *testing.T) {
	p := mustProxy(t, pass)
	var keys []string
	for i := range 600 {
		keys = append(keys, fmt.Sprintf("ltx/0/%03d", i))
	}
	mustPut(t, p.mustOpen(t), keys[599], nil)
	require.NoError(t, p.mustOpen(t).Delete(t.Context(), keys...))
	require.Equal(t, 3, p.times("batch"))
	require.Zero(t, p.times("delete"))
	_, err := p.mustOpen(t).Stat(t.Context(), keys[599])
	require.ErrorIs(t, err, blob.ErrNotFound)
}

func TestDeleteWithoutBatches(t *testing.T) {
	p := mustProxy(t, func(p *proxy, op string, w http.ResponseWriter, r *http.Request) {
		if op == "batch" {
			answer(w, r, 400, "UnsupportedOperation")
			return
		}
		pass(p, op, w, r)
	})
	store := p.mustOpen(t)
	mustPut(t, store, "a", nil)
	require.NoError(t, store.Delete(t.Context(), "a", "b", "c", "d", "e"))
	require.Equal(t, 5, p.times("delete"))
	_, err := store.Stat(t.Context(), "a")
	require.ErrorIs(t, err, blob.ErrNotFound)
}

// mustFake returns a store of which handle is the service.
func mustFake(t *testing.T, handle http.HandlerFunc) *azure.Store {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner, stop := context.WithCancel(r.Context())
		defer stop()
		defer context.AfterFunc(ctx, stop)()
		handle(w, r.WithContext(inner))
	}))
	t.Cleanup(func() { cancel(errors.New("the test is over")); server.Close() })
	store, err := azure.New(blob.URL{Scheme: blob.SchemeAzure, Container: "backups", Path: "root", Endpoint: server.URL + "/shop"},
		azure.Credentials{Account: "shop", AccountKey: secret})
	require.NoError(t, err)
	return store
}

// TestADeletionIsNotSentAgainAfterASleep has the machine sleep while a deletion waits to
// be tried again: what it was decided by is old then.
func TestADeletionIsNotSentAgainAfterASleep(t *testing.T) {
	for op, keys := range map[string][]string{"delete": {"a"}, "batch": {"a", "b", "c", "d", "e"}} {
		var slept atomic.Int64
		now := func() time.Time { return time.Now().Round(0).Add(time.Duration(slept.Load())) }
		p := mustProxy(t, func(p *proxy, got string, w http.ResponseWriter, r *http.Request) {
			if got == op && p.times(op) == 1 {
				slept.Store(int64(5 * time.Minute))
				answer(w, r, http.StatusInternalServerError, "InternalError")
				return
			}
			pass(p, got, w, r)
		})
		store := p.mustOpen(t)
		for _, key := range keys {
			_, err := store.Put(t.Context(), key, bytes.NewReader([]byte("x")), nil)
			require.NoError(t, err)
		}
		ctx, stop := blob.Until(t.Context(), now().Add(time.Minute), now)
		defer stop()
		require.ErrorIs(t, store.Delete(ctx, keys...), context.DeadlineExceeded)
		require.Equal(t, 1, p.times(op), "%s was sent again", op)
		for _, key := range keys {
			_, err := store.Stat(t.Context(), key)
			require.NoError(t, err, "%s is gone", key)
		}
	}
}
