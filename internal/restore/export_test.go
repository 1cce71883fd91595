package restore

import (
	"io"
	"time"
)

// For tests of what no caller sees.
var (
	RenameNew     = renameNew
	RenameChecked = renameChecked
)

// Direct makes restores write large pieces to what open returns for a path, if that is
// not nil, until the function that it returns is called.
func Direct(open func(path string) interface {
	io.WriterAt
	io.Closer
}) (restore func()) {
	was := openDirect
	openDirect = func(path string) direct { return direct{open(path)} }
	return func() { openDirect = was }
}

func init() { firstWait, blockBytes, aheadBytes, noteEvery = time.Millisecond, 1<<20, 5<<20, 1<<20 }

// ChunkPages is the size of the regions that a PageSet is kept in.
const ChunkPages = chunkPages

// PageSet is a pageSet.
type PageSet struct{ set pageSet }

func (s *PageSet) Add(pgno uint32) bool                  { return s.set.add(pgno) }
func (s *PageSet) Has(pgno uint32) bool                  { return s.set.has(pgno) }
func (s *PageSet) FirstMissing(last, skip uint32) uint32 { return s.set.firstMissing(last, skip) }
