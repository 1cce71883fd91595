package replica

import "hash/crc64"

// checksumTable is that of LTX.
var checksumTable = crc64.MakeTable(crc64.ISO)

// checksum adds p to sum, that of what came before it.
func checksum(sum uint64, p []byte) uint64 { return crc64.Update(sum, checksumTable, p) }

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
