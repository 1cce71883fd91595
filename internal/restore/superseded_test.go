package restore_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// A history of a snapshot of six pages, and of changes that each write page 2 and one of
// pages 3 to 5, has four objects that hold the newest version of a page.
func hotHistory(t *testing.T) *history {
	h := newHistory(t, 512)
	h.ship(image(512, 6, 1), true)
	for version := byte(2); version <= 40; version++ {
		state := append([]byte(nil), h.states[h.head()]...)
		for _, pgno := range []int{2, 3 + int(version)%3} {
			state[(pgno-1)*512+200] = version
		}
		h.ship(state, false)
	}
	return h
}

func restored(t *testing.T, h *history, opts restore.Options) restore.Result {
	t.Helper()
	opts.Output = filepath.Join(t.TempDir(), "out.db")
	want := h.states[h.head()]
	if opts.Target.TXID != 0 {
		want = h.states[opts.Target.TXID]
	}
	got, result := h.mustRestore(opts)
	sqlitetest.Same(t, got, want, 512)
	return result
}

func TestRunLeavesOutWhatNewerObjectsHave(t *testing.T) {
	h := hotHistory(t)
	for txid := ltx.TXID(1); txid <= h.head(); txid++ {
		target := plan.Target{TXID: txid}
		some := restored(t, h, restore.Options{Target: target})
		all := restored(t, h, restore.Options{Target: target, Superseded: true})
		if want := min(int(txid), 4); some.Objects != want || all.Objects != int(txid) {
			t.Errorf("TXID %d: %d objects and %d in all, want %d and %d", txid, some.Objects, all.Objects, want, txid)
		}
		if txid > 4 && some.Fetched >= all.Fetched || some.Digest != all.Digest {
			t.Errorf("TXID %d: %+v, in all %+v", txid, some, all)
		}
	}
	chain, err := restore.Choose(t.Context(), h.replica, plan.Target{})
	if err != nil || len(chain) != 4 {
		t.Errorf("%d objects are said to be read, %v; want 4", len(chain), err)
	}
}

// A damaged object that the target does not need is named by whoever reads all.
func TestRunDoesWithoutADamagedObjectThatIsNotNeeded(t *testing.T) {
	h := hotHistory(t)
	h.edit(0, 7, 7, func(b []byte) []byte { b[len(b)/2] ^= 0x20; return b })
	restored(t, h, restore.Options{})
	_, err := restore.Run(t.Context(), h.replica, restore.Options{Output: filepath.Join(t.TempDir(), "out.db"), Superseded: true})
	if !errors.Is(err, replica.ErrDamaged) || !strings.Contains(err.Error(), replica.Key(0, 7, 7)) {
		t.Errorf("error %v, want that it names the damaged object", err)
	}
}

func TestRunReadsAllWhereNoDigestTells(t *testing.T) {
	h := hotHistory(t)
	h.describe(h.head(), "holdfastdigest", "")
	if result := restored(t, h, restore.Options{}); result.Objects != int(h.head()) || result.Digested {
		t.Errorf("%+v, want all %d objects", result, h.head())
	}
}

// What an object says of its pages is not true: the digest tells, and all are read.
func TestRunFindsOutAWrongListOfPages(t *testing.T) {
	for name, list := range map[string]string{"too few": "2", "others": "2,5", "none": "x", "backwards": "5,2", "endless": "1-4294967295"} {
		t.Run(name, func(t *testing.T) {
			h := hotHistory(t)
			h.describe(h.head()-1, "holdfastpages", list)
			restored(t, h, restore.Options{})
			h.describe(h.head(), "holdfastpages", "2-6")
			restored(t, h, restore.Options{})
		})
	}
}

// describe gives the object of level 0 for txid another metadata value.
func (h *history) describe(txid ltx.TXID, key, value string) {
	h.t.Helper()
	rewriteObject(h.t, h.store, replica.Key(0, txid, txid), func(data []byte, meta blob.Metadata) []byte {
		if meta[key] = value; value == "" {
			delete(meta, key)
		}
		return data
	})
}
