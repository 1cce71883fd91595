package restore_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/file"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
)

// TestAKilledRestoreIsTakenUp kills a restore in the middle of the object with all pages.
// Whatever happened to the replica and to what was left since, the next restore gives
// the state that is asked for, and goes on with what was left where that is of use.
func TestAKilledRestoreIsTakenUp(t *testing.T) {
	for _, row := range []struct {
		name   string
		before func(h *history) // the restore that is killed
		since  func(h *history, left string)
		target ltx.TXID
		fresh  bool // nothing of what was left is of use
	}{
		{name: "nothing"},
		{name: "changes, pages cut off and zeros", since: func(h *history, _ string) {
			h.ship(changed(h, 3, len(h.states[h.head()])-5*4096), false)
			h.ship(zeroed(h, 1<<20, 2<<20), false)
		}},
		{name: "pages added", since: func(h *history, _ string) {
			h.ship(longer(h, 9*4096), false)
		}},
		{name: "pages cut off before and added since", before: func(h *history) {
			h.ship(changed(h, 5, 4<<20), false)
		}, since: func(h *history, _ string) {
			h.ship(longer(h, 2<<20), false)
		}},
		{name: "a merge", since: func(h *history, _ string) {
			h.ship(changed(h, 3, 8<<20), false)
			h.merge(1, 2, h.head())
			for txid := ltx.TXID(2); txid < h.head(); txid++ {
				h.remove(0, txid, txid)
			}
		}},
		{name: "a snapshot", fresh: true, since: func(h *history, _ string) {
			h.merge(plan.SnapshotLevel, 1, h.head())
			h.remove(0, 1, 1)
		}},
		{name: "an earlier target", fresh: true, target: 2},
		{name: "a page of it damaged", fresh: true, since: func(_ *history, left string) {
			flip(t, left, 2<<20)
		}},
		{name: "cut", fresh: true, since: func(_ *history, left string) {
			if err := os.Truncate(left, 1<<20); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "no digest to prove it by", fresh: true, since: func(h *history, _ string) { h.forget(h.head()) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			store := t.TempDir()
			h := largeIn(t, file.New(store), 4096)
			if row.before != nil {
				row.before(h)
			}
			dir := t.TempDir()
			out := filepath.Join(dir, "out.db")
			left := mustKill(t, store, out, 16<<20)
			if row.since != nil {
				row.since(h, left)
			}
			target := row.target
			if target == 0 {
				target = h.head()
			}
			got, result := h.mustRestore(restore.Options{Output: out, Target: plan.Target{TXID: target}})
			if !bytes.Equal(got, h.states[target]) {
				t.Error("what was restored is not what was shipped")
			}
			if fresh := result.Kept == 0; fresh != row.fresh || !fresh && result.Kept < 4<<20 {
				t.Errorf("%d bytes kept of %d", result.Kept, result.Kept+result.Fetched)
			}
			assertFiles(t, dir, "out.db")
		})
	}
}

// TestARestoreUnderWayIsLeftAlone restores to a file while another restore to it is under
// way and has noted how far it is.
func TestARestoreUnderWayIsLeftAlone(t *testing.T) {
	h := large(t, 4096)
	out := filepath.Join(t.TempDir(), "out.db")
	inside := false
	_, err := restore.Run(t.Context(), h.replica, restore.Options{Output: out, Force: true, Progress: func(p restore.Progress) {
		if p.Bytes < 16<<20 || inside {
			return
		}
		inside = true
		got, result := h.mustRestore(restore.Options{Output: out, Force: true})
		if result.Kept != 0 || !bytes.Equal(got, h.states[h.head()]) {
			t.Errorf("%d bytes kept, or another state restored", result.Kept)
		}
	}})
	if err != nil || !inside || !bytes.Equal(mustRead(t, out), h.states[h.head()]) {
		t.Errorf("the one under way: %v", err)
	}
}

// changed returns the newest state with every so manieth page changed, size bytes of it.
func changed(h *history, every, size int) []byte {
	state := bytes.Clone(h.states[h.head()][:size])
	for at := int(h.pageSize) * every; at < size; at += int(h.pageSize) * every {
		state[at]++
	}
	copy(state, header(h.pageSize, uint32(size)/h.pageSize))
	return state
}

// longer returns the newest state with so many bytes more.
func longer(h *history, by int) []byte {
	state := append(bytes.Clone(h.states[h.head()]), bytes.Repeat([]byte{7}, by)...)
	copy(state, header(h.pageSize, uint32(len(state))/h.pageSize))
	return state
}

// zeroed returns the newest state with zeros from one offset to another.
func zeroed(h *history, from, to int) []byte {
	state := bytes.Clone(h.states[h.head()])
	clear(state[from:to])
	return state
}

// forget takes its digest from the object of a TXID.
func (h *history) forget(txid ltx.TXID) {
	h.t.Helper()
	key := replica.Key(0, txid, txid)
	meta := blob.Metadata{}
	for k, v := range h.info(key).Metadata {
		if k != "holdfastdigest" {
			meta[k] = v
		}
	}
	h.adopt(key, h.bytes(key), meta)
}

// mustKill kills a restore when it has read so many bytes, and returns what it left.
func mustKill(t *testing.T, store, out string, bytes int64) (left string) {
	t.Helper()
	cmd := restoring(store, out)
	cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", killVariable, bytes))
	if err := cmd.Run(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("got %v, want that it was killed", err)
	}
	found, err := filepath.Glob(filepath.Join(filepath.Dir(out), ".out.db.holdfast-restore-*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("it left %q, %v", found, err)
	}
	return found[0]
}

func flip(t testing.TB, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x40
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}
