package replica_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/superfly/ltx"
	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/replica"
)

func TestHead(t *testing.T) {
	for _, tc := range []struct {
		name      string
		shipped   span       // TXIDs on level 0
		snapshots []ltx.TXID // N of 1-N on level 9
		hint      ltx.TXID
		want      string
		stats     int // at most
		lists     int
		looks     int // for merges, at most
	}{
		{"without a hint", span{1, 9}, nil, 0, "0:9", 0, 1, 0},
		{"the hint is the head", span{1, 9}, nil, 9, "0:9", 3, 0, 2},
		{"one more than the hint", span{1, 10}, nil, 9, "0:10", 5, 0, 2},
		{"five more", span{1, 14}, nil, 9, "0:14", 8, 0, 2},
		{"a thousand more", span{1, 1009}, nil, 9, "0:1009", 22, 0, 4},
		{"the hint has expired, what followed has not", span{10, 14}, nil, 9, "0:14", 8, 0, 2},
		{"the hint and what followed have expired", span{30, 34}, nil, 9, "0:34", 4, 1, 0},
		{"the hint was never there", span{1, 9}, nil, 40, "0:9", 4, 1, 0},
		{"a snapshot of the head is no other head", span{1, 9}, []ltx.TXID{9}, 0, "0:9", 0, 1, 0},
		{"a snapshot of the head with a hint", span{1, 9}, []ltx.TXID{9}, 9, "0:9", 3, 0, 2},
		{"another page size is the head", span{1, 9}, []ltx.TXID{10}, 9, "9:10", 7, 1, 0},
		{"another page size is the head and the hint", span{1, 9}, []ltx.TXID{10}, 10, "9:10", 4, 1, 0},
		{"another page size is the head, without a hint", span{1, 9}, []ltx.TXID{10}, 0, "9:10", 0, 1, 0},
		{"two page sizes in a row", span{1, 9}, []ltx.TXID{10, 11}, 9, "9:11", 8, 1, 0},
		{"only a snapshot", span{}, []ltx.TXID{5}, 0, "9:5", 0, 1, 0},
		{"only a snapshot, with a hint", span{}, []ltx.TXID{5}, 5, "9:5", 4, 1, 0},
		{"a snapshot at the hint, and level 0 beyond it merged away", span{15, 15}, []ltx.TXID{5}, 5, "0:15", 4, 1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newCountingStore()
			tc.shipped.put(t, s)
			for _, n := range tc.snapshots {
				mustPutRaw(t, s, replica.Key(9, 1, n), []byte("x"), nil)
			}
			head, err := replica.New(s).Head(t.Context(), tc.hint)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%d:%d", head.Level, head.Max); got != tc.want {
				t.Errorf("head %s, want %s", got, tc.want)
			}
			if len(s.stats) > tc.stats || s.lists != tc.lists || s.looks > tc.looks || s.gets > 0 {
				t.Errorf("%d stats, %d lists, %d looks, %d gets; want at most %d, %d, %d, none",
					len(s.stats), s.lists, s.looks, s.gets, tc.stats, tc.lists, tc.looks)
			}
		})
	}
}

// Law: with whatever hint, the head is the one that a listing finds.
func TestHeadIsThatOfAListing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newCountingStore()
		first := ltx.TXID(rapid.IntRange(1, 20).Draw(rt, "first"))
		last := first + ltx.TXID(rapid.IntRange(0, 60).Draw(rt, "more"))
		for n := first; n <= last; n++ {
			key := replica.Key(0, n, n)
			if rapid.IntRange(0, 9).Draw(rt, "another page size") == 0 {
				key = replica.Key(9, 1, n)
			}
			mustPutRaw(t, s, key, []byte("x"), nil)
		}
		hint := ltx.TXID(rapid.IntRange(1, 100).Draw(rt, "hint"))
		head, err := replica.New(s).Head(t.Context(), hint)
		if err != nil || head.Max != last {
			rt.Fatalf("%d to %d with hint %d: head %d, %v", first, last, hint, head.Max, err)
		}
	})
}

func TestHeadOfNothing(t *testing.T) {
	for _, hint := range []ltx.TXID{0, 7} {
		if _, err := replica.New(newCountingStore()).Head(t.Context(), hint); !errors.Is(err, replica.ErrEmpty) {
			t.Errorf("hint %d: %v, want %v", hint, err, replica.ErrEmpty)
		}
	}
}

func TestHeadIsNotGuessedWhenTheStoreFails(t *testing.T) {
	s := newCountingStore()
	span{1, 9}.put(t, s)
	s.fail = blob.ErrUnavailable
	if o, err := replica.New(s).Head(t.Context(), 5); !errors.Is(err, blob.ErrUnavailable) || s.lists > 0 {
		t.Errorf("got %+v, %v, %d lists; want %v and no listing", o, err, s.lists, blob.ErrUnavailable)
	}
}

// A merged object may reach further than what is left of level 0, in a replica
// that another program has kept.
func TestHeadOfMergedObjects(t *testing.T) {
	s := newCountingStore()
	span{1, 9}.put(t, s)
	mustPutRaw(t, s, replica.Key(2, 5, 12), []byte("x"), nil)
	head, err := replica.New(s).Head(t.Context(), 0)
	if err != nil || head.Max != 12 {
		t.Errorf("head %d, %v; want 12", head.Max, err)
	}
}

// TestHeadWhereTheNewestWereRemoved has merges of objects that somebody has removed from
// level 0: the head is the last TXID that was ever put.
func TestHeadWhereTheNewestWereRemoved(t *testing.T) {
	for _, merge := range []struct {
		level    int
		min, max ltx.TXID
	}{{1, 94, 101}, {1, 100, 101}, {1, 95, 102}, {2, 38, 101}, {2, 40, 103}, {3, 2, 513}, {3, 2, 101}} {
		s := newCountingStore()
		span{90, 100}.put(t, s)
		mustPutRaw(t, s, replica.Key(1, 86, 93), []byte("x"), nil)
		mustPutRaw(t, s, replica.Key(merge.level, merge.min, merge.max), []byte("x"), nil)
		for _, hint := range []ltx.TXID{90, 99, 100} {
			head, err := replica.New(s).Head(t.Context(), hint)
			if err != nil || head.Max != merge.max {
				t.Errorf("a merge %d-%d on level %d, hint %d: head %d, %v; want %d", merge.min, merge.max, merge.level, hint, head.Max, err, merge.max)
			}
		}
	}
}

// A sleeping program must not take an old TXID for the head because what
// followed it was removed together with it while it looked.
func TestHeadThatIsRemovedMeanwhile(t *testing.T) {
	s := &expiringStore{countingStore: newCountingStore()}
	span{1, 40}.put(t, s)
	s.expire = func() {
		for n := ltx.TXID(1); n <= 30; n++ {
			_ = s.Delete(t.Context(), replica.Key(0, n, n))
		}
	}
	head, err := replica.New(s).Head(t.Context(), 9)
	if err != nil || head.Max != 40 {
		t.Errorf("head %d, %v; want 40", head.Max, err)
	}
}

type span struct{ first, last ltx.TXID }

func (s span) put(t testing.TB, store blob.Store) {
	t.Helper()
	for n := max(s.first, 1); n <= s.last; n++ {
		mustPutRaw(t, store, replica.Key(0, n, n), []byte("x"), nil)
	}
}
