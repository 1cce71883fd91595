package wal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/internal/wal"
)

// log is a real log, with the ends of its transactions.
type log struct {
	bytes   []byte
	header  wal.Header
	commits []uint32 // frame numbers
}

// mustLog lets SQLite write a log of n transactions.
func mustLog(t testing.TB, pageSize, n int) log {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	app := sqlitetest.Open(t, path, fmt.Sprintf("page_size=%d", pageSize))
	sqlitetest.Exec(t, app, "PRAGMA wal_autocheckpoint=0")
	sqlitetest.Exec(t, app, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
	for i := range n {
		sqlitetest.Exec(t, app, "INSERT INTO t(v) VALUES (randomblob(?))", i*700)
	}
	b, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	l := log{bytes: b}
	if l.header, err = wal.ReadHeader(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	for i := uint32(1); ; i++ {
		f, whole, err := wal.ReadFrame(bytes.NewReader(b), i, l.header.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		if !whole {
			return l
		}
		if f.Commit != 0 {
			l.commits = append(l.commits, i)
		}
	}
}

func TestScanTakesWholeTransactionsUpToTheEnd(t *testing.T) {
	for _, size := range []int{512, 4096, 65536} {
		l := mustLog(t, size, 8)
		for i, end := range l.commits {
			got, err := wal.Scan(bytes.NewReader(l.bytes), l.header, 0, l.header.Chain, end, 0)
			if err != nil {
				t.Fatalf("page size %d, end %d: %v", size, end, err)
			}
			if got.Frame != end || got.Transactions != int64(i+1) || got.Broken {
				t.Errorf("page size %d: got frame %d after %d transactions (broken: %v), want %d after %d", size, got.Frame, got.Transactions, got.Broken, end, i+1)
			}
			for page, frame := range got.Pages {
				if frame > end {
					t.Errorf("page %d comes from frame %d, beyond the end %d", page, frame, end)
				}
			}
		}
	}
}

func TestScanGoesOnWhereAnotherEnded(t *testing.T) {
	l := mustLog(t, 1024, 10)
	end := l.commits[len(l.commits)-1]
	whole, err := wal.Scan(bytes.NewReader(l.bytes), l.header, 0, l.header.Chain, end, 0)
	if err != nil {
		t.Fatal(err)
	}
	from, chain, steps := uint32(0), l.header.Chain, 0
	pages := make(map[uint32]uint32)
	for from < end {
		part, err := wal.Scan(bytes.NewReader(l.bytes), l.header, from, chain, end, 3)
		if err != nil {
			t.Fatal(err)
		}
		if part.Frame <= from || part.Broken {
			t.Fatalf("after frame %d got %d, broken %v", from, part.Frame, part.Broken)
		}
		for page, frame := range part.Pages {
			pages[page] = frame
		}
		from, chain = part.Frame, part.Chain
		steps++
	}
	if fmt.Sprint(pages) != fmt.Sprint(whole.Pages) || chain != whole.Chain || steps < 3 {
		t.Errorf("in %d steps got %v, want %v", steps, pages, whole.Pages)
	}
}

func TestScanRefuses(t *testing.T) {
	l := mustLog(t, 1024, 6)
	last := l.commits[len(l.commits)-1]
	longest := l.commits[len(l.commits)-2] + 1 // inside the last transaction
	rows := []struct {
		name string
		log  []byte
		end  uint32
		want error
	}{
		{name: "a log that ends early", log: l.bytes[:len(l.bytes)-1], end: last, want: wal.ErrShort},
		{name: "an end that is no commit", log: l.bytes, end: longest, want: wal.ErrCorrupt},
		{name: "a frame for page 0", log: zeroPage(l, 2), end: last, want: wal.ErrCorrupt},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			_, err := wal.Scan(bytes.NewReader(row.log), l.header, 0, l.header.Chain, row.end, 0)
			if !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
		})
	}
}

func zeroPage(l log, frame uint32) []byte {
	b := bytes.Clone(l.bytes)
	binary.BigEndian.PutUint32(b[wal.FrameOffset(frame, l.header.PageSize):], 0)
	return b
}

func TestScanTakesABrokenChainByNumber(t *testing.T) {
	l := mustLog(t, 1024, 6)
	b := bytes.Clone(l.bytes)
	b[wal.FrameOffset(3, 1024)+wal.FrameHeaderSize+100] ^= 1 // what it vouches for is not what is there
	got, err := wal.Scan(bytes.NewReader(b), l.header, 0, l.header.Chain, l.commits[len(l.commits)-1], 0)
	if err != nil || !got.Broken || got.Frame != l.commits[len(l.commits)-1] {
		t.Errorf("got %+v, %v; want all frames, and that the chain is broken", got, err)
	}
}

func TestReadHeaderRefuses(t *testing.T) {
	l := mustLog(t, 4096, 1)
	for n := range wal.HeaderSize {
		if _, err := wal.ReadHeader(bytes.NewReader(l.bytes[:n])); !errors.Is(err, wal.ErrNoHeader) {
			t.Fatalf("of %d bytes: %v", n, err)
		}
		b := bytes.Clone(l.bytes[:wal.HeaderSize])
		b[n] ^= 0x10
		if _, err := wal.ReadHeader(bytes.NewReader(b)); !errors.Is(err, wal.ErrNoHeader) {
			t.Fatalf("with byte %d flipped: %v", n, err)
		}
	}
}

func TestBigEndianChecksumsAreRead(t *testing.T) {
	b := make([]byte, wal.HeaderSize)
	for i, v := range []uint32{0x377f0683, 3007000, 4096, 0, 1, 2} {
		binary.BigEndian.PutUint32(b[4*i:], v)
	}
	var s0, s1 uint32
	for i := 0; i < 24; i += 8 {
		s0 += binary.BigEndian.Uint32(b[i:]) + s1
		s1 += binary.BigEndian.Uint32(b[i+4:]) + s0
	}
	binary.BigEndian.PutUint32(b[24:], s0)
	binary.BigEndian.PutUint32(b[28:], s1)
	if h, err := wal.ReadHeader(bytes.NewReader(b)); err != nil || !h.BigEndian {
		t.Errorf("got %+v, %v", h, err)
	}
}

// FuzzScan holds the law that every committed prefix of a log is a log: what a
// scan takes up to a commit, a longer scan takes as well, whatever follows.
func FuzzScan(f *testing.F) {
	l := mustLog(f, 512, 8)
	f.Add(uint16(3), []byte("garbage behind the end"))
	f.Add(uint16(0), []byte{})
	f.Fuzz(func(t *testing.T, pick uint16, tail []byte) {
		end := l.commits[int(pick)%len(l.commits)]
		want, err := wal.Scan(bytes.NewReader(l.bytes), l.header, 0, l.header.Chain, end, 0)
		if err != nil {
			t.Fatal(err)
		}
		b := append(bytes.Clone(l.bytes[:wal.FrameOffset(end+1, 512)]), tail...)
		got, err := wal.Scan(bytes.NewReader(b), l.header, 0, l.header.Chain, end, 0)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, %v; want %v", got, err, want)
		}
		_, _ = wal.Scan(bytes.NewReader(b), l.header, 0, l.header.Chain, end+3, 0) // must not panic
	})
}
