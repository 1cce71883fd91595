package restore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/superfly/ltx"
	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/internal/wal"
)

func TestRunRestoresARealDatabase(t *testing.T) {
	source := filepath.Join(t.TempDir(), "source.db")
	app := sqlitetest.Open(t, source, "page_size=1024", "auto_vacuum=incremental")
	h := newHistory(t, 1024)
	for _, statement := range []string{
		"CREATE TABLE a (id INTEGER PRIMARY KEY, b BLOB)",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<300) INSERT INTO a SELECT i, randomblob(500) FROM n",
		"UPDATE a SET b = randomblob(700) WHERE id % 7 = 0",
		"DELETE FROM a WHERE id > 40",
		"PRAGMA incremental_vacuum", // the file shrinks
		"WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i+1 FROM n WHERE i<200) INSERT INTO a SELECT i, randomblob(900) FROM n",
	} {
		sqlitetest.Exec(t, app, statement)
		h.ship(sqlitetest.Truth(t, source), false)
	}
	if sizes := [2]int{len(h.states[4]), len(h.states[5])}; sizes[1] >= sizes[0] {
		t.Fatalf("the database has not shrunk: %d bytes", sizes)
	}
	for txid := ltx.TXID(1); txid <= h.head(); txid++ {
		out := filepath.Join(t.TempDir(), "out.db")
		got, all := h.mustRestore(restore.Options{Output: out, Target: plan.Target{TXID: txid}, Superseded: true})
		sqlitetest.Same(t, got, h.states[txid], 1024)
		if all.Objects != int(txid) {
			t.Errorf("TXID %d: %d objects, want all", txid, all.Objects)
		}
		got, result := h.mustRestore(restore.Options{Output: out, Target: plan.Target{TXID: txid}, Force: true})
		sqlitetest.Same(t, got, h.states[txid], 1024)
		if result.TXID != txid || !result.Created.Equal(at(txid)) || result.Bytes != int64(len(got)) ||
			result.PageSize != 1024 || int(result.Pages) != len(got)/1024 || result.Objects == 0 || result.Objects > int(txid) || result.Fetched == 0 {
			t.Errorf("result %+v of TXID %d", result, txid)
		}
		restored := sqlitetest.Open(t, out)
		var verdict, mode string
		if err := restored.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
			t.Errorf("TXID %d: %s, %v", txid, verdict, err)
		}
		if err := restored.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
			t.Errorf("TXID %d: journal mode %s, %v", txid, mode, err)
		}
	}
}

// Law: whatever was shipped, merged and removed, a restore gives the state that
// was asked for, or an error and nothing.
func TestRunGivesTheStateOrAnError(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(t, 512)
		for n := rapid.IntRange(1, 8).Draw(rt, "transactions"); n > 0; n-- {
			h.ship(drawState(rt, h), rapid.IntRange(0, 5).Draw(rt, "resync") == 0)
		}
		drawMerges(rt, h)
		drawLosses(rt, h)
		want := ltx.TXID(rapid.IntRange(1, int(h.head())).Draw(rt, "target"))
		target := plan.Target{TXID: want}
		if rapid.Bool().Draw(rt, "by time") {
			target = plan.Target{At: at(want).Add(time.Nanosecond)}
		}
		dir := t.TempDir()
		out := filepath.Join(dir, "out.db")
		result, err := restore.Run(t.Context(), h.replica, restore.Options{Output: out, Target: target})
		if err != nil {
			assertFiles(t, dir)
			return
		}
		if result.TXID > want || (target.TXID != 0 && result.TXID != want) {
			rt.Fatalf("asked for %d, got %d", want, result.TXID)
		}
		if !bytes.Equal(mustRead(t, out), h.states[result.TXID]) {
			rt.Fatalf("TXID %d is not what it was", result.TXID)
		}
		assertFiles(t, dir, "out.db")
	})
}

