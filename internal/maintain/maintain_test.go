package maintain_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/faulty"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/maintain"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/wal"
)

const (
	pageSize = 512
	writer   = "00112233445566778899aabbccddeeff"
	puts     = 110
)

var (
	epoch  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	policy = plan.Policy{Window: 100 * time.Second, Level0: 10 * time.Second}
)

// state is a database: the version of each page.
type state map[uint32]uint32

// history is a replica of puts objects, one a second, and what the database was after
// each.
type history struct {
	store blob.Store
	truth map[ltx.TXID]state
	amid  bool // an expiry was cut off
}

func newHistory(t testing.TB) *history {
	t.Helper()
	h := &history{store: mem.New(), truth: map[ltx.TXID]state{0: {}}}
	r := replica.New(h.store)
	for txid := ltx.TXID(1); txid <= puts; txid++ {
		now, changed := maps.Clone(h.truth[txid-1]), state{}
		commit := uint32(20 + txid%7)
		for p := uint32(1); p <= commit; p++ {
			_, there := now[p]
			if !there || uint64(p)%5 == uint64(txid)%5 {
				changed[p] = uint32(txid)
			}
		}
		maps.Copy(now, changed)
		maps.DeleteFunc(now, func(p, _ uint32) bool { return p > commit })
		h.truth[txid] = now
		d := replica.Draft{
			Min: txid, Max: txid, Created: epoch.Add(time.Duration(txid) * time.Second), Writer: writer,
			Position: wal.Position{PageSize: pageSize, Commit: commit},
		}
		if _, err := r.Put(t.Context(), d, changed.pages); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func (s state) pages(emit func(uint32, []byte) error) error {
	for _, p := range slices.Sorted(maps.Keys(s)) {
		data := make([]byte, pageSize)
		binary.BigEndian.PutUint32(data, s[p])
		if err := emit(p, data); err != nil {
			return err
		}
	}
	return nil
}

// copied returns the history with a store of its own.
func (h *history) copied(t testing.TB) *history {
	t.Helper()
	to := mem.New()
	for info, err := range h.store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := to.Put(t.Context(), info.Key, bytes.NewReader(read(t, h.store, info.Key)), info.Metadata); err != nil {
			t.Fatal(err)
		}
	}
	return &history{store: to, truth: h.truth}
}

func read(t testing.TB, s blob.Store, key string) []byte {
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

func (h *history) keys(t testing.TB) (keys []string) {
	t.Helper()
	for info, err := range h.store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

// maintain runs through a store, some time after the last put.
func (h *history) maintain(ctx context.Context, s blob.Store, later time.Duration) (maintain.Report, error) {
	now := func() time.Time { return epoch.Add(puts*time.Second + later) }
	return maintain.Run(ctx, options(s, now))
}

func options(s blob.Store, now func() time.Time) maintain.Options {
	return maintain.Options{Replica: replica.New(s), URL: "mem:", Policy: policy, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: now}
}

// check restores each state that is kept from the objects that are there, the latest
// among them, and one for each moment of the window.
func (h *history) check(t testing.TB, later time.Duration) {
	t.Helper()
	r := replica.New(h.store)
	all, err := r.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	objects := make(map[plan.File]replica.Object)
	for _, o := range all {
		objects[o.File] = o
	}
	files := replica.Files(all)
	restore := func(target plan.Target) ltx.TXID {
		chain, err := plan.Restore(files, target)
		if errors.Is(err, plan.ErrGap) && !target.At.IsZero() && h.amid {
			return 0 // which may as well have been lost
		}
		if err != nil {
			t.Fatalf("%+v: %v", target, err)
		}
		got := state{}
		for _, f := range chain {
			h.apply(t, r, objects[f], got)
		}
		end := chain[len(chain)-1].Max
		if !maps.Equal(got, h.truth[end]) {
			t.Fatalf("TXID %d by %v: %v, want %v", end, chain, got, h.truth[end])
		}
		return end
	}
	points, _ := plan.Points(files)
	for _, p := range points {
		restore(plan.Target{TXID: p.TXID})
	}
	if end := restore(plan.Target{}); end != puts {
		t.Fatalf("the latest state is that of TXID %d, want %d", end, puts)
	}
	for txid := ltx.TXID(puts); txid >= 1; txid-- {
		age := time.Duration(puts-txid)*time.Second + later
		if age > policy.Window {
			break
		}
		end := restore(plan.Target{At: epoch.Add(time.Duration(txid)*time.Second + time.Millisecond)})
		if end == 0 && age > policy.Level0 {
			continue
		}
		if end > txid || age < policy.Level0 && end != txid || txid-end >= plan.FanIn*plan.FanIn {
			t.Fatalf("the moment of TXID %d, %v ago, restores to %d", txid, age, end)
		}
	}
}

func (h *history) apply(t testing.TB, r *replica.Replica, o replica.Object, to state) {
	t.Helper()
	reader, err := r.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	err = reader.Pages(func(p uint32, data []byte) error {
		to[p] = binary.BigEndian.Uint32(data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(to, func(p, _ uint32) bool { return p > reader.Commit() })
}

// kept maintains h as often as it takes until nothing is left to do.
func (h *history) kept(t testing.TB, later time.Duration) {
	t.Helper()
	for range 5 {
		report, err := h.maintain(t.Context(), h.store, later)
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Merged)+len(report.Expired) == 0 {
			return
		}
	}
	t.Fatal("there is always something left to do")
}

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
	now := func() time.Time { return epoch.Add((puts + 1) * time.Second) }
	o := options(h.store, now)
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
	o := options(h.store, func() time.Time { return epoch.Add(2 * puts * time.Second) })
	o.Keep = true
	report, err := maintain.Run(t.Context(), o)
	if err != nil || len(report.Expired) == 0 {
		t.Errorf("got %+v, %v; want what has expired", report, err)
	}
	if after := h.keys(t); len(after) < len(before) {
		t.Errorf("%d objects of %d are left", len(after), len(before))
	}
}

func (h *history) maintainOnce(t testing.TB) {
	t.Helper()
	if _, err := h.maintain(t.Context(), h.store, time.Second); err != nil {
		t.Fatal(err)
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

// TestASleepingRun has a worker sleep between its last look at the replica and what it
// was about to remove.
func TestASleepingRun(t *testing.T) {
	h := newHistory(t)
	h.maintainOnce(t)
	before := h.keys(t)
	looks := 0
	s := &waking{Store: h.store, onList: func() { looks++ }}
	now := func() time.Time {
		later := time.Second
		if looks >= 2 { // it has been seen that there is something to remove
			later += time.Duration(looks) * 2 * time.Minute
			looks++
		}
		return epoch.Add(puts*time.Second + later)
	}
	report, err := maintain.Run(t.Context(), options(s, now))
	if err != nil {
		t.Fatal(err)
	}
	if after := h.keys(t); len(report.Expired) > 0 || len(after) < len(before) {
		t.Errorf("%d objects were removed", len(report.Expired))
	}
}

type waking struct {
	blob.Store
	onList func()
}

func (s *waking) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	inner := s.Store.List(ctx, prefix)
	return func(yield func(blob.Info, error) bool) {
		inner(yield)
		s.onList()
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
	o := options(h.store, func() time.Time { return epoch.Add(puts * time.Second) })
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
