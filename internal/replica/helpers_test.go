package replica_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/wal"
)

const (
	pageSize = 512
	writer   = "00112233445566778899aabbccddeeff"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// pageMap is the content of an object or a database: page number to bytes.
type pageMap map[uint32][]byte

// numbered returns pages whose bytes tell their number and version.
func numbered(version uint32, pgnos ...uint32) pageMap {
	pages := pageMap{}
	for _, pgno := range pgnos {
		data := make([]byte, pageSize)
		for i := 0; i+8 <= len(data); i += 8 * (1 + int(pgno%5)) {
			binary.BigEndian.PutUint32(data[i:], pgno)
			binary.BigEndian.PutUint32(data[i+4:], version)
		}
		pages[pgno] = data
	}
	return pages
}

// upTo returns 1 to n.
func upTo(n uint32) []uint32 {
	pgnos := make([]uint32, n)
	for i := range pgnos {
		pgnos[i] = uint32(i) + 1
	}
	return pgnos
}

// each yields m in ascending order.
func (m pageMap) each(emit func(uint32, []byte) error) error {
	pgnos := make([]uint32, 0, len(m))
	for pgno := range m {
		pgnos = append(pgnos, pgno)
	}
	slices.Sort(pgnos)
	for _, pgno := range pgnos {
		if err := emit(pgno, m[pgno]); err != nil {
			return err
		}
	}
	return nil
}

// draft describes level 0 at txid, of a database with commit pages.
func draft(txid ltx.TXID, commit uint32) replica.Draft {
	return replica.Draft{
		Min: txid, Max: txid, Created: epoch.Add(time.Duration(txid) * time.Second), Writer: writer,
		Position: wal.Position{PageSize: pageSize, Commit: commit},
	}
}

// atFrame is draft for pages that were read from a log.
func atFrame(txid ltx.TXID, commit, from, frame uint32) replica.Draft {
	d := draft(txid, commit)
	d.From = wal.FrameOffset(from, pageSize)
	d.Position.Frame = frame
	d.Position.Salts = [2]uint32{0x11111111, 0x22222222}
	d.Position.Chain = [2]uint32{0x01020304, 0xa0b0c0d0}
	d.Position.Boot = "5f3c1f3e-0000-4000-8000-000000000001"
	return d
}

func mustPut(t testing.TB, r *replica.Replica, d replica.Draft, pages pageMap) replica.Object {
	t.Helper()
	o, err := r.Put(t.Context(), d, pages.each)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func mustEncode(t testing.TB, d replica.Draft, pages pageMap) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := replica.Encode(&b, d, pages.each); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// mustPutRaw stores data as it is.
func mustPutRaw(t testing.TB, s blob.Store, key string, data []byte, meta blob.Metadata) {
	t.Helper()
	if _, err := s.Put(t.Context(), key, bytes.NewReader(data), meta); err != nil {
		t.Fatal(err)
	}
}

func mustGet(t testing.TB, s blob.Store, key string) []byte {
	t.Helper()
	body, err := s.Get(t.Context(), key, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// readAll reads data as the object of d, in all ways, which must come to the same.
func readAll(d replica.Draft, data []byte) (pageMap, error) {
	first, want := ways[0].read(d, bytes.NewReader(data), len(data))
	for _, way := range ways[1:] {
		got, err := way.read(d, bytes.NewReader(data), len(data))
		if (err == nil) != (want == nil) || !samePages(got, first) {
			return nil, fmt.Errorf("%d pages, %v, %s; %d pages, %v, %s", len(first), want, ways[0].name, len(got), err, way.name)
		}
		if err != nil && (!errors.Is(err, replica.ErrDamaged) || errors.Is(err, io.EOF)) {
			return nil, err
		}
	}
	return first, want
}

// way is a way of reading all pages of an object.
type way struct {
	name  string
	drain func(*replica.Reader) (pageMap, error)
	sized bool // the size of the object is known, so that a small one is read otherwise
}

var ways = []way{
	{"page by page", drain, false},
	{"in batches, by several", drainBatches, false},
	{"in batches", drainBatches, true},
}

// read reads body, of size bytes, as the object of d.
func (w way) read(d replica.Draft, body io.Reader, size int) (pageMap, error) {
	o := replica.Describe(d)
	if w.sized {
		o.Size = int64(size)
	}
	r, err := replica.NewReader(io.NopCloser(body), o)
	if err != nil {
		return nil, err
	}
	return w.drain(r)
}

func drainBatches(r *replica.Reader) (pageMap, error) {
	pages := pageMap{}
	err := r.Batches(func(b replica.Batch) error {
		for i, pgno := range b.Pages {
			size := len(b.Data) / len(b.Pages)
			pages[pgno] = slices.Clone(b.Data[i*size : (i+1)*size])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return pages, nil
}

func drain(r *replica.Reader) (pageMap, error) {
	pages := pageMap{}
	err := r.Pages(func(pgno uint32, data []byte) error {
		pages[pgno] = slices.Clone(data)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return pages, nil
}

func samePages(a, b pageMap) bool {
	if len(a) != len(b) {
		return false
	}
	for pgno, data := range a {
		if !bytes.Equal(data, b[pgno]) {
			return false
		}
	}
	return true
}

// countingStore counts requests and can be made to fail.
type countingStore struct {
	blob.Store
	mu    sync.Mutex
	stats []string
	lists int // of all levels
	looks int // for some names of one level
	gets  int
	fail  error // of every Stat
}

func newCountingStore() *countingStore { return &countingStore{Store: mem.New()} }

func (s *countingStore) Stat(ctx context.Context, key string) (blob.Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats = append(s.stats, key)
	if s.fail != nil {
		return blob.Info{}, s.fail
	}
	return s.Store.Stat(ctx, key)
}

func (s *countingStore) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	if prefix == "ltx/" {
		s.lists++
	} else {
		s.looks++
	}
	return s.Store.List(ctx, prefix)
}

func (s *countingStore) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	s.gets++
	return s.Store.Get(ctx, key, offset, length)
}

func (s *countingStore) reset() { s.stats, s.lists, s.looks, s.gets = nil, 0, 0, 0 }

var errBoom = errors.New("boom")

// metaStore lists all objects with the same metadata, as another program may
// have left them.
type metaStore struct {
	blob.Store
	meta blob.Metadata
}

func (s *metaStore) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for info, err := range s.Store.List(ctx, prefix) {
			info.Metadata = s.meta
			if !yield(info, err) {
				return
			}
		}
	}
}

// expiringStore loses objects when it is first asked for one.
type expiringStore struct {
	*countingStore
	expire func()
}

func (s *expiringStore) Stat(ctx context.Context, key string) (blob.Info, error) {
	if s.expire != nil {
		s.expire()
		s.expire = nil
	}
	return s.countingStore.Stat(ctx, key)
}
