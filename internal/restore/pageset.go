package restore

// pageSet is a set of page numbers. It needs one bit a page of the regions that
// it has seen, whatever the highest number.
type pageSet struct {
	chunks map[uint32]*chunk
}

const chunkPages = 1 << 16

type chunk [chunkPages / 64]uint64

// add reports whether pgno was not there before.
func (s *pageSet) add(pgno uint32) bool {
	c := s.chunks[pgno/chunkPages]
	if c == nil {
		if s.chunks == nil {
			s.chunks = map[uint32]*chunk{}
		}
		c = new(chunk)
		s.chunks[pgno/chunkPages] = c
	}
	word, bit := &c[pgno%chunkPages/64], uint64(1)<<(pgno%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

// firstMissing returns the lowest number from 1 to last, but for skip, that is
// not in the set; 0 when all are.
func (s *pageSet) firstMissing(last, skip uint32) uint32 {
	for pgno := uint32(1); pgno <= last && pgno != 0; pgno++ {
		if pgno != skip && !s.has(pgno) {
			return pgno
		}
	}
	return 0
}

func (s *pageSet) has(pgno uint32) bool {
	c := s.chunks[pgno/chunkPages]
	return c != nil && c[pgno%chunkPages/64]&(1<<(pgno%64)) != 0
}
