package restore

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"unsafe"

	"github.com/holdfast-db/holdfast/internal/replica"
)

// directBytes is from which length on writing past the page cache pays.
const directBytes = 64 << 10

// direct writes to a file past the system's page cache. A restored database fills as
// much of that as it is long, which costs more than all else that a restore does where
// the memory is not at hand yet, and drives out what other programs have there.
type direct struct {
	file directFile // nil where the filesystem has no such way
}

type directFile interface {
	io.WriterAt
	io.Closer
}

// takes tells whether data may go this way to offset at.
func (d *direct) takes(data []byte, at int64) bool {
	if d.file == nil || len(data) < directBytes {
		return false
	}
	start := int64(uintptr(unsafe.Pointer(unsafe.SliceData(data))))
	return (start|at|int64(len(data)))%replica.Alignment == 0
}

// write writes data, which takes has allowed. done is false where the filesystem wants
// something else than others do; the file is not written to this way again then.
func (d *direct) write(data []byte, at int64) (done bool, err error) {
	_, err = d.file.WriteAt(data, at)
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EOPNOTSUPP) {
		return false, d.close()
	}
	return true, err
}

func (d *direct) close() error {
	if d.file == nil {
		return nil
	}
	err := d.file.Close()
	d.file = nil
	if err != nil {
		return fmt.Errorf("end writing past the page cache: %w", err)
	}
	return nil
}
