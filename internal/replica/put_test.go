package replica_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/replica"
)

func TestPutNeverReplaces(t *testing.T) {
	s := mem.New()
	r := replica.New(s)
	first := mustPut(t, r, draft(1, 1), numbered(1, 1))
	before := mustGet(t, s, first.Key())
	_, err := r.Put(t.Context(), draft(1, 1), numbered(2, 1).each)
	if !errors.Is(err, blob.ErrExists) {
		t.Errorf("error %v, want %v", err, blob.ErrExists)
	}
	if !bytes.Equal(before, mustGet(t, s, first.Key())) {
		t.Error("the object has changed")
	}
}

func TestPutCutsTheTimeToMilliseconds(t *testing.T) {
	s := mem.New()
	d := draft(1, 1)
	d.Created = epoch.Add(1999 * time.Microsecond).In(time.FixedZone("", 3600))
	o := mustPut(t, replica.New(s), d, numbered(1, 1))
	if want := epoch.Add(time.Millisecond); o.Created != want {
		t.Errorf("created %v, want %v", o.Created, want)
	}
	info, err := s.Stat(t.Context(), o.Key())
	if err != nil || info.Metadata["litestreamtimestamp"] != "2026-03-01T12:00:00.001Z" {
		t.Errorf("metadata %v, %v", info.Metadata, err)
	}
	if h, _, err := ltx.DecodeHeader(bytes.NewReader(mustGet(t, s, o.Key()))); err != nil || h.Timestamp != o.Created.UnixMilli() {
		t.Errorf("header %+v, %v", h, err)
	}
}

func TestPutEndsWithItsFailures(t *testing.T) {
	failing := func(emit func(uint32, []byte) error) error {
		if err := emit(1, numbered(1, 1)[1]); err != nil {
			return err
		}
		return errBoom
	}
	endless := func(emit func(uint32, []byte) error) error {
		noise := make([]byte, pageSize)
		for pgno := uint32(1); pgno < 1<<20; pgno++ {
			for i := range noise { // too varied to be compressed, so that the pipe fills
				noise[i] = byte(uint32(i) * (pgno + uint32(i)*2654435761>>7) >> 3)
			}
			if err := emit(pgno, noise); err != nil {
				return err
			}
		}
		return nil
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tc := range []struct {
		name    string
		ctx     context.Context
		store   blob.Store
		commit  uint32
		pages   replica.Pages
		wantErr error
	}{
		{"the pages'", t.Context(), mem.New(), 2, failing, errBoom},
		{"the pages', though the store complains too", t.Context(), &putStore{read: -1, err: blob.ErrUnavailable}, 2, failing, errBoom},
		{"the store's at once", t.Context(), &putStore{err: blob.ErrDenied}, 1 << 20, endless, blob.ErrDenied},
		{"the store's half-way", t.Context(), &putStore{read: 100_000, err: blob.ErrUnavailable}, 1 << 20, endless, blob.ErrUnavailable},
		{"the store's at the end", t.Context(), &putStore{read: -1, err: blob.ErrExists}, 3, numbered(1, upTo(3)...).each, blob.ErrExists},
		{"cancellation", cancelled, mem.New(), 1 << 20, endless, context.Canceled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			goroutines := runtime.NumGoroutine()
			d := draft(1, tc.commit)
			_, err := replica.New(tc.store).Put(tc.ctx, d, tc.pages)
			if !errors.Is(err, tc.wantErr) {
				t.Errorf("error %v, want %v", err, tc.wantErr)
			}
			if err != nil && !strings.Contains(err.Error(), replica.Key(0, 1, 1)) {
				t.Errorf("%q does not name the object", err)
			}
			assertGoroutines(t, goroutines)
			if s, ok := tc.store.(*mem.Store); ok {
				if _, err := s.Stat(t.Context(), replica.Key(0, 1, 1)); !errors.Is(err, blob.ErrNotFound) {
					t.Errorf("something was left behind: %v", err)
				}
			}
		})
	}
}

