package replica_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// anyObject describes an object of up to 16 pages: those whose bits are set, or
// all of them, filled with what content has for them.
func anyObject(bits uint16, all bool, content []byte) (replica.Draft, pageMap) {
	pages := pageMap{}
	last := uint32(1)
	for i := range uint32(16) {
		if bits>>i&1 == 0 && !all {
			continue
		}
		data := make([]byte, pageSize)
		for at := 0; at < len(data) && len(content) > 0; {
			at += copy(data[at:], content[int(i)%len(content):])
		}
		last = i + 1
		pages[last] = data
	}
	if all {
		return draft(1, last), pages
	}
	return atFrame(7, last+2, 1, 20), pages
}

// FuzzReaderOfAnyObject holds that whatever happens to the bytes of an object,
// reading it yields its pages, or an error that matches ErrDamaged and names it;
// never other pages, and never a panic. What was read is what was written for it.
func FuzzReaderOfAnyObject(f *testing.F) {
	f.Add(uint16(0x0005), false, []byte("abc"), []byte{0, 10, 1}, uint16(0), []byte{})
	f.Add(uint16(0), true, []byte{}, []byte{}, uint16(7), []byte{})
	f.Add(uint16(0xffff), true, []byte{1, 2, 3, 255}, []byte{0, 104, 255, 0, 105, 255}, uint16(0), []byte("more"))
	f.Add(uint16(1), false, []byte("0123456789abcdef"), []byte{0, 120, 1}, uint16(0), []byte{})
	f.Add(uint16(0), false, []byte("x"), []byte{0, 0, 0}, uint16(0), []byte{})
	f.Fuzz(func(t *testing.T, bits uint16, all bool, content, edits []byte, cut uint16, tail []byte) {
		d, pages := anyObject(bits, all, content)
		data := mustEncode(t, d, pages)
		for ; len(edits) >= 3; edits = edits[3:] {
			data[(int(edits[0])<<8|int(edits[1]))%len(data)] ^= edits[2]
		}
		data = append(data[:len(data)-min(int(cut), len(data))], tail...)
		got, err := readObject(t, d, data)
		if err != nil {
			mustBlame(t, err, replica.Key(0, d.Min, d.Max))
		} else if !samePages(got, pages) {
			t.Error("other pages came out of a changed object")
		}
		store := mem.New()
		mustPutRaw(t, store, replica.Key(0, d.Min, d.Max), data, nil)
		r := replica.New(store)
		if _, err := r.Position(t.Context(), replica.Describe(d)); err != nil {
			mustBlame(t, err, replica.Key(0, d.Min, d.Max))
		}
		mustAgree(t, r, d, got)
	})
}

// readObject reads data as what was written for d.
func readObject(t *testing.T, d replica.Draft, data []byte) (pageMap, error) {
	t.Helper()
	r, err := replica.NewReader(io.NopCloser(bytes.NewReader(data)), replica.Describe(d))
	if err != nil {
		return nil, err
	}
	pages, err := readAll(d, data)
	if err == nil && !r.WrittenFor(d) {
		t.Error("a header that was not written for the object passed")
	}
	return pages, err
}

func mustBlame(t *testing.T, err error, key string) {
	t.Helper()
	if !errors.Is(err, replica.ErrDamaged) || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), key) {
		t.Errorf("got %v, want %v with the name %s", err, replica.ErrDamaged, key)
	}
}

// mustAgree fails unless a reader from a store, found by listing it, gives the
// same answer.
func mustAgree(t *testing.T, r *replica.Replica, d replica.Draft, want pageMap) {
	t.Helper()
	objects, err := r.Objects(t.Context(), 0)
	if err != nil || len(objects) != 1 {
		t.Fatal(objects, err)
	}
	reader, err := r.Open(t.Context(), objects[0])
	if err != nil {
		mustBlame(t, err, objects[0].Key())
		if want != nil {
			t.Errorf("from the store: %v; from memory it was whole", err)
		}
		return
	}
	defer reader.Close()
	if got, err := drain(reader); (err == nil) != (want != nil) || !samePages(got, want) {
		t.Errorf("from the store: %d pages, %v; from memory %d", len(got), err, len(want))
	}
}

// FuzzKeyInAListing holds that whatever is in a store beside the objects, a
// replica lists the objects and nothing else, and never fails because of it.
func FuzzKeyInAListing(f *testing.F) {
	f.Add("ltx/0/0000000000000002-0000000000000002.ltx", "t", "2026-01-02T03:04:05Z")
	f.Add("ltx/0/0000000000000001-0000000000000001.ltx.bak", "holdfastchain", "x")
	f.Add("ltx/9/0000000000000001-00000000000000ff.ltx", "holdfastdigest", "-")
	f.Add("ltx/a", "holdfastwriter", " ")
	f.Fuzz(func(t *testing.T, key, name, value string) {
		store := mem.New()
		r := replica.New(store)
		own := mustPut(t, r, draft(1, 1), numbered(1, 1))
		if _, err := store.Put(t.Context(), key, strings.NewReader("x"), blob.Metadata{name: value}); err != nil {
			return // no store takes it
		}
		objects, err := r.All(t.Context())
		if err != nil && !errors.Is(err, replica.ErrNewerFormat) {
			t.Fatal(err)
		}
		want := []string{own.Key()}
		if _, _, _, err := replica.ParseKey(key); err == nil {
			want = append(want, key)
		}
		var got []string
		for _, o := range objects {
			if got = append(got, o.Key()); o.Min < 1 || o.Max < o.Min {
				t.Errorf("listed %+v", o)
			}
		}
		if err == nil && strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
