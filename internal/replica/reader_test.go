package replica_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/replica"
)

func TestReaderGivesBackWhatWasPut(t *testing.T) {
	r := replica.New(mem.New())
	for _, tc := range []struct {
		name  string
		d     replica.Draft
		pages pageMap
	}{
		{"all pages", draft(1, 9), numbered(1, upTo(9)...)},
		{"some pages", draft(2, 9), numbered(2, 1, 4, 9)},
		{"no page: the database only became smaller", draft(3, 4), nil},
		{"one page", draft(4, 1), numbered(1, 1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := mustPut(t, r, tc.d, tc.pages)
			reader, err := r.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			if reader.PageSize() != pageSize || reader.Commit() != tc.d.Position.Commit || reader.Object() != o {
				t.Errorf("reader of %+v: page size %d, commit %d", reader.Object(), reader.PageSize(), reader.Commit())
			}
			got, err := drain(reader)
			if err != nil || !samePages(got, tc.pages) {
				t.Errorf("got %d pages, %v; want %d", len(got), err, len(tc.pages))
			}
			if reader.Fetched() != o.Size {
				t.Errorf("fetched %d bytes, want %d", reader.Fetched(), o.Size)
			}
			if _, _, err := reader.Next(); err != io.EOF {
				t.Errorf("after the end: %v, want %v", err, io.EOF)
			}
		})
	}
}