func TestPutSurvivesAPanicOfItsPages(t *testing.T) {
	s := mem.New()
	goroutines := runtime.NumGoroutine()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_, _ = replica.New(s).Put(t.Context(), draft(1, 1), func(func(uint32, []byte) error) error { panic("pages") })
	}()
	assertGoroutines(t, goroutines)
	if _, err := s.Stat(t.Context(), replica.Key(0, 1, 1)); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("something was left behind: %v", err)
	}
}

func TestPutStreams(t *testing.T) {
	const pages = 200_000 // 100 MB
	var before, after runtime.MemStats
	peak := uint64(0)
	runtime.GC()
	runtime.ReadMemStats(&before)
	buf := make([]byte, pageSize)
	_, err := replica.New(&putStore{read: -1}).Put(t.Context(), draft(1, pages), func(emit func(uint32, []byte) error) error {
		for pgno := uint32(1); pgno <= pages; pgno++ {
			buf[pgno%pageSize] = byte(pgno)
			if err := emit(pgno, buf); err != nil {
				return err
			}
			if pgno%50_000 == 0 {
				runtime.GC()
				runtime.ReadMemStats(&after)
				peak = max(peak, after.HeapAlloc)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if grown := int64(peak) - int64(before.HeapAlloc); grown > 16<<20 { // the index alone takes 5 MB
		t.Errorf("heap grew by %d MiB", grown>>20)
	}
}

func TestPutEncoded(t *testing.T) {
	d := atFrame(7, 3, 2, 5)
	d.Pages = "1,3"
	pages := numbered(7, 1, 3)
	encoded := mustEncode(t, d, pages)

	s := mem.New()
	r := replica.New(s)
	got, err := r.PutEncoded(t.Context(), d, bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	direct := mem.New()
	want := mustPut(t, replica.New(direct), d, pages)
	if got != want {
		t.Errorf("got %+v, want %+v as of a direct put", got, want)
	}
	if described := replica.Describe(d); described.Key() != got.Key() || described.Created != got.Created || described.Chain != got.Chain {
		t.Errorf("described as %+v, put as %+v", described, got)
	}
	if !bytes.Equal(mustGet(t, s, got.Key()), mustGet(t, direct, want.Key())) {
		t.Error("the bytes differ from those of a direct put")
	}
}

func TestPutEncodedRefusesAnotherFile(t *testing.T) {
	encoded := mustEncode(t, draft(7, 3), numbered(7, 1))
	other := draft(8, 3)
	later := draft(7, 3)
	later.Created = later.Created.Add(time.Millisecond)
	for _, tc := range []struct {
		name    string
		d       replica.Draft
		data    []byte
		wantErr error
	}{
		{"of another TXID", other, encoded, replica.ErrDamaged},
		{"of another time", later, encoded, replica.ErrDamaged},
		{"cut inside its header", draft(7, 3), encoded[:50], io.ErrUnexpectedEOF},
		{"empty", draft(7, 3), nil, io.EOF},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := mem.New()
			_, err := replica.New(s).PutEncoded(t.Context(), tc.d, bytes.NewReader(tc.data))
			if !errors.Is(err, tc.wantErr) {
				t.Errorf("error %v, want %v", err, tc.wantErr)
			}
			if all, _ := replica.New(s).All(t.Context()); len(all) != 0 {
				t.Errorf("%v was put", all)
			}
		})
	}
}

// putStore reads so many bytes of a body, -1 for all, and returns err.
type putStore struct {
	blob.Store
	read int64
	err  error
}

func (s *putStore) Put(_ context.Context, _ string, body io.Reader, _ blob.Metadata) (int64, error) {
	if s.read >= 0 {
		body = io.LimitReader(body, s.read)
	}
	n, err := io.Copy(io.Discard, body)
	if err != nil && s.err == nil {
		return n, err
	}
	return n, s.err
}

func assertGoroutines(t *testing.T, want int) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		n := runtime.NumGoroutine()
		if n <= want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, want %d", n, want)
		}
	}
}
