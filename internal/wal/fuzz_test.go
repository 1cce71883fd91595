package wal_test

import (
	"bytes"
	"errors"
	"maps"
	"reflect"
	"testing"

	"github.com/holdfast-db/holdfast/internal/wal"
)

// shaped returns a log whose transactions shape describes: each byte is a frame,
// its lower bits the page; one with the highest bit set commits, to a size that is
// the largest page of its transaction and some more. It may be smaller than the
// one before. commits are the numbers of those frames, ascending.
func shaped(shape []byte) (log []byte, commits []uint32) {
	c := newCraft(512)
	largest := uint32(0)
	for i, b := range shape[:min(len(shape), 100)] {
		page := uint32(b&0x0f) + 1
		largest = max(largest, page)
		if b&0x80 == 0 {
			c.frame(page, 0)
			continue
		}
		c.frame(page, largest+uint32(b>>4&7))
		commits = append(commits, uint32(i)+1)
		largest = 0
	}
	return c.Bytes(), commits
}

// FuzzScanOfAnyLog holds three laws for logs of any shape: every committed prefix
// of a log is a log; a scan that stops at a limit and goes on comes to the same as
// one that does not; and of a log with one byte changed none is taken for whole.
func FuzzScanOfAnyLog(f *testing.F) {
	f.Add([]byte{0x81}, uint16(0), uint8(1), uint16(40), byte(1))
	f.Add([]byte{0x01, 0x02, 0x93, 0x04, 0x85, 0x0f, 0x81, 0x81}, uint16(3), uint8(2), uint16(600), byte(0x80))
	f.Add([]byte{0xff, 0x0f, 0x80, 0x8e, 0xf0}, uint16(9), uint8(0), uint16(56), byte(0xff))
	f.Add([]byte{0x01, 0x82}, uint16(0), uint8(3), uint16(9), byte(4))
	f.Add([]byte{0x01, 0x02}, uint16(1), uint8(3), uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, shape []byte, pick uint16, limit uint8, offset uint16, flip byte) {
		log, commits := shaped(shape)
		h, err := wal.ReadHeader(bytes.NewReader(log))
		if err != nil {
			t.Fatal(err)
		}
		if len(commits) == 0 {
			return
		}
		end := commits[int(pick)%len(commits)]
		want := mustScan(t, log, h, end)
		if got := mustScan(t, log[:wal.FrameOffset(end+1, 512)], h, end); !reflect.DeepEqual(got, want) {
			t.Errorf("the log cut at frame %d gives %+v, want %+v", end, got, want)
		}
		if got := scanInParts(t, log, h, end, int(limit)); !reflect.DeepEqual(got, want) {
			t.Errorf("in parts of %d pages: got %+v, want %+v", limit, got, want)
		}
		index, err := wal.Index(bytes.NewReader(log), h, 0, end)
		if err != nil {
			t.Fatal(err)
		}
		for page, frame := range want.Pages {
			if index[page] != frame {
				t.Errorf("page %d: the index says frame %d, the scan %d", page, index[page], frame)
			}
		}
		mustNoticeFlip(t, log, h, end, wal.HeaderSize+int(offset), flip)
	})
}

func mustScan(t *testing.T, log []byte, h wal.Header, end uint32) wal.Changes {
	t.Helper()
	got, err := wal.Scan(bytes.NewReader(log), h, 0, h.Chain, end, 0)
	if err != nil || got.Broken || got.Frame != end {
		t.Fatalf("up to frame %d: got %+v, %v", end, got, err)
	}
	return got
}

// scanInParts adds up what scans with a limit give.
func scanInParts(t *testing.T, log []byte, h wal.Header, end uint32, limit int) wal.Changes {
	t.Helper()
	sum := wal.Changes{Pages: map[uint32]uint32{}, Chain: h.Chain}
	for sum.Frame < end {
		part, err := wal.Scan(bytes.NewReader(log), h, sum.Frame, sum.Chain, end, limit)
		if err != nil || part.Frame <= sum.Frame {
			t.Fatalf("after frame %d: got %+v, %v", sum.Frame, part, err)
		}
		if part.Least < sum.Commit {
			maps.DeleteFunc(sum.Pages, func(page, _ uint32) bool { return page > part.Least })
		}
		if sum.Transactions == 0 || part.Least < sum.Least {
			sum.Least = part.Least
		}
		maps.Copy(sum.Pages, part.Pages)
		sum.Commit, sum.Frame, sum.Chain = part.Commit, part.Frame, part.Chain
		sum.Transactions += part.Transactions
		sum.Broken = sum.Broken || part.Broken
	}
	return sum
}

func mustNoticeFlip(t *testing.T, log []byte, h wal.Header, end uint32, at int, flip byte) {
	t.Helper()
	if flip == 0 || int64(at) >= wal.FrameOffset(end+1, 512) {
		return
	}
	b := bytes.Clone(log)
	b[at] ^= flip
	got, err := wal.Scan(bytes.NewReader(b), h, 0, h.Chain, end, 0)
	if err == nil && !got.Broken {
		t.Errorf("byte %d changed by %02x went unnoticed", at, flip)
	}
	if err != nil && !errors.Is(err, wal.ErrCorrupt) {
		t.Errorf("byte %d changed by %02x: %v", at, flip, err)
	}
}

// FuzzScanOfAnyBytes holds that nothing makes a scan panic, that it fails in the
// two ways it says, and that what it takes ends at a commit and lies before it.
func FuzzScanOfAnyBytes(f *testing.F) {
	log, _ := shaped([]byte{0x01, 0x92, 0x03, 0x84, 0x05})
	f.Add(log, uint32(0), uint32(4), 0)
	f.Add(log, uint32(2), uint32(4), 1)
	noPage := bytes.Clone(log)
	copy(noPage[wal.HeaderSize:], []byte{0, 0, 0, 0})
	f.Add(noPage, uint32(0), uint32(2), 0)
	f.Add(log[wal.HeaderSize:], uint32(4), uint32(1), -1)
	f.Add([]byte{}, uint32(1<<32-1), uint32(1<<32-1), 5)
	f.Add(make([]byte, 2000), uint32(0), uint32(1<<32-1), 5)
	f.Fuzz(func(t *testing.T, b []byte, from, end uint32, limit int) {
		r := bytes.NewReader(b)
		h, err := wal.ReadHeader(r)
		if err != nil {
			if !errors.Is(err, wal.ErrNoHeader) {
				t.Errorf("header: %v", err)
			}
			h = wal.Header{PageSize: 512, Salts: [2]uint32{11, 22}}
		}
		got, err := wal.Scan(r, h, from, h.Chain, end, limit)
		if err != nil {
			if !errors.Is(err, wal.ErrShort) && !errors.Is(err, wal.ErrCorrupt) {
				t.Errorf("scan: %v", err)
			}
			return
		}
		if got.Frame > from {
			last, whole, err := wal.ReadFrame(r, got.Frame, h.PageSize)
			if err != nil || !whole || last.Commit != got.Commit || got.Commit == 0 {
				t.Errorf("frame %d, the last taken, is %+v, whole %v, %v", got.Frame, last, whole, err)
			}
		}
		for page, frame := range got.Pages {
			if page == 0 {
				t.Errorf("frame %d is said to hold page 0", frame)
			}
			if in, whole, err := wal.ReadFrame(r, frame, h.PageSize); err != nil || !whole || in.Page != page || frame <= from || frame > got.Frame {
				t.Errorf("page %d is said to be in frame %d of %d, which is %+v, whole %v, %v", page, frame, got.Frame, in, whole, err)
			}
		}
	})
}
