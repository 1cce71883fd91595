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
	"github.com/holdfast-db/holdfast/test/damage"
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
		for _, d := range damage.Kinds {
			h := sound.copied()
			blamed, err := d.Do(t.Context(), h.store, o, objects[(i+1)%len(objects)])
			if err != nil {
				t.Fatal(err)
			}
			if blamed == nil {
				continue
			}
			lostHead := d.Name == "deleted" && o.Level == 0 && o.Max == h.head()
			for name, target := range targets {
				got, err := run(h, target)
				switch {
				case err == nil && got == want[name]:
				case err == nil && lostHead && got == h.head()-1:
				case err == nil || strings.HasPrefix(err.Error(), "WRONG"):
					t.Errorf("%s %s: %s gave TXID %d, %v; want %d or an error", o.Key(), d.Name, name, got, err, want[name])
				default:
					refused++
					if !names(err, blamed) {
						t.Errorf("%s %s: %s: %v names none of %v", o.Key(), d.Name, name, err, blamed)
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
