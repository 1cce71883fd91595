package replica

import (
	"hash/crc64"
	"math/rand/v2"
	"testing"
)

func TestTheChecksumIsThatOfLTX(t *testing.T) {
	random := rand.NewChaCha8([32]byte{})
	data := make([]byte, 70_000)
	_, _ = random.Read(data) // never fails
	table := crc64.MakeTable(crc64.ISO)
	lengths := []int{0, 1, 7, 8, 9, 4 * laneBytes, 4*laneBytes + 1, 8*laneBytes - 1, 65536, 70_000}
	for n := range 4 * laneBytes {
		lengths = append(lengths, n+4*laneBytes)
	}
	for _, n := range lengths {
		sum := random.Uint64()
		if got, want := checksum(sum, data[:n]), crc64.Update(sum, table, data[:n]); got != want {
			t.Fatalf("of %d bytes: got %016x, want %016x", n, got, want)
		}
	}
	for bit := range 64 { // each alone, so that each is moved as it should be
		one := uint64(1) << bit
		if got, want := add(one), multiply(one, shift(8)); got != want {
			t.Errorf("bit %d: got %016x, want %016x", bit, got, want)
		}
	}
}

func BenchmarkChecksum(b *testing.B) {
	page := make([]byte, 4096)
	for _, way := range []struct {
		name string
		add  func(uint64, []byte) uint64
	}{
		{"by lanes", checksum},
		{"by the library", func(sum uint64, p []byte) uint64 { return crc64.Update(sum, checksumTable, p) }},
	} {
		b.Run(way.name, func(b *testing.B) {
			b.SetBytes(int64(len(page)))
			var sum uint64
			for b.Loop() {
				sum = way.add(sum, page)
			}
		})
	}
}
