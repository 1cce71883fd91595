package maintain_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/faulty"
	"github.com/holdfast-db/holdfast/internal/maintain"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/wal"
)

func TestRunMergesAndThenRemoves(t *testing.T) {
	h := newHistory(t)
	first, err := h.maintain(t.Context(), h.store, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Expired) != 0 || len(first.Merged) < puts/8 || first.Objects != puts {
		t.Errorf("the first run merged %d and removed %d of %d objects, want that it merges", len(first.Merged), len(first.Expired), first.Objects)
	}
	h.check(t, time.Second)
	second, err := h.maintain(t.Context(), h.store, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if len(second.Expired) < puts/2 || len(second.Merged) != 0 {
		t.Errorf("the second run merged %d and removed %d objects, want that it removes", len(second.Merged), len(second.Expired))
	}
	h.check(t, time.Second)
	if !slices.Contains(h.keys(t), replica.Key(0, puts, puts)) {
		t.Error("the head is gone")
	}
}

// TestDryRunChangesNothing, and says what a run does.
func TestDryRunChangesNothing(t *testing.T) {
	h := newHistory(t)
	before := h.keys(t)
	o := h.options(h.store, time.Second)
	o.DryRun = true
	would, err := maintain.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if after := h.keys(t); !slices.Equal(before, after) {
		t.Errorf("the replica has other objects: %v", after)
	}
	did, err := h.maintain(t.Context(), h.store, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	ranges := func(files []plan.File) (names []string) {
		for _, f := range files {
			names = append(names, replica.Key(f.Level, f.Min, f.Max))
		}
		return names
	}
	if !slices.Equal(ranges(would.Merged), ranges(did.Merged)) || would.Read == 0 {
		t.Errorf("would merge %v, did %v", ranges(would.Merged), ranges(did.Merged))
	}
}

func TestKeepRemovesNothing(t *testing.T) {
	h := newHistory(t)
	h.maintainOnce(t)
	before := h.keys(t)
	o := h.options(h.store, puts*time.Second)
	o.Keep = true
	report, err := maintain.Run(t.Context(), o)
	if err != nil || len(report.Expired) == 0 {
		t.Errorf("got %+v, %v; want what has expired", report, err)
	}
	if after := h.keys(t); len(after) < len(before) {
		t.Errorf("%d objects of %d are left", len(after), len(before))
	}
}

// halves is a store that dies in the middle of removing.
type halves struct{ blob.Store }

func (s halves) Delete(ctx context.Context, keys ...string) error {
	var some []string
	for i, key := range keys {
		if i%3 == 1 {
			some = append(some, key)
		}
	}
	return errors.Join(s.Store.Delete(ctx, some...), blob.ErrUnavailable)
}

// TestEveryFault lets each request of a run fail in each way, as if the worker died
// there. Nothing that a restore needs is gone then, and the runs that follow come to
// what they would have come to anyway.
func TestEveryFault(t *testing.T) {
	fresh := newHistory(t)
	merged := fresh.copied(t)
	merged.maintainOnce(t)
	points := 0
	for _, start := range []struct {
		name string
		*history
	}{{"merging", fresh}, {"removing", merged}} {
		want := start.copied(t)
		want.kept(t, 2*time.Second)
		for _, f := range []faulty.Fault{{Kind: faulty.Refuse}, {Kind: faulty.LoseAnswer}, {Kind: faulty.BreakOff, After: 60}} {
			for n := 1; ; n++ {
				h := start.copied(t)
				s := faulty.New(h.store)
				s.Set(faulty.Nth(n, f))
				_, err := h.maintain(t.Context(), s, time.Second)
				if len(s.Failed()) == 0 {
					if err != nil {
						t.Fatal(err)
					}
					break
				}
				points++
				if err == nil {
					t.Errorf("%s: nobody said so of %v", start.name, s.Failed())
				}
				if n%7 == 1 || testing.Verbose() {
					h.amid = true
					h.check(t, time.Second)
					h.amid = false
				}
				h.kept(t, 2*time.Second)
				if got, want := h.keys(t), want.keys(t); !slices.Equal(got, want) {
					t.Fatalf("%s, %v: it came to %d objects, want %d", start.name, s.Failed(), len(got), len(want))
				}
			}
		}
	}
	t.Logf("%d points", points)
	if points < 200 {
		t.Errorf("%d points, want 200", points)
	}
}

func TestDeathInTheMiddleOfRemoving(t *testing.T) {
	h := newHistory(t)
	h.maintainOnce(t)
	if _, err := h.maintain(t.Context(), halves{h.store}, time.Second); !errors.Is(err, blob.ErrUnavailable) {
		t.Fatal(err)
	}
	h.amid = true
	h.check(t, time.Second)
	h.kept(t, time.Second)
	h.amid = false
	h.check(t, time.Second)
}

// TestTwoRunsAtOnce start at the same time, on two workers.
func TestTwoRunsAtOnce(t *testing.T) {
	h := newHistory(t)
	want := h.copied(t)
	want.kept(t, time.Second)
	for range 3 {
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if _, err := h.maintain(t.Context(), h.store, time.Second); err != nil {
					t.Errorf("a run beside others: %v", err)
				}
			})
		}
		all.Wait()
		h.check(t, time.Second)
	}
	if got, want := h.keys(t), want.keys(t); !slices.Equal(got, want) {
		t.Errorf("they came to %d objects, want %d", len(got), len(want))
	}
}

