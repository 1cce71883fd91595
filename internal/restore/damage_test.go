package restore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/maintain"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/wal"
)

// maintained is a history of a database that grows, shrinks and changes, whose replica
// has objects of three levels and a snapshot.
func maintained(t testing.TB) *history {
	t.Helper()
	var h *history
	now := func() time.Time { return at(h.head()).Add(time.Second) }
	h = newHistoryIn(t, mem.NewAt(now), 512)
	for i := range 22 {
		next := image(512, uint32(6+i%5), byte(i+1))
		last := h.states[h.head()]
		for off := 512; off < len(next) && off < len(last); off += 512 {
			if (off/512+i)%3 != 0 {
				copy(next[off:off+512], last[off:])
			}
		}
		h.ship(next, false)
	}
	h.merge(plan.SnapshotLevel, 1, 12)
	for range 2 {
		_, err := maintain.Run(t.Context(), maintain.Options{
			Replica: h.replica, URL: "mem:", Log: slog.New(slog.DiscardHandler), Now: now,
			Policy: plan.Policy{Window: 18 * time.Second, Level0: 6 * time.Second},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := len(h.objects()); n >= 22 {
		t.Fatalf("nothing was removed: there are %d objects", n)
	}
	return h
}

// copied returns h with a store of its own.
func (h *history) copied() *history {
	h.t.Helper()
	c := newHistoryIn(h.t, mem.New(), h.pageSize)
	c.states = h.states
	for _, o := range h.objects() {
		c.adopt(o.Key(), h.bytes(o.Key()), h.info(o.Key()).Metadata)
	}
	return c
}

func (h *history) objects() []replica.Object {
	h.t.Helper()
	all, err := h.replica.All(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

func (h *history) info(key string) blob.Info {
	h.t.Helper()
	info, err := h.store.Stat(h.t.Context(), key)
	if err != nil {
		h.t.Fatal(err)
	}
	return info
}

func (h *history) bytes(key string) []byte {
	h.t.Helper()
	body, err := h.store.Get(h.t.Context(), key, 0, -1)
	if err != nil {
		h.t.Fatal(err)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

func (h *history) adopt(key string, data []byte, meta blob.Metadata) {
	h.t.Helper()
	if err := h.store.Delete(h.t.Context(), key); err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.store.Put(h.t.Context(), key, bytes.NewReader(data), meta); err != nil {
		h.t.Fatal(err)
	}
}

// swapPages encodes an object anew with two pages in each other's places, as no checksum
// of its own can tell; ok is false for one with fewer than two that differ.
func (h *history) swapPages(o replica.Object) (ok bool) {
	h.t.Helper()
	r, err := h.replica.Open(h.t.Context(), o)
	if err != nil {
		h.t.Fatal(err)
	}
	defer r.Close()
	var numbers []uint32
	var pages [][]byte
	err = r.Pages(func(pgno uint32, data []byte) error {
		numbers, pages = append(numbers, pgno), append(pages, bytes.Clone(data))
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	n := len(pages)
	if n < 3 || bytes.Equal(pages[n-1], pages[n-2]) {
		return false
	}
	pages[n-1], pages[n-2] = pages[n-2], pages[n-1]
	d := replica.Draft{
		Level: o.Level, Min: o.Min, Max: o.Max, Created: o.Created, Writer: writer,
		Position: wal.Position{PageSize: r.PageSize(), Commit: r.Commit()},
	}
	var b bytes.Buffer
	err = replica.Encode(&b, d, func(emit func(uint32, []byte) error) error {
		for i, data := range pages {
			if err := emit(numbers[i], data); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.adopt(o.Key(), b.Bytes(), h.info(o.Key()).Metadata)
	return true
}

// damage is what can happen to an object; it returns the keys that an error may blame,
// none when there was nothing to do.
type damage struct {
	name string
	do   func(h *history, o, other replica.Object) []string
}

var damages = []damage{
	{"deleted", func(h *history, o, _ replica.Object) []string {
		h.remove(o.Level, o.Min, o.Max)
		return []string{o.Key()}
	}},
	{"cut in the header", cutTo(func(n int) int { return 50 })},
	{"cut in the middle", cutTo(func(n int) int { return n / 2 })},
	{"cut at the end", cutTo(func(n int) int { return n - 1 })},
	{"emptied", cutTo(func(int) int { return 0 })},
	{"flipped", func(h *history, o, _ replica.Object) []string {
		h.edit(o.Level, o.Min, o.Max, func(b []byte) []byte { b[len(b)*2/3] ^= 0x10; return b })
		return []string{o.Key()}
	}},
	{"longer", func(h *history, o, _ replica.Object) []string {
		h.edit(o.Level, o.Min, o.Max, func(b []byte) []byte { return append(b, b[:30]...) })
		return []string{o.Key()}
	}},
	{"under the name of the next", func(h *history, o, _ replica.Object) []string {
		next := replica.Key(o.Level, o.Max+1, o.Max+1)
		if o.Level == plan.SnapshotLevel {
			next = replica.Key(o.Level, 1, o.Max+1)
		}
		if _, err := h.store.Stat(h.t.Context(), next); err == nil {
			return nil
		}
		h.adopt(next, h.bytes(o.Key()), h.info(o.Key()).Metadata)
		return []string{next}
	}},
	{"under each other's names", func(h *history, o, other replica.Object) []string {
		one, two, meta, others := h.bytes(o.Key()), h.bytes(other.Key()), h.info(o.Key()).Metadata, h.info(other.Key()).Metadata
		h.adopt(o.Key(), two, others)
		h.adopt(other.Key(), one, meta)
		return []string{o.Key(), other.Key()}
	}},
	{"under each other's names, each with its metadata", func(h *history, o, other replica.Object) []string {
		one, two, meta, others := h.bytes(o.Key()), h.bytes(other.Key()), h.info(o.Key()).Metadata, h.info(other.Key()).Metadata
		h.adopt(o.Key(), two, meta)
		h.adopt(other.Key(), one, others)
		return []string{o.Key(), other.Key()}
	}},
	{"two pages swapped inside", func(h *history, o, _ replica.Object) []string {
		if !h.swapPages(o) {
			return nil
		}
		return []string{o.Key()}
	}},
}

func cutTo(length func(int) int) func(*history, replica.Object, replica.Object) []string {
	return func(h *history, o, _ replica.Object) []string {
		h.edit(o.Level, o.Min, o.Max, func(b []byte) []byte { return b[:length(len(b))] })
		return []string{o.Key()}
	}
}

// TestDamageIsNeverRestored does each damage to each object of a maintained replica, and
// asks for each state, and each moment, that could be had before: it is what it was, or
// there is an error that names an object or what is missing, and no file. That the newest
// object was lost nothing in a replica can tell; who asks for the latest state gets the
// one before.
func TestDamageIsNeverRestored(t *testing.T) {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		t.Setenv("TMPDIR", "/dev/shm") // where a sync costs nothing
	}
	sound := maintained(t)
	targets := map[string]plan.Target{"the latest": {}}
	points, _ := plan.Points(replica.Files(sound.objects()))
	for _, p := range points {
		targets["TXID "+p.TXID.String()] = plan.Target{TXID: p.TXID}
		targets["just after "+p.TXID.String()] = plan.Target{At: p.Created.Add(time.Nanosecond)}
	}
	want := make(map[string]ltx.TXID)
	out := filepath.Join(t.TempDir(), "out.db")
	run := func(h *history, target plan.Target) (ltx.TXID, error) {
		defer func() { _ = os.Remove(out) }()
		result, err := restore.Run(context.Background(), h.replica, restore.Options{Output: out, Target: target})
		if err != nil {
			assertFiles(t, filepath.Dir(out))
			return 0, err
		}
		if !bytes.Equal(mustRead(t, out), h.states[result.TXID]) {
			return 0, fmt.Errorf("WRONG: the state of TXID %d is another", result.TXID)
		}
		return result.TXID, nil
	}
	for name, target := range targets {
		txid, err := run(sound, target)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want[name] = txid
	}
	objects := sound.objects()
	levels, refused := map[int]int{}, 0
	for i, o := range objects {
		levels[o.Level]++
		for _, d := range damages {
			h := sound.copied()
			blamed := d.do(h, o, objects[(i+1)%len(objects)])
			if blamed == nil {
				continue
			}
			lostHead := d.name == "deleted" && o.Level == 0 && o.Max == h.head()
			for name, target := range targets {
				got, err := run(h, target)
				switch {
				case err == nil && got == want[name]:
				case err == nil && lostHead && got == h.head()-1:
				case err == nil || strings.HasPrefix(err.Error(), "WRONG"):
					t.Errorf("%s %s: %s gave TXID %d, %v; want %d or an error", o.Key(), d.name, name, got, err, want[name])
				default:
					refused++
					if !names(err, blamed) {
						t.Errorf("%s %s: %s: %v names none of %v", o.Key(), d.name, name, err, blamed)
					}
				}
			}
		}
	}
	if levels[0] < 5 || levels[1] < 2 || levels[plan.SnapshotLevel] < 1 || refused < 100 {
		t.Errorf("objects by level %v, %d refusals: not much was tried", levels, refused)
	}
	t.Logf("objects by level %v, %d refusals", levels, refused)
}

// names tells whether err says which object is to blame, or what is missing.
func names(err error, blamed []string) bool {
	for _, key := range blamed {
		if strings.Contains(err.Error(), key) {
			return true
		}
	}
	return errors.Is(err, plan.ErrGap) || errors.Is(err, plan.ErrTarget) || errors.Is(err, plan.ErrNoSnapshot)
}