func TestAllPagesOfADatabaseBeyondTheLockPage(t *testing.T) {
	if testing.Short() {
		t.Skip("encodes and reads 1 GiB")
	}
	d := draft(1, ltx.LockPgno(ltx.MaxPageSize)+2)
	d.Position.PageSize = ltx.MaxPageSize
	page := make([]byte, ltx.MaxPageSize)
	r := replica.New(mem.New())
	o, err := r.Put(t.Context(), d, func(emit func(uint32, []byte) error) error {
		for pgno := uint32(1); pgno <= d.Position.Commit; pgno++ {
			if pgno == ltx.LockPgno(ltx.MaxPageSize) {
				continue
			}
			if err := emit(pgno, page); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	reader, err := r.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	count := uint32(0)
	if err := reader.Pages(func(uint32, []byte) error { count++; return nil }); err != nil || count != d.Position.Commit-1 {
		t.Errorf("read %d pages, %v; want %d", count, err, d.Position.Commit-1)
	}
}

// Every byte of an object is checked, by its structure or by its checksum, but
// for the compressed form of the pages: where a changed byte decompresses to the
// same page, as a copy from another place with the same bytes does, that is
// neither noticed nor any harm. 16 of the 1,350 flips here are of that kind.
func TestReaderFindsEveryFlip(t *testing.T) {
	for _, d := range []replica.Draft{draft(1, 3), atFrame(2, 3, 1, 3)} {
		pages := numbered(1, upTo(3)...)
		valid := mustEncode(t, d, pages)
		compressed := compressedBytes(valid)
		for i := range valid {
			for _, mask := range []byte{0x01, 0x02, 0x10, 0x80, 0xff} {
				data := bytes.Clone(valid)
				data[i] ^= mask
				if assertSameOrDamaged(t, d, data, pages) && !compressed[i] {
					t.Errorf("flip %02x of byte %d of %d went unnoticed", mask, i, len(valid))
				}
			}
		}
	}
}

// compressedBytes marks those bytes of a valid object that are the compressed
// form of its pages.
func compressedBytes(data []byte) []bool {
	mark := make([]bool, len(data))
	const head = ltx.PageHeaderSize + 4
	for at := ltx.HeaderSize; binary.BigEndian.Uint32(data[at:]) != 0; {
		size := int(binary.BigEndian.Uint32(data[at+ltx.PageHeaderSize:]))
		for i := range size {
			mark[at+head+i] = true
		}
		at += head + size
	}
	return mark
}

func TestReaderFindsEveryCut(t *testing.T) {
	for _, d := range []replica.Draft{draft(1, 3), atFrame(2, 3, 1, 3)} {
		pages := numbered(1, upTo(3)...)
		valid := mustEncode(t, d, pages)
		for n := range valid {
			if _, err := readAll(d, valid[:n]); !errors.Is(err, replica.ErrDamaged) || errors.Is(err, io.EOF) {
				t.Errorf("cut to %d of %d bytes: %v", n, len(valid), err)
			}
		}
		for _, tail := range []string{"\x00", "x", string(valid)} {
			if _, err := readAll(d, append(bytes.Clone(valid), tail...)); !errors.Is(err, replica.ErrDamaged) {
				t.Errorf("%d bytes more: %v", len(tail), err)
			}
		}
	}
}

// Law: an object that was changed anywhere yields the same pages or ErrDamaged,
// and never a panic.
func FuzzReaderOfADamagedObject(f *testing.F) {
	d, pages := draft(1, 5), numbered(1, upTo(5)...)
	valid := mustEncode(f, d, pages)
	f.Add(uint16(0), []byte("x"), uint16(0))
	f.Add(uint16(104), []byte{0xff, 0xff, 0xff, 0xff}, uint16(0))
	f.Add(uint16(len(valid)-1), []byte{0}, uint16(1))
	f.Fuzz(func(t *testing.T, offset uint16, with []byte, cut uint16) {
		data := bytes.Clone(valid)
		if int(offset) < len(data) {
			copy(data[offset:], with)
		}
		data = data[:len(data)-min(int(cut), len(data))]
		assertSameOrDamaged(t, d, data, pages)
	})
}

// Law: whatever is read as an object, there are pages in ascending order or
// ErrDamaged, and never a panic.
func FuzzReader(f *testing.F) {
	f.Add(mustEncode(f, draft(1, 3), numbered(1, upTo(3)...)))
	f.Add(mustEncode(f, draft(1, 1), numbered(1, 1)))
	f.Add(mustEncodeOldFrames(f, draft(1, 2), numbered(1, 1, 2)))
	f.Fuzz(func(t *testing.T, data []byte) {
		pages, err := readAll(draft(1, 1), data)
		if err != nil && !errors.Is(err, replica.ErrDamaged) {
			t.Errorf("%v is not %v", err, replica.ErrDamaged)
		}
		for pgno := range uint32(len(pages)) { // TXID 1 holds all pages
			if pages[pgno+1] == nil {
				t.Errorf("page %d of %d is missing", pgno+1, len(pages))
			}
		}
	})
}

func TestReaderChecksTheName(t *testing.T) {
	s := mem.New()
	r := replica.New(s)
	data := mustEncode(t, draft(2, 3), numbered(1, 2))
	for _, key := range []string{replica.Key(0, 3, 3), replica.Key(1, 2, 3), replica.Key(9, 1, 2)} {
		mustPutRaw(t, s, key, data, nil)
	}
	all, err := r.All(t.Context())
	if err != nil || len(all) != 3 {
		t.Fatal(all, err)
	}
	for _, o := range all {
		_, err := r.Open(t.Context(), o)
		if !errors.Is(err, replica.ErrDamaged) || !strings.Contains(err.Error(), o.Key()) {
			t.Errorf("open %s: %v, want %v with its name", o.Key(), err, replica.ErrDamaged)
		}
		if _, err := r.Position(t.Context(), o); !errors.Is(err, replica.ErrDamaged) {
			t.Errorf("position of %s: %v, want %v", o.Key(), err, replica.ErrDamaged)
		}
	}
}

// Objects with a right checksum around a wrong content, as a faulty writer
// would make them.
func TestReaderRefusesLies(t *testing.T) {
	lock := ltx.LockPgno(pageSize)
	snapshot, increment := draft(1, 3).Position, draft(2, 3).Position
	for _, tc := range []struct {
		name   string
		txid   ltx.TXID
		commit uint32
		pgnos  []uint32
		want   string
	}{
		{"pages in another order", 2, increment.Commit, []uint32{2, 1}, "page 1 after page 2"},
		{"a page twice", 2, increment.Commit, []uint32{2, 2}, "page 2 after page 2"},
		{"a page beyond the end", 2, increment.Commit, []uint32{4}, "page 4 of a database of 3"},
		{"the lock page", 2, lock + 1, []uint32{lock}, "lock page"},
		{"a database of no pages", 2, 0, nil, "no pages"},
		{"all pages but the first", 1, snapshot.Commit, []uint32{2, 3}, "want 1"},
		{"all pages but one", 1, snapshot.Commit, []uint32{1, 3}, "want 2"},
		{"all pages but the last", 1, snapshot.Commit, []uint32{1, 2}, "2 pages, want all 3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			data := craft(t, tc.txid, tc.commit, tc.pgnos)
			_, err := readAll(draft(tc.txid, 0), data)
			if !errors.Is(err, replica.ErrDamaged) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %v with %q", err, replica.ErrDamaged, tc.want)
			}
		})
	}
	if _, err := readAll(draft(2, 0), craft(t, 2, 3, []uint32{1, 3})); err != nil {
		t.Errorf("craft makes objects that nobody reads: %v", err)
	}
}

// TestManyBatchesMakeOneChecksum reads an object of more pages than a batch holds, whose
// checksum is put together from those of its batches, sound and with each of some bytes
// flipped.
func TestManyBatchesMakeOneChecksum(t *testing.T) {
	const commit = 3*replica.BatchBytes/pageSize + 7
	d, pages := draft(1, commit), numbered(1, upTo(commit)...)
	data := mustEncode(t, d, pages)
	got, err := readAll(d, data)
	if err != nil || !samePages(got, pages) {
		t.Fatalf("%d pages, %v; want %d", len(got), err, len(pages))
	}
	for at := ltx.HeaderSize + 20; at < len(data); at += len(data) / 23 {
		flipped := bytes.Clone(data)
		flipped[at] ^= 0x10
		assertSameOrDamaged(t, d, flipped, pages)
	}
}

func TestReaderDoesNotAllocateWhatADamagedSizeAsksFor(t *testing.T) {
	data := mustEncode(t, draft(1, 1), numbered(1, 1))
	binary.BigEndian.PutUint32(data[ltx.HeaderSize+ltx.PageHeaderSize:], 0xfffffff0)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := readAll(draft(1, 1), data); !errors.Is(err, replica.ErrDamaged) {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes allocated for one page", n)
	}
}

func TestReaderOutlivesAPanic(t *testing.T) {
	data := mustEncode(t, draft(1, 3), numbered(1, upTo(3)...))
	for _, n := range []int{0, ltx.HeaderSize, len(data) - 1} {
		for _, way := range ways {
			_, err := way.read(draft(1, 3), io.MultiReader(bytes.NewReader(data[:n]), panicReader{}), len(data))
			if !errors.Is(err, replica.ErrDamaged) {
				t.Errorf("%s, panic after %d bytes: %v, want %v", way.name, n, err, replica.ErrDamaged)
			}
		}
	}
}

func TestReaderTellsALostConnectionFromDamage(t *testing.T) {
	data := mustEncode(t, draft(1, 3), numbered(1, upTo(3)...))
	for _, n := range []int{0, 50, ltx.HeaderSize, 200, len(data) - 1} {
		for _, lost := range []error{blob.ErrUnavailable, io.ErrUnexpectedEOF} {
			for _, way := range ways {
				body := io.MultiReader(bytes.NewReader(data[:n]), errReader{fmt.Errorf("%w: %w", lost, io.EOF)})
				_, err := way.read(draft(1, 3), body, len(data))
				if !errors.Is(err, lost) || errors.Is(err, replica.ErrDamaged) || errors.Is(err, io.EOF) {
					t.Errorf("%s, lost after %d bytes: %v, want %v", way.name, n, err, lost)
				}
			}
		}
	}
}

func TestReadingAnObjectAsPagesOfAnother(t *testing.T) {
	r := replica.New(mem.New())
	pages := numbered(1, 2, 3)
	reader, err := r.Open(t.Context(), mustPut(t, r, draft(2, 3), pages))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	copied, err := r.Put(t.Context(), draft(3, 3), reader.Pages)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := r.Raw(t.Context(), copied)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	data, err := io.ReadAll(raw)
	if err != nil || !bytes.Equal(data, mustEncode(t, draft(3, 3), pages)) {
		t.Errorf("%d bytes, %v; want those of the same pages", len(data), err)
	}
	again, err := r.Open(t.Context(), copied)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := again.Pages(func(uint32, []byte) error { return errBoom }); !errors.Is(err, errBoom) {
		t.Errorf("error %v, want that of emit", err)
	}
}

func TestOpenOfWhatIsGone(t *testing.T) {
	_, err := replica.New(mem.New()).Open(t.Context(), replica.Describe(draft(1, 3)))
	if !errors.Is(err, blob.ErrNotFound) || !strings.Contains(err.Error(), replica.Key(0, 1, 1)) {
		t.Errorf("error %v, want %v with the name", err, blob.ErrNotFound)
	}
}

func TestReaderKnowsTheFramesOfOlderFiles(t *testing.T) {
	d, pages := draft(1, 3), numbered(1, upTo(3)...)
	data := mustEncodeOldFrames(t, d, pages)
	got, err := readAll(d, data)
	if err != nil || !samePages(got, pages) {
		t.Fatalf("got %d pages, %v; want %d", len(got), err, len(pages))
	}
	for i := range data {
		flipped := bytes.Clone(data)
		flipped[i] ^= 0x10
		assertSameOrDamaged(t, d, flipped, pages)
	}
}

// assertSameOrDamaged reports whether data passed for pages.
func assertSameOrDamaged(t *testing.T, d replica.Draft, data []byte, pages pageMap) bool {
	t.Helper()
	got, err := readAll(d, data)
	switch {
	case err == nil && !samePages(got, pages):
		t.Errorf("other pages came out of a changed object")
	case err != nil && !errors.Is(err, replica.ErrDamaged):
		t.Errorf("%v is not %v", err, replica.ErrDamaged)
	case err != nil && !strings.Contains(err.Error(), replica.Key(d.Level, d.Min, d.Max)):
		t.Errorf("%v does not name the object", err)
	}
	return err == nil
}

type panicReader struct{}

func (panicReader) Read([]byte) (int, error) { panic("index out of range") }

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
