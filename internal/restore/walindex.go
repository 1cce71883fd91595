package restore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/holdfast-db/holdfast/internal/wal"
)

// What the index of a log, the -shm file, is made of: blocks that each say of some frames
// which page they hold, with a hash table by page. Words are in the machine's byte order.
// https://www.sqlite.org/walformat.html#the_wal_index_file_format
const (
	indexBlock   = 32 << 10                     // bytes
	indexHeaders = 136                          // bytes at the beginning of the first block
	tableOffset  = indexBlock / 2               // of the hash table in a block
	tableSlots   = 8192                         // two bytes each: position in the block, from 1; 0 for none
	blockFrames  = 4096                         // in a block, the first one's headers take the place of some
	firstFrames  = blockFrames - indexHeaders/4 // in the first block
	headerBytes  = 48                           // of each of the two copies of the header
	summedBytes  = headerBytes - 8              // of the header, before its checksum
	indexVersion = 3007000
)

var errIndex = errors.New("the index of the copy's log is not as SQLite makes it")

// index is the index of a log, mapped. What is written needs the log's write lock.
type index struct {
	file *os.File
	data []byte
}

// indexHeader is what the index says of the log.
type indexHeader struct {
	Change uint32 // counts transactions
	Frames uint32 // that are committed
	Pages  uint32 // of the database after them
	Chain  [2]uint32
	Salts  [2]uint32

	pageSize uint32
}

// openIndex maps the index at path, which SQLite has made. The file must stay open as
// long as SQLite has it open in this process, whose locks on it would be lost.
func openIndex(path string) (*index, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	x := &index{file: f}
	return x, x.mapAll(0)
}

// mapAll maps the whole file, and makes it least bytes long first.
func (x *index) mapAll(least int64) error {
	info, err := x.file.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	if size < least {
		size = least
		if err := x.file.Truncate(size); err != nil {
			return err
		}
	}
	if size < indexBlock || size%indexBlock != 0 {
		return fmt.Errorf("%w: %d bytes", errIndex, size)
	}
	if int64(len(x.data)) == size {
		return nil
	}
	data, err := unix.Mmap(int(x.file.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s: %w", x.file.Name(), err)
	}
	old := x.data
	x.data = data
	if old != nil {
		return unix.Munmap(old)
	}
	return nil
}

func (x *index) close() error {
	var err error
	if x.data != nil {
		err = unix.Munmap(x.data)
	}
	return errors.Join(err, x.file.Close())
}

// header reads the header, which must be sound: whoever holds the write lock sees it so.
func (x *index) header() (indexHeader, error) {
	b := x.data[:headerBytes]
	word := func(at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
	h := indexHeader{
		Change: word(8), Frames: word(16), Pages: word(20), Chain: [2]uint32{word(24), word(28)},
		Salts:    [2]uint32{binary.BigEndian.Uint32(b[32:]), binary.BigEndian.Uint32(b[36:])},
		pageSize: unpackSize(binary.NativeEndian.Uint16(b[14:])),
	}
	sum := wal.Checksum(wal.BigEndian, [2]uint32{}, b[:summedBytes])
	if b[12] == 0 || word(0) != indexVersion || sum != [2]uint32{word(40), word(44)} {
		return h, fmt.Errorf("%w: no header", errIndex)
	}
	if h.Frames > 0 && (b[13] != 0) != wal.BigEndian {
		return h, fmt.Errorf("%w: its log is of a machine with another byte order", errIndex)
	}
	return h, nil
}

// publish makes h the header: from here on readers see its frames.
func (x *index) publish(h indexHeader) {
	var b [headerBytes]byte
	put := func(at int, v uint32) { binary.NativeEndian.PutUint32(b[at:], v) }
	put(0, indexVersion)
	put(8, h.Change)
	b[12] = 1
	if wal.BigEndian {
		b[13] = 1
	}
	binary.NativeEndian.PutUint16(b[14:], packSize(h.pageSize))
	put(16, h.Frames)
	put(20, h.Pages)
	put(24, h.Chain[0])
	put(28, h.Chain[1])
	binary.BigEndian.PutUint32(b[32:], h.Salts[0])
	binary.BigEndian.PutUint32(b[36:], h.Salts[1])
	sum := wal.Checksum(wal.BigEndian, [2]uint32{}, b[:summedBytes])
	put(40, sum[0])
	put(44, sum[1])
	barrier()
	copy(x.data[headerBytes:], b[:]) // readers look at the first copy, then at this one
	barrier()
	copy(x.data, b[:])
	barrier()
}

// fence is what barrier writes to.
var fence atomic.Uint32

// barrier keeps the order of what is stored before and after it: Go's atomic operations
// are sequentially consistent.
func barrier() { fence.Add(1) }

// add notes that the frames after number last hold pages. Readers do not see them before
// they are published.
func (x *index) add(last uint32, pages []uint32) error {
	if len(pages) == 0 {
		return nil
	}
	end := last + uint32(len(pages))
	if err := x.mapAll(int64(blockOf(end)+1) * indexBlock); err != nil {
		return err
	}
	x.clearAfter(last)
	for i, page := range pages {
		if err := x.addOne(last+1+uint32(i), page); err != nil {
			return err
		}
	}
	return nil
}

// clearAfter removes what somebody who died has left of frames after number last.
func (x *index) clearAfter(last uint32) {
	if last == 0 {
		return // the block is cleared when its first frame is added
	}
	block, position := place(last)
	b := x.data[block*indexBlock : (block+1)*indexBlock]
	for at := tableOffset; at < indexBlock; at += 2 {
		if uint32(binary.NativeEndian.Uint16(b[at:])) > position {
			binary.NativeEndian.PutUint16(b[at:], 0)
		}
	}
	clear(b[pagesOffset(block)+4*int(position) : tableOffset])
}

func (x *index) addOne(frame, page uint32) error {
	block, position := place(frame)
	b := x.data[block*indexBlock : (block+1)*indexBlock]
	if position == 1 {
		clear(b[pagesOffset(block):])
	}
	binary.NativeEndian.PutUint32(b[pagesOffset(block)+4*int(position-1):], page)
	slot := page * 383 % tableSlots
	for range position {
		if binary.NativeEndian.Uint16(b[tableOffset+2*slot:]) == 0 {
			binary.NativeEndian.PutUint16(b[tableOffset+2*slot:], uint16(position))
			return nil
		}
		slot = (slot + 1) % tableSlots
	}
	return fmt.Errorf("%w: more pages in a table than frames", errIndex)
}

// blockOf returns the block that a frame is in.
func blockOf(frame uint32) uint32 {
	block, _ := place(frame)
	return block
}

// place returns the block that a frame is in, and its position there, from 1.
func place(frame uint32) (block, position uint32) {
	if frame <= firstFrames {
		return 0, frame
	}
	after := frame - firstFrames - 1
	return after/blockFrames + 1, after%blockFrames + 1
}

// pagesOffset is where the numbers of pages begin in a block.
func pagesOffset(block uint32) int {
	if block == 0 {
		return indexHeaders
	}
	return 0
}

// packSize puts a page size into the two bytes that the index has for it.
func packSize(size uint32) uint16 { return uint16(size&0xff00 | size>>16) }

func unpackSize(v uint16) uint32 { return uint32(v)&0xfe00 | uint32(v)&1<<16 }
