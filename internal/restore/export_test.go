package restore

import "time"

// For tests of what no caller sees.
var (
	RenameNew     = renameNew
	RenameChecked = renameChecked
)

func init() { firstWait = time.Millisecond }

// ChunkPages is the size of the regions that a PageSet is kept in.
const ChunkPages = chunkPages

// PageSet is a pageSet.
type PageSet struct{ set pageSet }

func (s *PageSet) Add(pgno uint32) bool                  { return s.set.add(pgno) }
func (s *PageSet) Has(pgno uint32) bool                  { return s.set.has(pgno) }
func (s *PageSet) FirstMissing(last, skip uint32) uint32 { return s.set.firstMissing(last, skip) }
