package wal

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
)

// Changes is what a run of whole transactions did to a database.
type Changes struct {
	Pages        map[uint32]uint32 // page number to the number of the last frame that holds it, but for pages cut off since
	Commit       uint32            // database size in pages after the last transaction
	Least        uint32            // smallest size after any of the transactions: pages beyond it were cut off, or are new
	Frame        uint32            // number of the last frame, a commit
	Chain        [2]uint32         // that frame's
	Transactions int64

	// Broken says that a frame's chain does not follow from the one before it,
	// although SQLite counts both as committed. SQLite up to 3.40 writes such
	// logs when a savepoint is rolled back over frames that had spilled: live
	// readers are fine, recovery after a crash stops there.
	Broken bool
}

// scanBuffer is how much of the log is read at once, in bytes.
const scanBuffer = 256 << 10

// Scan reads the frames after number from, whose chain is chain (the header's
// for 0), up to number end, which must be a commit that SQLite counts as such.
// It stops earlier, at a commit, once it has seen limit pages; 0 is no limit.
func Scan(r io.ReaderAt, h Header, from uint32, chain [2]uint32, end uint32, limit int) (Changes, error) {
	s := scanner{
		header: h,
		chain:  chain,
		done:   Changes{Pages: make(map[uint32]uint32), Frame: from, Chain: chain},
		open:   make(map[uint32]uint32),
	}
	size := int(FrameHeaderSize + h.PageSize)
	buf := make([]byte, max(1, min(scanBuffer/size, int(end-from)))*size)
	for n := from + 1; n <= end; {
		b := buf[:min(len(buf)/size, int(end-n)+1)*size]
		whole, err := readWhole(r, b, FrameOffset(n, h.PageSize))
		if err != nil {
			return Changes{}, err
		}
		if !whole {
			return Changes{}, fmt.Errorf("%w: frame %d of %d is not there", ErrShort, n, end)
		}
		for ; len(b) > 0; b, n = b[size:], n+1 {
			if err := s.take(n, b[:size]); err != nil {
				return Changes{}, err
			}
			if limit > 0 && len(s.done.Pages) >= limit {
				return s.done, nil
			}
		}
	}
	if s.done.Frame != end {
		return Changes{}, fmt.Errorf("%w: frame %d is SQLite's last but not a commit", ErrCorrupt, end)
	}
	return s.done, nil
}

// scanner holds what one Scan has seen.
type scanner struct {
	header Header
	chain  [2]uint32
	done   Changes           // up to the last commit
	open   map[uint32]uint32 // pages of the transaction under way
	broken bool
}

// take adds frame n, whose header and page are b.
func (s *scanner) take(n uint32, b []byte) error {
	f := parseFrame(b)
	if f.Page == 0 {
		return fmt.Errorf("%w: frame %d holds page 0", ErrCorrupt, n)
	}
	unsealed := f.Salts == [2]uint32{} // written to be sealed at the commit, which the fault left out
	if f.Salts != s.header.Salts && !unsealed {
		return fmt.Errorf("%w: frame %d has salts %08x, the log %08x", ErrCorrupt, n, f.Salts, s.header.Salts)
	}
	want := checksum(s.header.BigEndian, s.chain, b[:8])
	want = checksum(s.header.BigEndian, want, b[FrameHeaderSize:])
	if f.Chain != want || unsealed {
		s.broken = true
	}
	s.chain = f.Chain
	s.open[f.Page] = n
	if f.Commit != 0 {
		s.commit(n, f)
	}
	return nil
}

// commit makes the open pages part of what is done. A page that the database
// became too short for is forgotten: should the database grow again without
// writing it, its frame from before need not be what SQLite reads there.
func (s *scanner) commit(n uint32, f Frame) {
	if f.Commit < s.done.Commit {
		maps.DeleteFunc(s.done.Pages, func(page, _ uint32) bool { return page > f.Commit })
	}
	if s.done.Transactions == 0 || f.Commit < s.done.Least {
		s.done.Least = f.Commit
	}
	for page, frame := range s.open {
		if page <= f.Commit { // it may have spilled pages that it cut off itself
			s.done.Pages[page] = frame
		}
	}
	clear(s.open)
	s.done.Commit, s.done.Frame, s.done.Chain = f.Commit, n, f.Chain
	s.done.Transactions++
	s.done.Broken = s.broken
}

// Index maps each page to the last of the frames after number from and up to
// number end that holds it, from the frames' headers alone.
func Index(r io.ReaderAt, h Header, from, end uint32) (map[uint32]uint32, error) {
	pages := make(map[uint32]uint32)
	for n := from + 1; n <= end; n++ {
		page, err := pageOf(r, n, h.PageSize)
		if err != nil {
			return nil, err
		}
		pages[page] = n
	}
	return pages, nil
}

// pageOf returns which page frame n holds.
func pageOf(r io.ReaderAt, n, pageSize uint32) (uint32, error) {
	var b [4]byte
	whole, err := readWhole(r, b[:], FrameOffset(n, pageSize))
	if err == nil && !whole {
		err = fmt.Errorf("%w: frame %d is not there", ErrShort, n)
	}
	return binary.BigEndian.Uint32(b[:]), err
}
