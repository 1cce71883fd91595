// Package wal reads committed transactions out of a SQLite write-ahead log.
//
// It only parses bytes: it takes no locks and never checkpoints. The caller
// must hold a read transaction (see package source) so that SQLite cannot
// restart the log underneath it, and must say how many frames SQLite itself
// counts as committed: a checksum that holds does not make a commit, because a
// writer that died between its last frame and the index leaves whole frames
// behind that SQLite ignores and later overwrites.
//
// Format: https://www.sqlite.org/fileformat2.html#walformat
package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// What a caller decides upon.
var (
	// ErrNoHeader says that the log is empty or its header is not whole: SQLite
	// would treat it as holding nothing.
	ErrNoHeader = errors.New("log has no valid header")

	// ErrShort says that the log ends before a frame that SQLite has committed.
	ErrShort = errors.New("log is shorter than its committed frames")

	// ErrCorrupt says that a frame below the committed end cannot be one.
	ErrCorrupt = errors.New("log is corrupt")
)

// Magic numbers of the header; the lower bit gives the checksum's byte order.
const (
	magicLittle = 0x377f0682
	magicBig    = 0x377f0683
	version     = 3007000
)

// Header is the first part of a log. Two headers that are equal belong to the
// same generation of the log.
type Header struct {
	BigEndian bool // order of the words that the checksum adds up
	PageSize  uint32
	Sequence  uint32 // number of the checkpoint that began this generation
	Salts     [2]uint32
	Chain     [2]uint32 // checksum of the header: the chain begins here
}

// ReadHeader reads and verifies the header of the log in r. ErrNoHeader says
// that there is none.
func ReadHeader(r io.ReaderAt) (Header, error) {
	var b [HeaderSize]byte
	switch n, err := r.ReadAt(b[:], 0); {
	case n == len(b):
	case err == nil || errors.Is(err, io.EOF):
		return Header{}, fmt.Errorf("%w: %d bytes, want %d", ErrNoHeader, n, HeaderSize)
	default:
		return Header{}, fmt.Errorf("read log header: %w", err)
	}
	return parseHeader(b[:])
}

func parseHeader(b []byte) (Header, error) {
	magic := binary.BigEndian.Uint32(b)
	if magic != magicLittle && magic != magicBig {
		return Header{}, fmt.Errorf("%w: magic number %08x", ErrNoHeader, magic)
	}
	if v := binary.BigEndian.Uint32(b[4:]); v != version {
		return Header{}, fmt.Errorf("%w: version %d, want %d", ErrNoHeader, v, version)
	}
	h := Header{
		BigEndian: magic == magicBig,
		PageSize:  binary.BigEndian.Uint32(b[8:]),
		Sequence:  binary.BigEndian.Uint32(b[12:]),
		Salts:     pair(b[16:]),
		Chain:     pair(b[24:]),
	}
	if h.PageSize < 512 || h.PageSize > 65536 || bits.OnesCount32(h.PageSize) != 1 {
		return Header{}, fmt.Errorf("%w: page size %d", ErrNoHeader, h.PageSize)
	}
	if got := checksum(h.BigEndian, [2]uint32{}, b[:24]); got != h.Chain {
		return Header{}, fmt.Errorf("%w: checksum %08x, want %08x", ErrNoHeader, got, h.Chain)
	}
	return h, nil
}

// checksum carries the chain c over b, whose length is a multiple of 8.
func checksum(bigEndian bool, c [2]uint32, b []byte) [2]uint32 {
	s0, s1 := c[0], c[1]
	if bigEndian {
		for ; len(b) >= 8; b = b[8:] {
			s0 += binary.BigEndian.Uint32(b) + s1
			s1 += binary.BigEndian.Uint32(b[4:]) + s0
		}
		return [2]uint32{s0, s1}
	}
	for ; len(b) >= 8; b = b[8:] {
		s0 += binary.LittleEndian.Uint32(b) + s1
		s1 += binary.LittleEndian.Uint32(b[4:]) + s0
	}
	return [2]uint32{s0, s1}
}

// pair reads two words as the format stores them.
func pair(b []byte) [2]uint32 {
	return [2]uint32{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}
}
