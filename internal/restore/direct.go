package restore

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/holdfast-db/holdfast/internal/replica"
)

// directBytes is from which length on writing past the page cache pays.
const directBytes = 64 << 10

// direct writes to a file past the system's page cache, some pieces at a time. A restored
// database fills as much of that as it is long, which costs more than all else that a
// restore does where the memory is not at hand yet, and drives out what other programs
// have there.
type direct struct {
	file    directFile    // nil where the filesystem has no such way
	refused atomic.Bool   // the filesystem wants something else than others do
	slots   chan struct{} // of those under way
	pieces  sync.WaitGroup
	failed  atomic.Pointer[error] // the first
}

type directFile interface {
	io.WriterAt
	io.Closer
}

// directWrites is how many pieces are on their way to the disk at once.
const directWrites = 4

func newDirect(file directFile) *direct {
	return &direct{file: file, slots: make(chan struct{}, directWrites)}
}

// takes tells whether data may go this way to offset at.
func (d *direct) takes(data []byte, at int64) bool {
	if d.file == nil || len(data) < directBytes || d.refused.Load() {
		return false
	}
	start := int64(uintptr(unsafe.Pointer(unsafe.SliceData(data))))
	return (start|at|int64(len(data)))%replica.Alignment == 0
}

// write writes data, which takes has allowed, to offset at, or else to other; it calls
// done when it has. What failed is found out by the next write, or by wait.
func (d *direct) write(data []byte, at int64, other io.WriterAt, done func()) error {
	d.slots <- struct{}{}
	d.pieces.Go(func() {
		defer done()
		defer func() { <-d.slots }()
		_, err := d.file.WriteAt(data, at)
		if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EOPNOTSUPP) {
			d.refused.Store(true)
			_, err = other.WriteAt(data, at)
		}
		if err != nil {
			d.failed.CompareAndSwap(nil, &err)
		}
	})
	return d.err()
}

func (d *direct) err() error {
	if err := d.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// wait returns when all pieces are written.
func (d *direct) wait() error {
	d.pieces.Wait()
	return d.err()
}

// close ends the writing when all pieces are written.
func (d *direct) close() error {
	err := d.wait()
	if d.file == nil {
		return err
	}
	err = errors.Join(err, d.file.Close())
	d.file = nil
	return err
}