// drawState draws a successor of the newest state: some pages changed, the file
// longer or shorter.
func drawState(rt *rapid.T, h *history) []byte {
	commit := uint32(rapid.IntRange(1, 12).Draw(rt, "commit"))
	version := byte(h.head() + 1)
	next := image(h.pageSize, commit, version)
	last := h.states[h.head()]
	for pgno := uint32(2); pgno <= commit && int(pgno*h.pageSize) <= len(last); pgno++ {
		page := next[(pgno-1)*h.pageSize : pgno*h.pageSize]
		switch rapid.IntRange(0, 3).Draw(rt, "page") {
		case 0: // changed
		case 1:
			clear(page)
		default:
			copy(page, last[(pgno-1)*h.pageSize:])
		}
	}
	return next
}

func drawMerges(rt *rapid.T, h *history) {
	for level := range 3 {
		lo := ltx.TXID(rapid.IntRange(1, int(h.head())).Draw(rt, "from"))
		hi := ltx.TXID(rapid.IntRange(int(lo), int(h.head())).Draw(rt, "to"))
		h.merge(level+1, lo, hi)
	}
	if rapid.Bool().Draw(rt, "snapshot") {
		h.merge(9, 1, ltx.TXID(rapid.IntRange(1, int(h.head())).Draw(rt, "snapshot at")))
	}
}

func drawLosses(rt *rapid.T, h *history) {
	for n := rapid.IntRange(0, 4).Draw(rt, "losses"); n > 0; n-- {
		txid := ltx.TXID(rapid.IntRange(1, int(h.head())).Draw(rt, "lost"))
		h.remove(0, txid, txid)
	}
}

func TestRunNamesWhatIsWrong(t *testing.T) {
	flip := func(b []byte) []byte { b[len(b)/2] ^= 0x20; return b }
	cut := func(b []byte) []byte { return b[:len(b)-20] }
	for _, tc := range []struct {
		name    string
		spoil   func(*history)
		target  plan.Target
		wantErr error
		words   []string
	}{
		{"nothing there", func(h *history) {
			for n := ltx.TXID(1); n <= 3; n++ {
				h.remove(0, n, n)
			}
		}, plan.Target{}, plan.ErrEmpty, []string{"the latest state", "check the replica's URL"}},
		{"an object is damaged", func(h *history) { h.edit(0, 2, 2, flip) }, plan.Target{TXID: 2},
			replica.ErrDamaged, []string{"ltx/0/0000000000000002-0000000000000002.ltx", "--txid"}},
		{"an object is cut", func(h *history) { h.edit(0, 3, 3, cut) }, plan.Target{},
			replica.ErrDamaged, []string{"ltx/0/0000000000000003-0000000000000003.ltx"}},
		{"an object is missing", func(h *history) { h.remove(0, 2, 2) }, plan.Target{},
			plan.ErrGap, []string{"0000000000000002", "last state before the gap is 0000000000000001", "--txid"}},
		{"a TXID that does not exist", func(*history) {}, plan.Target{TXID: 9},
			plan.ErrTarget, []string{"TXID 0000000000000009", "after the last, 0000000000000003"}},
		{"a time before all", func(*history) {}, plan.Target{At: epoch},
			plan.ErrTarget, []string{"the state before 2026-03-01T12:00:00Z"}},
		{"another page size in between", func(h *history) {
			h.remove(0, 3, 3)
			h.pageSize = 1024
			h.put(0, 3, 3, []uint32{1, 2}, image(1024, 2, 1))
		}, plan.Target{}, replica.ErrDamaged, []string{"page size 512 before objects with 1024"}},
		{"a page that was never shipped", func(h *history) {
			h.remove(0, 3, 3)
			h.put(0, 3, 3, []uint32{1, 5}, image(512, 5, 3))
		}, plan.Target{}, restore.ErrUnsound, []string{"page 4 of 5"}},
		{"not a database", func(h *history) {
			h.remove(0, 3, 3)
			h.put(0, 3, 3, []uint32{1}, bytes.Repeat([]byte{'x'}, 512*3))
		}, plan.Target{}, restore.ErrUnsound, []string{"header of SQLite"}},
		{"the header has another page size", func(h *history) {
			h.remove(0, 3, 3)
			h.put(0, 3, 3, []uint32{1}, append(header(65536, 3), make([]byte, 512*3-100)...))
		}, plan.Target{}, restore.ErrUnsound, []string{"page size of 65536"}},
		{"the header has more pages", func(h *history) {
			h.remove(0, 3, 3)
			h.put(0, 3, 3, []uint32{1}, append(header(512, 4), make([]byte, 512*3-100)...))
		}, plan.Target{}, restore.ErrUnsound, []string{"4 pages, the objects 3"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHistory(t, 512)
			for version := byte(1); version <= 3; version++ {
				h.ship(image(512, 3, version), false)
			}
			tc.spoil(h)
			for _, superseded := range []bool{false, true} {
				dir := t.TempDir()
				out := filepath.Join(dir, "out.db")
				_, err := restore.Run(t.Context(), h.replica, restore.Options{Output: out, Target: tc.target, Superseded: superseded})
				if !errors.Is(err, tc.wantErr) {
					t.Fatalf("superseded ones read %v: error %v, want %v", superseded, err, tc.wantErr)
				}
				for _, word := range append(tc.words, out) {
					if !strings.Contains(err.Error(), word) {
						t.Errorf("superseded ones read %v: %q does not say %q", superseded, err, word)
					}
				}
				assertFiles(t, dir)
			}
		})
	}
}

