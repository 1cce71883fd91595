package replica

import (
	"encoding/binary"
	"hash/crc64"
)

// checksumTable is that of LTX.
var checksumTable = crc64.MakeTable(crc64.ISO)

// laneBytes is how much of each of four parts of a page is added up before they are
// joined: four sums at a time keep a processor busy, where one waits for itself.
const laneBytes = 512

// laneShift is by what a sum is multiplied for each lane that follows it.
var laneShift = byteTables(shift(laneBytes))

// checksum adds p to sum, that of what came before it.
func checksum(sum uint64, p []byte) uint64 {
	sum = ^sum
	for len(p) >= 4*laneBytes {
		a, b, c, d := addLanes(sum, p[:4*laneBytes])
		sum = laneShift.multiply(laneShift.multiply(laneShift.multiply(a)^b)^c) ^ d
		p = p[4*laneBytes:]
	}
	return crc64.Update(^sum, checksumTable, p)
}

// addLanes returns the sums of the quarters of p, the first of which goes on from sum.
func addLanes(sum uint64, p []byte) (a, b, c, d uint64) {
	pa, pb, pc, pd := p[:laneBytes], p[laneBytes:2*laneBytes], p[2*laneBytes:3*laneBytes], p[3*laneBytes:4*laneBytes]
	a = sum
	for i := 0; i <= laneBytes-8; i += 8 {
		a = add(a ^ binary.LittleEndian.Uint64(pa[i:]))
		b = add(b ^ binary.LittleEndian.Uint64(pb[i:]))
		c = add(c ^ binary.LittleEndian.Uint64(pc[i:]))
		d = add(d ^ binary.LittleEndian.Uint64(pd[i:]))
	}
	return a, b, c, d
}

// add returns t*x^64 modulo the polynomial, which is x^64 + x^4 + x^3 + x + 1: so x^64 is
// x^4 + x^3 + x + 1, and what that moves beyond x^63 is four bits, for which the same
// holds. The highest bit of t is x^0.
func add(t uint64) uint64 {
	over := t<<60 ^ t<<61 ^ t<<63
	t ^= over
	return t ^ t>>1 ^ t>>3 ^ t>>4
}

// tables are the products of a factor and each value of each byte of another.
type tables [8][256]uint64

func byteTables(factor uint64) *tables {
	var t tables
	for i := range t {
		for b := range t[i] {
			t[i][b] = multiply(uint64(b)<<(8*i), factor)
		}
	}
	return &t
}

func (t *tables) multiply(a uint64) uint64 {
	return t[0][byte(a)] ^ t[1][byte(a>>8)] ^ t[2][byte(a>>16)] ^ t[3][byte(a>>24)] ^
		t[4][byte(a>>32)] ^ t[5][byte(a>>40)] ^ t[6][byte(a>>48)] ^ t[7][byte(a>>56)]
}

// joinChecksums returns the checksum of two parts together, the second of which has
// length bytes, so that parts can be added up apart from each other. A checksum is the
// remainder of its part as a polynomial; bytes that follow multiply it by x^8 each.
func joinChecksums(first, second uint64, length int) uint64 {
	return multiply(first, shift(length)) ^ second
}

// shift returns x^(8*length) modulo the polynomial, its highest bit being x^0.
func shift(length int) uint64 {
	product, factor := uint64(1)<<63, uint64(1)<<55
	for ; length > 0; length >>= 1 {
		if length&1 != 0 {
			product = multiply(product, factor)
		}
		factor = multiply(factor, factor)
	}
	return product
}

// multiply returns a*b modulo the polynomial, the highest bit of each being x^0.
func multiply(a, b uint64) (product uint64) {
	for bit := uint64(1) << 63; bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		carry := b & 1
		b >>= 1
		if carry != 0 {
			b ^= crc64.ISO
		}
	}
	return product
}
