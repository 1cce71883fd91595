package replica_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/wal"
)

func TestEncodeWritesWhatLitestreamReads(t *testing.T) {
	d := atFrame(7, 5, 3, 9)
	d.Created = epoch.Add(1234567 * time.Nanosecond).In(time.FixedZone("", 3600))
	dec := ltx.NewDecoder(bytes.NewReader(mustEncode(t, d, numbered(1, 2, 5))))
	if err := dec.Verify(); err != nil {
		t.Fatal(err)
	}
	want := ltx.Header{
		Version: ltx.Version, Flags: ltx.HeaderFlagNoChecksum, PageSize: pageSize, Commit: 5, MinTXID: 7, MaxTXID: 7,
		Timestamp: epoch.UnixMilli() + 1, WALOffset: wal.FrameOffset(3, pageSize), WALSize: 7 * (24 + pageSize),
		WALSalt1: 0x11111111, WALSalt2: 0x22222222,
	}
	if got := dec.Header(); got != want {
		t.Errorf("header %+v, want %+v", got, want)
	}
	if got := dec.Trailer().PostApplyChecksum; got != 0 {
		t.Errorf("post-apply checksum %v, want none", got)
	}
}

func TestEncodeWithoutALog(t *testing.T) {
	d := draft(1, 2)
	d.Position.Salts = [2]uint32{1, 2} // of a log that has a header only
	d.From = 32
	dec := ltx.NewDecoder(bytes.NewReader(mustEncode(t, d, numbered(1, 1, 2))))
	if err := dec.Verify(); err != nil {
		t.Fatal(err)
	}
	if h := dec.Header(); h.WALOffset != 0 || h.WALSize != 0 || h.WALSalt1 != 0 || h.WALSalt2 != 0 {
		t.Errorf("header %+v speaks of a log", h)
	}
}

func TestEncodeRefuses(t *testing.T) {
	edit := func(d replica.Draft, f func(*replica.Draft)) replica.Draft { f(&d); return d }
	lock := ltx.LockPgno(65536)
	for _, tc := range []struct {
		name  string
		d     replica.Draft
		pages pageMap
		want  string
	}{
		{"all pages but one", draft(1, 3), numbered(1, 1, 2), "2 pages, want all 3"},
		{"a hole in all pages", draft(1, 3), numbered(1, 1, 3), "nonsequential"},
		{"a page beyond the end", draft(2, 3), numbered(1, 4), "out-of-bounds"},
		{"page 0", draft(2, 3), pageMap{0: make([]byte, pageSize)}, "page number required"},
		{"a page of another size", draft(2, 3), pageMap{1: make([]byte, 1024)}, "1024"},
		{"the lock page", edit(draft(2, lock+1), func(d *replica.Draft) { d.Position.PageSize = 65536 }),
			pageMap{lock: make([]byte, 65536)}, "lock page"},
		{"no pages in the database", draft(2, 0), nil, "no pages"},
		{"no page size", edit(draft(2, 3), func(d *replica.Draft) { d.Position.PageSize = 0 }), nil, "page size"},
		{"TXID 0", draft(0, 3), nil, "no such range"},
		{"a range on level 0", edit(draft(2, 3), func(d *replica.Draft) { d.Max = 3 }), nil, "level 0"},
		{"a snapshot not from 1", edit(draft(2, 3), func(d *replica.Draft) { d.Level = 9 }), nil, "level 9"},
		{"level 10", edit(draft(2, 3), func(d *replica.Draft) { d.Level = 10 }), nil, "ltx/10"},
		{"no time", edit(draft(2, 3), func(d *replica.Draft) { d.Created = time.Time{} }), nil, "no time"},
		{"no writer", edit(draft(2, 3), func(d *replica.Draft) { d.Writer = "" }), nil, "writer"},
		{"a short writer", edit(draft(2, 3), func(d *replica.Draft) { d.Writer = "00ff" }), nil, "writer"},
		{"frames from nowhere", edit(atFrame(2, 3, 1, 1), func(d *replica.Draft) { d.From = 0 }), nil, "offset 0"},
		{"frames after their end", atFrame(2, 3, 9, 1), nil, "wal size"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := replica.Encode(io.Discard, tc.d, tc.pages.each)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestEncodeReportsTheWriter(t *testing.T) {
	pages := pageMap{}
	for i := range uint32(300) {
		pages[i+1] = bytes.Repeat([]byte{byte(i), byte(i >> 1), byte(i * 7)}, pageSize/3+1)[:pageSize]
	}
	for limit := range 3 {
		err := replica.Encode(&limitedWriter{n: limit * 1000}, draft(1, 300), pages.each)
		if !errors.Is(err, errBoom) {
			t.Errorf("error %v after %d bytes, want %v", err, limit*1000, errBoom)
		}
	}
}

// The index of a million pages goes to a file, and that file goes even when the
// object is given up at its last page.
func TestEncodeSpillsTheIndexOfManyPages(t *testing.T) {
	if testing.Short() {
		t.Skip("encodes a million pages")
	}
	d := draft(1, 1<<20+2) // the last page will be missing
	d.SpillDir = t.TempDir()
	page := make([]byte, pageSize)
	err := replica.Encode(io.Discard, d, func(emit func(uint32, []byte) error) error {
		for pgno := uint32(1); pgno < d.Position.Commit; pgno++ {
			if err := emit(pgno, page); err != nil {
				return err
			}
		}
		if len(mustReadDir(t, d.SpillDir)) != 1 {
			t.Error("nothing was spilled")
		}
		return nil
	})
	if err == nil {
		t.Error("a missing page was accepted")
	}
	if left := mustReadDir(t, d.SpillDir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

type limitedWriter struct{ n int }

func (w *limitedWriter) Write(p []byte) (int, error) {
	if len(p) > w.n {
		return 0, errBoom
	}
	w.n -= len(p)
	return len(p), nil
}

func mustReadDir(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}