// A put whose answer was lost may have cut off a page of which the changeset
// that was made beside it knows nothing. Applied one by one or merged, the
// objects must give the same.
func TestRunGivesThePageThatWasCutOffInBetween(t *testing.T) {
	h := newHistory(t, 512)
	h.ship(image(512, 3, 1), true)
	h.put(0, 2, 2, []uint32{1}, image(512, 2, 2))
	want := append(image(512, 3, 3)[:512], h.states[1][512:]...)
	h.put(0, 3, 3, []uint32{1}, want)
	got, _ := h.mustRestore(restore.Options{Output: filepath.Join(t.TempDir(), "out.db")})
	sqlitetest.Same(t, got, want, 512)

	h.put(1, 2, 3, []uint32{1}, want) // as a merge of the last two is
	h.remove(0, 2, 2)
	got, _ = h.mustRestore(restore.Options{Output: filepath.Join(t.TempDir(), "out.db")})
	sqlitetest.Same(t, got, want, 512)
}

// SQLite lets a file be longer than its header says, and old versions leave the
// number of pages in it untouched.
func TestRunTakesAHeaderThatCountsFewerPages(t *testing.T) {
	h := newHistory(t, 512)
	longer := image(512, 4, 1)
	copy(longer, header(512, 3))
	h.ship(longer, true)
	old := image(512, 2, 1)
	copy(old, header(512, 99))
	old[92+3] = 1 // counted at another change
	h.ship(old, true)
	for txid := ltx.TXID(1); txid <= 2; txid++ {
		got, _ := h.mustRestore(restore.Options{Output: filepath.Join(t.TempDir(), "out.db"), Target: plan.Target{TXID: txid}})
		sqlitetest.Same(t, got, h.states[txid], 512)
	}
}

