package ship_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// change replaces what is stored under key; nil removes it.
func (b *bench) change(key string, how func([]byte) []byte) {
	b.t.Helper()
	info, err := b.store.Stat(b.t.Context(), key)
	if err != nil {
		b.t.Fatal(err)
	}
	body, err := b.store.Get(b.t.Context(), key, 0, -1)
	if err != nil {
		b.t.Fatal(err)
	}
	was, err := io.ReadAll(body)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.store.Delete(b.t.Context(), key); err != nil {
		b.t.Fatal(err)
	}
	if how == nil {
		return
	}
	if _, err := b.store.Put(b.t.Context(), key, bytes.NewReader(how(was)), info.Metadata); err != nil {
		b.t.Fatal(err)
	}
}

// copyTo stores what is under one key under another, too.
func (b *bench) copyTo(from, to string) {
	b.t.Helper()
	info, err := b.store.Stat(b.t.Context(), from)
	if err != nil {
		b.t.Fatal(err)
	}
	body, err := b.store.Get(b.t.Context(), from, 0, -1)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.store.Put(b.t.Context(), to, body, info.Metadata); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) merge(level int, from ...ltx.TXID) {
	b.t.Helper()
	var objects []replica.Object
	for _, txid := range from {
		objects = append(objects, b.mustFind(txid))
	}
	if _, err := b.opts.Replica.Merge(b.t.Context(), level, objects, b.t.TempDir()); err != nil {
		b.t.Fatal(err)
	}
}

func half(data []byte) []byte { return data[:len(data)/2] }

// TestASnapshotNeedsNothingBeforeIt damages a replica of four objects and asks its
// database for a snapshot: the latest state restores from that alone, and what is
// committed next follows it, in this process and in the next.
func TestASnapshotNeedsNothingBeforeIt(t *testing.T) {
	key := func(txid ltx.TXID) string { return replica.Key(0, txid, txid) }
	for _, row := range []struct {
		name   string
		damage func(*bench)
		want   ltx.TXID // of the snapshot
	}{
		{name: "nothing", damage: func(*bench) {}, want: 5},
		{name: "the first object is gone", damage: func(b *bench) { b.change(key(1), nil) }, want: 5},
		{name: "one in the middle is gone", damage: func(b *bench) { b.change(key(3), nil) }, want: 5},
		{name: "one in the middle is cut short", damage: func(b *bench) { b.change(key(3), half) }, want: 5},
		{name: "the newest is empty", damage: func(b *bench) { b.change(key(4), func([]byte) []byte { return nil }) }, want: 5},
		{name: "the newest is gone", damage: func(b *bench) { b.change(key(4), nil) }, want: 4},
		{name: "the newest is gone but for a merge", damage: func(b *bench) { b.merge(1, 3, 4); b.change(key(4), nil) }, want: 5},
		{name: "the newest is under the next name, too", damage: func(b *bench) { b.copyTo(key(4), key(5)) }, want: 6},
	} {
		for _, next := range []bool{false, true} {
			name := row.name
			if next {
				name += ", to the next process"
			}
			t.Run(name, func(t *testing.T) {
				b := newFilled(t)
				for i := range 3 {
					b.insert(i + 1)
					b.mustPass()
				}
				row.damage(b)
				if next {
					b.stop()
					b.start()
				}
				b.snapshotWants(row.want)
				b.insert(1)
				if out := b.mustPass(); out.TXID != row.want+1 {
					t.Errorf("the pass after it put TXID %d, want %d", out.TXID, row.want+1)
				}
				b.mustEqual()
				b.stop()
				b.start()
				b.insert(1)
				if out := b.mustPass(); out.TXID != row.want+2 {
					t.Errorf("the next process put TXID %d, want %d", out.TXID, row.want+2)
				}
				b.mustEqual()
			})
		}
	}
}

// snapshotWants asks for a snapshot, commits something meanwhile, and restores.
func (b *bench) snapshotWants(txid ltx.TXID) {
	b.t.Helper()
	b.insert(2)
	out, err := b.ship.Snapshot(b.t.Context(), txid-1)
	if err != nil {
		b.t.Fatal(err)
	}
	if out.TXID != txid {
		b.t.Errorf("the snapshot has TXID %d, want %d", out.TXID, txid)
	}
	if _, err := b.opts.Replica.Find(b.t.Context(), plan.SnapshotLevel, 1, txid); err != nil {
		b.t.Error(err)
	}
	b.mustEqual()
}

// A snapshot that an attempt has put before its answer was lost is not put again.
func TestASnapshotIsNotPutTwice(t *testing.T) {
	b := newFilled(t)
	b.store.loseAck = true
	if _, err := b.ship.Snapshot(t.Context(), 1); err == nil {
		t.Fatal("the answer was not lost")
	}
	out, err := b.ship.Snapshot(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if out.TXID != 2 || out.Puts != 0 {
		t.Errorf("got %+v, want TXID 2 and nothing put", out)
	}
	if _, err := b.ship.Snapshot(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if _, err := b.opts.Replica.Find(t.Context(), plan.SnapshotLevel, 1, 3); err != nil {
		t.Errorf("a later one that was asked for: %v", err)
	}
	b.mustEqual()
}

// A replica that has lost everything begins as a new one does.
func TestASnapshotOfAnEmptyReplica(t *testing.T) {
	b := newBench(t)
	out, err := b.ship.Snapshot(t.Context(), 0)
	if err != nil || out.TXID != 1 {
		t.Fatalf("got %+v, %v; want TXID 1", out, err)
	}
	if o := b.mustFind(1); o.Level != 0 {
		t.Errorf("it is on level %d, want 0", o.Level)
	}
	b.mustEqual()
}
