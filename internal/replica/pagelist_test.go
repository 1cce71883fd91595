package replica_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// TestASmallObjectNamesItsPages puts objects, lists them, and compares the pages that
// each names with those that it holds.
func TestASmallObjectNamesItsPages(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		commit := uint32(rapid.IntRange(2, 5000).Draw(rt, "commit"))
		want := slices.Sorted(slices.Values(rapid.SliceOfNDistinct(rapid.Uint32Range(1, commit), 0, min(int(commit), 80), rapid.ID).Draw(rt, "pages")))
		if rapid.Bool().Draw(rt, "neighbours") && len(want) > 0 {
			for pgno := want[0]; pgno <= min(commit, want[0]+uint32(rapid.IntRange(0, 1500).Draw(rt, "run"))); pgno++ {
				want = append(want, pgno)
			}
			slices.Sort(want)
			want = slices.Compact(want)
		}
		r := replica.New(mem.New())
		put := mustPut(t, r, draft(7, commit), numbered(7, want...))
		objects, err := r.All(t.Context())
		if err != nil || len(objects) != 1 || objects[0].Pages != put.Pages {
			rt.Fatalf("listed %+v, put %+v, %v", objects, put, err)
		}
		got := objects[0].ListedPages()
		if len(put.Pages) > 256 {
			rt.Fatalf("%d bytes of metadata", len(put.Pages))
		}
		if got == nil && (len(want) == 0 || len(want) > 40) {
			return // none, or too many to name
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("%q names %d, want %d", put.Pages, got, want)
		}
	})
}

func TestAListOfPagesThatIsNoneNamesNothing(t *testing.T) {
	for _, text := range []string{
		"", "0", "x", "1,", ",1", "1-", "-1", "2-1", "3,2", "3,3", "1-2,2", "1 ,2", "+1", "1-4294967295",
		"4294967296", "1-1024,1026", strings.Repeat("1", 300),
	} {
		if got := (replica.Object{Pages: text}).ListedPages(); got != nil {
			t.Errorf("%q names %d", text, got)
		}
	}
	for text, want := range map[string][]uint32{"7": {7}, "1,7-9": {1, 7, 8, 9}, "4294967295": {4294967295}} {
		if got := (replica.Object{Pages: text}).ListedPages(); !slices.Equal(got, want) {
			t.Errorf("%q names %d, want %d", text, got, want)
		}
	}
}