func TestRunEndsWhenItsContextDoes(t *testing.T) {
	h := newHistory(t, 512)
	for version := byte(1); version <= 5; version++ {
		h.ship(image(512, 3, version), false)
	}
	for stop := 1; stop <= 5; stop++ {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		_, err := restore.Run(ctx, h.replica, restore.Options{
			Output:     filepath.Join(dir, "out.db"),
			Superseded: true,
			Progress:   func(p restore.Progress) { cancelAt(p, stop, cancel) },
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled at object %d: %v, want %v", stop, err, context.Canceled)
		}
		assertFiles(t, dir)
		cancel()
	}
}

// TestACancelledRestoreGivesUpWhatWasNotAsked cancels while most of a large object waits
// for its place in memory.
func TestACancelledRestoreGivesUpWhatWasNotAsked(t *testing.T) {
	h := newHistory(t, 4096)
	state := make([]byte, 4096*6000)
	for i := range state { // does not compress
		state[i] = byte(uint64(i) * 0x9e3779b97f4a7c15 >> 40)
	}
	copy(state, header(4096, 6000))
	h.ship(state, true)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := restore.Run(ctx, h.replica, restore.Options{Output: filepath.Join(dir, "out.db"), Progress: func(restore.Progress) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	assertFiles(t, dir)
}

func cancelAt(p restore.Progress, objects int, cancel func()) {
	if p.Objects == objects {
		cancel()
	}
}

func TestRunTellsItsProgress(t *testing.T) {
	h := newHistory(t, 4096)
	state := make([]byte, 4096*1500)
	for i := range state { // does not compress
		state[i] = byte(uint64(i) * 0x9e3779b97f4a7c15 >> 40)
	}
	copy(state, header(4096, 1500))
	h.ship(state, true)
	h.ship(image(4096, 1500, 1), false)
	var told []restore.Progress
	_, result := h.mustRestore(restore.Options{
		Output:   filepath.Join(t.TempDir(), "out.db"),
		Progress: func(p restore.Progress) { told = append(told, p) },
	})
	if result.Fetched < 3<<20 || len(told) < 3 {
		t.Fatalf("told %d times for %d bytes", len(told), result.Fetched)
	}
	for i := 1; i < len(told); i++ {
		if told[i].Bytes < told[i-1].Bytes || told[i].Objects < told[i-1].Objects {
			t.Errorf("%+v after %+v", told[i], told[i-1])
		}
	}
	last := told[len(told)-1]
	if last.Objects != 2 || last.ObjectsTotal != 2 || last.Bytes != last.BytesTotal || last.Bytes != result.Fetched {
		t.Errorf("at the end %+v, fetched %d", last, result.Fetched)
	}
}

// TestADiskWithoutRoomIsSaidFirst restores a database that has grown beyond all
// disks by its last object.
func TestADiskWithoutRoomIsSaidFirst(t *testing.T) {
	h := newHistory(t, 65536)
	h.ship(image(65536, 2, 1), true)
	const commit = 1<<32 - 1
	d := replica.Draft{Min: 2, Max: 2, Created: at(2), Writer: writer, Position: wal.Position{PageSize: 65536, Commit: commit}}
	mustPut(t, h.replica, d, func(emit func(uint32, []byte) error) error { return emit(1, image(65536, 1, 2)) })
	dir := t.TempDir()
	_, err := restore.Run(t.Context(), h.replica, restore.Options{Output: filepath.Join(dir, "out.db")})
	if !errors.Is(err, restore.ErrNoSpace) || !strings.Contains(err.Error(), dir+" has ") || !strings.Contains(err.Error(), fmt.Sprint(int64(commit)*65536)) {
		t.Errorf("got %v, want %v, the directory and the bytes", err, restore.ErrNoSpace)
	}
	assertFiles(t, dir)
}

// TestAnObjectOfAnotherHistoryIsNoticed puts a sound object of another database in
// the place of one with the same TXID.
func TestAnObjectOfAnotherHistoryIsNoticed(t *testing.T) {
	h, other := newHistory(t, 512), newHistory(t, 512)
	for i := range 3 {
		h.ship(image(512, 4, byte(i)), false)
		other.ship(image(512, 4, byte(10+i)), false)
	}
	body, err := other.store.Get(t.Context(), replica.Key(0, 2, 2), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	h.edit(0, 2, 2, func([]byte) []byte { return foreign })
	out := filepath.Join(t.TempDir(), "out.db")
	_, err = restore.Run(t.Context(), h.replica, restore.Options{Output: out, Target: plan.Target{TXID: 2}})
	if !errors.Is(err, restore.ErrUnsound) || !strings.Contains(err.Error(), "digest") {
		t.Errorf("got %v, want that the digest is another", err)
	}
	assertFiles(t, filepath.Dir(out))
}
