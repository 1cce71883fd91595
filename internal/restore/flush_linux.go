package restore

import (
	"os"

	"golang.org/x/sys/unix"
)

// flushBytes is how much is written before the disk is set to work on it.
const flushBytes = 8 << 20

// flusher has the disk begin early, so that the sync at the end finds little to
// do.
type flusher struct {
	from, until int64 // written, and not handed to the disk
}

// wrote notes that length bytes at offset were written.
func (f *flusher) wrote(file *os.File, offset, length int64) {
	if offset != f.until {
		f.start(file)
		f.from = offset
	}
	if f.until = offset + length; f.until-f.from >= flushBytes {
		f.start(file)
		f.from = f.until
	}
}

// start is a hint: what fails is tried again by the sync.
func (f *flusher) start(file *os.File) {
	if f.until-f.from >= flushBytes/8 {
		_ = unix.SyncFileRange(int(file.Fd()), f.from, f.until-f.from, unix.SYNC_FILE_RANGE_WRITE)
	}
}
