package restore_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/digest"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/wal"
)

const writer = "00112233445566778899aabbccddeeff"

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// history is a replica in memory together with what each of its states was.
type history struct {
	t        testing.TB
	store    blob.Store
	replica  *replica.Replica
	pageSize uint32
	states   [][]byte // by TXID; the first is nil
}

func newHistory(t testing.TB, pageSize uint32) *history {
	return newHistoryIn(t, mem.New(), pageSize)
}

func newHistoryIn(t testing.TB, store blob.Store, pageSize uint32) *history {
	return &history{t: t, store: store, replica: replica.New(store), pageSize: pageSize, states: make([][]byte, 1)}
}

func (h *history) head() ltx.TXID { return ltx.TXID(len(h.states) - 1) }

func at(txid ltx.TXID) time.Time { return epoch.Add(time.Duration(txid) * time.Second) }

// image returns a database of commit pages, each filled with version. Its
// header is a right one.
func image(pageSize, commit uint32, version byte) []byte {
	b := bytes.Repeat([]byte{version}, int(pageSize*commit))
	copy(b, header(pageSize, commit))
	return b
}

func header(pageSize, commit uint32) []byte {
	b := make([]byte, 100)
	copy(b, "SQLite format 3\x00")
	binary.BigEndian.PutUint16(b[16:], uint16(pageSize)) // 65536 is set to 1 below
	if pageSize == 65536 {
		b[17] = 1
	}
	b[18], b[19] = 2, 2 // WAL
	binary.BigEndian.PutUint32(b[24:], 7)
	binary.BigEndian.PutUint32(b[28:], commit)
	binary.BigEndian.PutUint32(b[92:], 7)
	return b
}

// ship adds state as the next TXID: the pages that differ from the state before,
// or all of them.
func (h *history) ship(state []byte, all bool) {
	h.t.Helper()
	txid := h.head() + 1
	h.put(0, txid, txid, h.changed(h.states[h.head()], state, all || txid == 1), state)
	h.states = append(h.states, state)
}

// merge adds an object that turns the states before lo into that at hi.
func (h *history) merge(level int, lo, hi ltx.TXID) {
	h.t.Helper()
	pages := map[uint32]bool{}
	for txid := lo; txid <= hi; txid++ {
		for _, pgno := range h.changed(h.states[txid-1], h.states[txid], lo == 1) {
			pages[pgno] = true
		}
	}
	var pgnos []uint32
	for pgno := range pages {
		if int(pgno)*int(h.pageSize) <= len(h.states[hi]) {
			pgnos = append(pgnos, pgno)
		}
	}
	slices.Sort(pgnos)
	h.put(level, lo, hi, pgnos, h.states[hi])
}

// changed returns the numbers of the pages that differ or are new.
func (h *history) changed(before, after []byte, all bool) (pgnos []uint32) {
	size := int(h.pageSize)
	for off := 0; off < len(after); off += size {
		if all || off+size > len(before) || !bytes.Equal(before[off:off+size], after[off:off+size]) {
			pgnos = append(pgnos, uint32(off/size)+1)
		}
	}
	return pgnos
}

func (h *history) put(level int, lo, hi ltx.TXID, pgnos []uint32, state []byte) {
	h.t.Helper()
	size := int(h.pageSize)
	d := replica.Draft{
		Level: level, Min: lo, Max: hi, Created: at(hi), Writer: writer,
		Position: wal.Position{PageSize: h.pageSize, Commit: uint32(len(state) / size)},
		Digest:   digestOf(state, h.pageSize),
	}
	mustPut(h.t, h.replica, d, func(emit func(uint32, []byte) error) error {
		for _, pgno := range pgnos {
			if err := emit(pgno, state[int(pgno-1)*size:int(pgno)*size]); err != nil {
				return err
			}
		}
		return nil
	})
}

func digestOf(state []byte, pageSize uint32) digest.Digest {
	h := digest.Hasher{PageSize: pageSize}
	for off, size := 0, int(pageSize); off < len(state); off += size {
		h.Add(uint32(off/size)+1, state[off:off+size])
	}
	return h.Digest(uint32(len(state)) / pageSize)
}

func mustPut(t testing.TB, r *replica.Replica, d replica.Draft, pages replica.Pages) {
	t.Helper()
	if _, err := r.Put(t.Context(), d, pages); err != nil {
		t.Fatal(err)
	}
}

// remove takes an object away.
func (h *history) remove(level int, lo, hi ltx.TXID) {
	h.t.Helper()
	if err := h.store.Delete(h.t.Context(), replica.Key(level, lo, hi)); err != nil {
		h.t.Fatal(err)
	}
}

// edit replaces the bytes of an object.
func (h *history) edit(level int, lo, hi ltx.TXID, change func([]byte) []byte) {
	h.t.Helper()
	editObject(h.t, h.store, replica.Key(level, lo, hi), change)
}

// mustRestore restores and returns the bytes of the file.
func (h *history) mustRestore(opts restore.Options) ([]byte, restore.Result) {
	h.t.Helper()
	result, err := restore.Run(h.t.Context(), h.replica, opts)
	if err != nil {
		h.t.Fatal(err)
	}
	return mustRead(h.t, opts.Output), result
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustWrite(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// assertFiles fails unless dir holds just these.
func assertFiles(t testing.TB, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", filepath.Base(dir), got, want)
	}
}

func editObject(t testing.TB, store blob.Store, key string, change func([]byte) []byte) {
	t.Helper()
	rewriteObject(t, store, key, func(data []byte, _ blob.Metadata) []byte { return change(data) })
}

// rewriteObject replaces an object by what change makes of its bytes and its metadata.
func rewriteObject(t testing.TB, store blob.Store, key string, change func([]byte, blob.Metadata) []byte) {
	t.Helper()
	info, err := store.Stat(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	body, err := store.Get(t.Context(), key, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(body); err != nil {
		t.Fatal(err)
	}
	if err := store.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Put(t.Context(), key, bytes.NewReader(change(b.Bytes(), info.Metadata)), info.Metadata); err != nil {
		t.Fatal(err)
	}
}
