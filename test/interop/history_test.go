package interop_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/internal/wal"
)

// history ships the states of a real database to places, and keeps each of them
// as a file.
type history struct {
	t      *testing.T
	dir    string
	states []string // files by TXID; the first is empty
	frame  uint32   // of a made-up log, as headers carry it
}

// kind is how a state is shipped.
type kind int

const (
	changes  kind = iota // the pages that differ, on level 0
	allPages             // a resync: all pages, on level 0
	anew                 // another page size: all pages, on level 9 alone
)

func newHistory(t *testing.T) *history {
	return &history{t: t, dir: t.TempDir(), states: []string{""}}
}

func (h *history) head() ltx.TXID { return ltx.TXID(len(h.states) - 1) }

// at is the time of a state: a minute each.
func at(txid ltx.TXID) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(txid) * time.Minute)
}

// add ships state to places as the next TXID.
func (h *history) add(state []byte, how kind, places ...place) {
	h.t.Helper()
	txid := h.head() + 1
	before := []byte(nil)
	if txid > 1 {
		before = h.mustRead(h.states[txid-1])
	}
	size := pageSizeOf(state)
	h.frame += 3
	d := draft(txid, size, uint32(len(state))/size, h.frame)
	if how == anew {
		d.Level, d.Min = 9, 1
	}
	pages := func(emit func(uint32, []byte) error) error {
		for off := 0; off < len(state); off += int(size) {
			page := state[off : off+int(size)]
			if how == changes && off+len(page) <= len(before) && bytes.Equal(page, before[off:off+len(page)]) {
				continue
			}
			if err := emit(uint32(off/int(size))+1, page); err != nil {
				return err
			}
		}
		return nil
	}
	for _, p := range places {
		mustPut(h.t, p, d, pages)
	}
	path := filepath.Join(h.dir, txid.String())
	if err := os.WriteFile(path, state, 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.states = append(h.states, path)
}

// snapshot writes the newest state as a snapshot too.
func (h *history) snapshot(places ...place) {
	h.t.Helper()
	state := h.mustRead(h.states[h.head()])
	size := pageSizeOf(state)
	d := draft(h.head(), size, uint32(len(state))/size, 0)
	d.Level, d.Min = 9, 1
	for _, p := range places {
		mustPut(h.t, p, d, func(emit func(uint32, []byte) error) error {
			for off := 0; off < len(state); off += int(size) {
				if err := emit(uint32(off/int(size))+1, state[off:off+int(size)]); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func (h *history) mustRead(path string) []byte {
	h.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

// draft describes level 0 at txid, read from a log up to frame.
func draft(txid ltx.TXID, pageSize, commit, frame uint32) replica.Draft {
	d := replica.Draft{
		Min: txid, Max: txid, Created: at(txid), Writer: "00112233445566778899aabbccddeeff",
		Position: wal.Position{PageSize: pageSize, Commit: commit, Frame: frame},
	}
	if frame > 0 {
		d.Position.Salts = [2]uint32{7, 8}
		d.Position.Chain = [2]uint32{frame, 9}
		d.Position.Boot = "5f3c1f3e-0000-4000-8000-000000000001"
		d.From = wal.FrameOffset(max(frame-2, 1), pageSize)
	}
	return d
}

func mustPut(t *testing.T, p place, d replica.Draft, pages replica.Pages) {
	t.Helper()
	if _, err := p.replica.Put(t.Context(), d, pages); err != nil {
		t.Fatal(err)
	}
}

// pageSizeOf reads a database's header.
func pageSizeOf(state []byte) uint32 {
	if size := uint32(binary.BigEndian.Uint16(state[16:])); size != 1 {
		return size
	}
	return ltx.MaxPageSize
}

// orders makes a database whose states are those that a replica must get right.
func (h *history) orders(places ...place) {
	h.t.Helper()
	path := filepath.Join(h.t.TempDir(), "orders.db")
	app := sqlitetest.Open(h.t, path, "page_size=1024", "auto_vacuum=incremental")
	for _, step := range []struct {
		statement string
		how       kind
	}{
		{"CREATE TABLE orders (id INTEGER PRIMARY KEY, note BLOB)", changes},
		{rows(1, 400, 600), changes},
		{"UPDATE orders SET note = randomblob(650) WHERE id % 9 = 0", changes},
		{rows(401, 420, 300), allPages},
		{"DELETE FROM orders WHERE id > 60", changes},
		{"PRAGMA incremental_vacuum", changes}, // the file shrinks
		{rows(500, 600, 900), changes},         // and grows
		{"VACUUM", changes},
		{"DELETE FROM orders WHERE id > 30", allPages},
		{"PRAGMA incremental_vacuum", allPages}, // a resync that is smaller than what was
		{rows(700, 710, 90), changes},
	} {
		sqlitetest.Exec(h.t, app, step.statement)
		h.add(sqlitetest.Truth(h.t, path), step.how, places...)
	}
	h.snapshot(places...)
	sqlitetest.Exec(h.t, app, rows(800, 820, 200))
	h.add(sqlitetest.Truth(h.t, path), changes, places...)
}

// anotherPageSize continues the newest state with other pages.
func (h *history) anotherPageSize(places ...place) {
	h.t.Helper()
	path := filepath.Join(h.t.TempDir(), "orders.db")
	if err := os.WriteFile(path, h.mustRead(h.states[h.head()]), 0o600); err != nil {
		h.t.Fatal(err)
	}
	app := sqlitetest.Open(h.t, path)
	for _, statement := range []string{"PRAGMA journal_mode=DELETE", "PRAGMA page_size=4096", "VACUUM", "PRAGMA journal_mode=WAL"} {
		sqlitetest.Exec(h.t, app, statement)
	}
	h.add(sqlitetest.Truth(h.t, path), anew, places...)
	sqlitetest.Exec(h.t, app, rows(900, 930, 500))
	h.add(sqlitetest.Truth(h.t, path), changes, places...)
}

// rows returns a statement that inserts random notes under the ids from first
// to last.
func rows(first, last, size int) string {
	return fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT %d UNION ALL SELECT i+1 FROM n WHERE i<%d) "+
		"INSERT INTO orders SELECT i, randomblob(%d) FROM n", first, last, size)
}
