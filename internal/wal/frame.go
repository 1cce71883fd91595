package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Frame is the header of one frame: which page it holds, and how it vouches for
// itself and all frames before it.
type Frame struct {
	Page   uint32
	Commit uint32 // database size in pages after a commit; 0 when the frame is not the last of one
	Salts  [2]uint32
	Chain  [2]uint32 // cumulative over the log's header and all frames up to this one
}

// ReadFrame reads the header of frame n, counted from 1, as it stands in r, and
// tells whether the whole frame is there. It verifies nothing.
func ReadFrame(r io.ReaderAt, n, pageSize uint32) (Frame, bool, error) {
	var b [FrameHeaderSize]byte
	off := FrameOffset(n, pageSize)
	if whole, err := readWhole(r, b[:], off); err != nil || !whole {
		return Frame{}, false, err
	}
	var last [1]byte
	whole, err := readWhole(r, last[:], off+FrameHeaderSize+int64(pageSize)-1)
	return parseFrame(b[:]), whole, err
}

// ReadPage fills page with the content of frame n.
func ReadPage(r io.ReaderAt, n uint32, page []byte) error {
	whole, err := readWhole(r, page, FrameOffset(n, uint32(len(page)))+FrameHeaderSize)
	if err == nil && !whole {
		err = fmt.Errorf("%w: frame %d", ErrShort, n)
	}
	return err
}

// readWhole reads b at off and tells whether there were that many bytes.
func readWhole(r io.ReaderAt, b []byte, off int64) (bool, error) {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return true, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return false, nil
	}
	return false, fmt.Errorf("read log at offset %d: %w", off, err)
}

func parseFrame(b []byte) Frame {
	return Frame{
		Page:   binary.BigEndian.Uint32(b),
		Commit: binary.BigEndian.Uint32(b[4:]),
		Salts:  pair(b[8:]),
		Chain:  pair(b[16:]),
	}
}
