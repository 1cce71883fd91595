package maintain_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
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
	clock *clock
	store blob.Store
	truth map[ltx.TXID]state
	amid  bool // an expiry was cut off
}

// clock is one that is set.
type clock struct{ nanoseconds atomic.Int64 }

func (c *clock) now() time.Time        { return time.Unix(0, c.nanoseconds.Load()).UTC() }
func (c *clock) set(t time.Time)       { c.nanoseconds.Store(t.UnixNano()) }
func (c *clock) sleep(d time.Duration) { c.nanoseconds.Add(int64(d)) }

func newHistory(t testing.TB) *history {
	t.Helper()
	return historyBehind(t, 0)
}

// historyBehind is one of a writer whose clock is behind the store's.
func historyBehind(t testing.TB, behind time.Duration) *history {
	t.Helper()
	h := &history{clock: &clock{}, truth: map[ltx.TXID]state{0: {}}}
	h.store = mem.NewAt(h.clock.now)
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
		h.clock.set(epoch.Add(time.Duration(txid) * time.Second))
		d := replica.Draft{
			Min: txid, Max: txid, Created: h.clock.now().Add(-behind), Writer: writer,
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
	clock := &clock{}
	to := mem.NewAt(clock.now)
	for info, err := range h.store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		clock.set(info.Modified)
		if _, err := to.Put(t.Context(), info.Key, bytes.NewReader(read(t, h.store, info.Key)), info.Metadata); err != nil {
			t.Fatal(err)
		}
	}
	return &history{clock: clock, store: to, truth: h.truth}
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
	return maintain.Run(ctx, h.options(s, later))
}

func (h *history) options(s blob.Store, later time.Duration) maintain.Options {
	h.clock.set(epoch.Add(puts*time.Second + later))
	return maintain.Options{Replica: replica.New(s), URL: "mem:", Policy: policy, Log: slog.New(slog.DiscardHandler), Now: h.clock.now}
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

func (h *history) maintainOnce(t testing.TB) {
	t.Helper()
	if _, err := h.maintain(t.Context(), h.store, time.Second); err != nil {
		t.Fatal(err)
	}
}
