package replica_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/superfly/ltx"
	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/digest"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// apply changes a database as an object does.
func (m pageMap) apply(o pageMap, commit uint32) {
	maps.Copy(m, o)
	maps.DeleteFunc(m, func(pgno uint32, _ []byte) bool { return pgno > commit })
}

// digest is that of a database with these pages.
func (m pageMap) digest(commit uint32) digest.Digest {
	sum := digest.Hasher{PageSize: pageSize}
	for pgno, data := range m {
		sum.Add(pgno, data)
	}
	return sum.Digest(commit)
}

// content reads an object.
func content(t testing.TB, r *replica.Replica, o replica.Object) (pages pageMap, commit uint32) {
	t.Helper()
	reader, err := r.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	pages, err = drain(reader)
	if err != nil {
		t.Fatal(err)
	}
	return pages, reader.Commit()
}

// shipped puts n objects that grow, shrink and change a database of at most 12 pages,
// with all pages that come back.
func shipped(t *rapid.T, tb testing.TB, r *replica.Replica, n int) (objects []replica.Object) {
	now := pageMap{}
	commit := uint32(rapid.IntRange(1, 12).Draw(t, "commit"))
	for i := range n {
		txid := ltx.TXID(i + 1)
		before := commit
		if i > 0 && rapid.IntRange(0, 2).Draw(t, "resize") == 0 {
			commit = uint32(rapid.IntRange(1, 12).Draw(t, "commit"))
		}
		var pgnos []uint32
		for p := uint32(1); p <= commit; p++ {
			if i == 0 || p > before || rapid.IntRange(0, 3).Draw(t, "changed") == 0 {
				pgnos = append(pgnos, p)
			}
		}
		d, changed := draft(txid, commit), numbered(uint32(txid), pgnos...)
		now.apply(changed, commit)
		d.Digest = now.digest(commit)
		objects = append(objects, mustPut(tb, r, d, changed))
	}
	return objects
}

// Law: a merge does to any state before it what its objects do one after the other, and
// is of the time, and has the digest, of the last of them.
func TestMergeIsAllOfItsObjects(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := replica.New(mem.New())
		n := rapid.IntRange(2, 12).Draw(rt, "objects")
		all := shipped(rt, t, r, n)
		lo := rapid.IntRange(0, n-1).Draw(rt, "first")
		hi := rapid.IntRange(lo, n-1).Draw(rt, "last")
		level := 1
		if lo == 0 {
			level = plan.SnapshotLevel
		}
		made, err := r.Merge(t.Context(), level, all[lo:hi+1], t.TempDir())
		if err != nil {
			rt.Fatal(err)
		}
		want, got := pageMap{}, pageMap{}
		for i, o := range all[:hi+1] {
			pages, commit := content(t, r, o)
			want.apply(pages, commit)
			if i < lo {
				got.apply(pages, commit)
			}
		}
		pages, commit := content(t, r, made)
		got.apply(pages, commit)
		if !samePages(got, want) {
			rt.Fatalf("%s of %d to %d makes %d pages, want %d, or others", made.Key(), lo+1, hi+1, len(got), len(want))
		}
		found, err := r.Find(t.Context(), level, made.Min, made.Max)
		if err != nil || !found.Created.Equal(all[hi].Created) || found.Digest != all[hi].Digest || found.Writer != writer || found.Size != made.Size {
			rt.Fatalf("got %+v, %v; want the time, digest and writer of %+v", found, err, all[hi])
		}
		if _, err := r.Merge(t.Context(), level, all[lo:hi+1], t.TempDir()); !errors.Is(err, blob.ErrExists) {
			rt.Fatalf("again: %v, want %v", err, blob.ErrExists)
		}
	})
}

// TestMergeComparesTheDigest of what has all pages: objects that are sound each by
// itself, and one of which belongs to another history.
func TestMergeComparesTheDigest(t *testing.T) {
	s := mem.New()
	r := replica.New(s)
	first := mustPut(t, r, draft(1, 3), numbered(1, 1, 2, 3))
	mustPut(t, r, draft(2, 3), numbered(7, 2))
	d := draft(3, 3)
	truth := numbered(1, 1, 2, 3)
	truth.apply(numbered(3, 3), 3)
	d.Digest = truth.digest(3)
	last := mustPut(t, r, d, numbered(3, 3))
	foreign, err := r.Find(t.Context(), 0, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Merge(t.Context(), plan.SnapshotLevel, []replica.Object{first, foreign, last}, t.TempDir())
	if !errors.Is(err, replica.ErrDamaged) || !strings.Contains(err.Error(), last.Key()) {
		t.Errorf("got %v, want damage that names %s", err, last.Key())
	}
	if _, err := r.Find(t.Context(), plan.SnapshotLevel, 1, 3); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("the snapshot: %v, want that there is none", err)
	}
}

// TestMergeReadsLargeObjectsInPieces merges objects of more bytes than are kept of
// each.
func TestMergeReadsLargeObjectsInPieces(t *testing.T) {
	r := replica.New(mem.New())
	const pages = 40_000
	noise := numbered(1, upTo(pages)...)
	seed := uint32(1)
	for _, data := range noise {
		for i := range data { // so that it does not compress
			seed = seed*1664525 + 1013904223
			data[i] = byte(seed >> 24)
		}
	}
	first := mustPut(t, r, draft(1, pages), noise)
	second := mustPut(t, r, draft(2, pages), numbered(2, 7, 39_000))
	if first.Size < 4<<20 {
		t.Fatalf("%d bytes are read at once", first.Size)
	}
	made, err := r.Merge(t.Context(), plan.SnapshotLevel, []replica.Object{first, second}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	got, _ := content(t, r, made)
	noise.apply(numbered(2, 7, 39_000), pages)
	if !samePages(got, noise) {
		t.Error("the merge has other pages")
	}
}

// TestMergeRefusesWhatDoesNotGoOn names the objects.
func TestMergeRefusesWhatDoesNotGoOn(t *testing.T) {
	s := mem.New()
	r := replica.New(s)
	one := mustPut(t, r, draft(1, 3), numbered(1, 1, 2, 3))
	three := mustPut(t, r, draft(3, 3), numbered(3, 2))
	if _, err := r.Merge(t.Context(), 9, []replica.Object{one, three}, ""); err == nil || !strings.Contains(err.Error(), three.Key()) {
		t.Errorf("a gap: %v", err)
	}
	data := mustGet(t, s, three.Key())
	data[len(data)/2] ^= 1
	broken := draft(2, 3)
	mustPutRaw(t, s, replica.Key(0, 2, 2), data, nil)
	two := replica.Describe(broken)
	two.Size = int64(len(data))
	if _, err := r.Merge(t.Context(), 9, []replica.Object{one, two}, ""); !errors.Is(err, replica.ErrDamaged) || !strings.Contains(err.Error(), two.Key()) {
		t.Errorf("a damaged object: %v", err)
	}
	if _, err := r.Find(t.Context(), 9, 1, 2); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("it was merged: %v", err)
	}
}
