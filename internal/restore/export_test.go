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

func init() {
	firstWait, blockBytes, aheadBytes, noteEvery = time.Millisecond, 1<<20, 5<<20, 1<<20
	listEvery = 200 * time.Millisecond
}

// ChunkPages is the size of the regions that a PageSet is kept in.
const ChunkPages = chunkPages

// PageSet is a pageSet.
type PageSet struct{ set pageSet }

func (s *PageSet) Add(pgno uint32) bool                  { return s.set.add(pgno) }
func (s *PageSet) Has(pgno uint32) bool                  { return s.set.has(pgno) }
func (s *PageSet) FirstMissing(last, skip uint32) uint32 { return s.set.firstMissing(last, skip) }

// LiveCopy is a liveCopy.
type LiveCopy struct{ live *liveCopy }

func OpenCopy(path string) (LiveCopy, error) {
	c, err := openCopy(path)
	return LiveCopy{c}, err
}

func (c LiveCopy) Close() error { return c.live.close() }

// Leave adds frames with pages to the index, and does not publish them.
func (c LiveCopy) Leave(pages []uint32) error {
	return c.live.locked(func() error { return c.live.index.add(c.live.left.Frames, pages) })
}

// Change makes the copy state, all pages of it.
func (c LiveCopy) Change(pageSize uint32, state []byte) error {
	return c.live.change(pageSize, func(write func(uint32, []byte) error) (uint32, error) {
		size := int(pageSize)
		for at := 0; at < len(state); at += size {
			if err := write(uint32(at/size)+1, state[at:at+size]); err != nil {
				return 0, err
			}
		}
		return uint32(len(state) / size), nil
	})
}