// TestDamageKeepsWhatItWasMadeOf damages each merge that takes the place of others: they
// stay, and the run names it.
func TestDamageKeepsWhatItWasMadeOf(t *testing.T) {
	h := newHistory(t)
	h.maintainOnce(t)
	broken := replica.Key(1, 34, 41)
	data := read(t, h.store, broken)
	data[len(data)/2] ^= 1
	info, err := h.store.Stat(t.Context(), broken)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.store.Delete(t.Context(), broken); err != nil {
		t.Fatal(err)
	}
	if _, err := h.store.Put(t.Context(), broken, bytes.NewReader(data), info.Metadata); err != nil {
		t.Fatal(err)
	}
	report, err := h.maintain(t.Context(), h.store, time.Second)
	if !errors.Is(err, replica.ErrDamaged) || !strings.Contains(fmt.Sprint(err), broken) {
		t.Errorf("got %v, want damage of %s", err, broken)
	}
	if len(report.Expired) == 0 {
		t.Error("nothing else was removed")
	}
	keys := h.keys(t)
	for txid := ltx.TXID(34); txid <= 41; txid++ {
		if !slices.Contains(keys, replica.Key(0, txid, txid)) {
			t.Errorf("%d, which it was made of, is gone", txid)
		}
	}
}

// TestASnapshotThatContradictsItsDigestRemovesNothing has one whose content is sound by
// its own checksum, and is not the state that was shipped.
func TestASnapshotThatContradictsItsDigestRemovesNothing(t *testing.T) {
	h := newHistory(t)
	d := replica.Draft{
		Level: plan.SnapshotLevel, Min: 1, Max: 50, Created: epoch.Add(50 * time.Second), Writer: writer,
		Position: wal.Position{PageSize: pageSize, Commit: uint32(len(h.truth[50]))}, Digest: 4711,
	}
	if _, err := replica.New(h.store).Put(t.Context(), d, h.truth[50].pages); err != nil {
		t.Fatal(err)
	}
	o := h.options(h.store, 0)
	o.Policy = plan.Policy{Window: 20 * time.Second, Level0: 10 * time.Second}
	_, err := maintain.Run(t.Context(), o)
	if snapshot := replica.Key(9, 1, 50); !errors.Is(err, replica.ErrDamaged) || !strings.Contains(fmt.Sprint(err), snapshot) {
		t.Errorf("got %v, want damage of %s", err, snapshot)
	}
	for txid := ltx.TXID(1); txid <= 50; txid++ {
		if !slices.Contains(h.keys(t), replica.Key(0, txid, txid)) {
			t.Fatalf("%d is gone", txid)
		}
	}
}
