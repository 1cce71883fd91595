package restore_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast/internal/restore"
)

// Law: a PageSet is a set of numbers, of any size, around the borders of its
// chunks and words too.
func TestPageSet(t *testing.T) {
	pgno := rapid.OneOf(
		rapid.Uint32Range(1, 200),
		rapid.Uint32Range(restore.ChunkPages-70, restore.ChunkPages+70),
		rapid.Uint32Range(3*restore.ChunkPages-2, 3*restore.ChunkPages+2),
		rapid.Uint32Range(1<<32-70, 1<<32-1),
	)
	rapid.Check(t, func(t *rapid.T) {
		var s restore.PageSet
		want := map[uint32]bool{}
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			n := pgno.Draw(t, "page")
			if isNew := s.Add(n); isNew == want[n] {
				t.Fatalf("adding %d: new %v", n, isNew)
			}
			want[n] = true
		}
		for range 20 {
			if n := pgno.Draw(t, "asked"); s.Has(n) != want[n] {
				t.Fatalf("has %d: %v", n, s.Has(n))
			}
		}
		for p := range want {
			if !s.Has(p) {
				t.Fatalf("%d is gone", p)
			}
		}
	})
}

func TestFirstMissing(t *testing.T) {
	var s restore.PageSet
	for _, pgno := range []uint32{1, 2, 4, 5} {
		s.Add(pgno)
	}
	for _, tc := range []struct{ last, skip, want uint32 }{
		{2, 99, 0}, {3, 99, 3}, {5, 3, 0}, {6, 3, 6}, {6, 99, 3},
	} {
		if got := s.FirstMissing(tc.last, tc.skip); got != tc.want {
			t.Errorf("of %d without %d: %d, want %d", tc.last, tc.skip, got, tc.want)
		}
	}
}
