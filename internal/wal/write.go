package wal

import "encoding/binary"

// NewHeader returns the header of a new generation, in this machine's byte order, as
// SQLite would begin it.
func NewHeader(pageSize, sequence uint32, salts [2]uint32) Header {
	h := Header{BigEndian: BigEndian, PageSize: pageSize, Sequence: sequence, Salts: salts}
	b := h.Bytes()
	h.Chain = checksum(h.BigEndian, [2]uint32{}, b[:24])
	return h
}

// BigEndian tells this machine's byte order.
var BigEndian = binary.NativeEndian.Uint16([]byte{0, 1}) == 1

// Bytes returns h as it stands in a log.
func (h Header) Bytes() [HeaderSize]byte {
	var b [HeaderSize]byte
	magic := uint32(magicLittle)
	if h.BigEndian {
		magic = magicBig
	}
	for i, word := range []uint32{magic, version, h.PageSize, h.Sequence, h.Salts[0], h.Salts[1], h.Chain[0], h.Chain[1]} {
		binary.BigEndian.PutUint32(b[4*i:], word)
	}
	return b
}

// AppendFrame appends the frame that holds data as page, after one whose chain is chain,
// or h's for the first, to b, and returns its own chain. commit is the size of the
// database after it, in pages, if it ends a transaction, else 0.
func (h Header) AppendFrame(b []byte, chain [2]uint32, page, commit uint32, data []byte) ([]byte, [2]uint32) {
	start := len(b)
	for _, word := range []uint32{page, commit, h.Salts[0], h.Salts[1]} {
		b = binary.BigEndian.AppendUint32(b, word)
	}
	chain = Checksum(h.BigEndian, chain, b[start:start+8])
	chain = Checksum(h.BigEndian, chain, data)
	b = binary.BigEndian.AppendUint32(b, chain[0])
	b = binary.BigEndian.AppendUint32(b, chain[1])
	return append(b, data...), chain
}

// Checksum carries the chain c over b, whose length is a multiple of 8. The header of a
// log's index has one too.
func Checksum(bigEndian bool, c [2]uint32, b []byte) [2]uint32 { return checksum(bigEndian, c, b) }
