package restore

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// reserve says at once that the disk has no room for the image.
func (img *image) reserve() error {
	var s unix.Statfs_t
	dir := filepath.Dir(img.path())
	if err := unix.Statfs(dir, &s); err != nil {
		return &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	info, err := img.file.Stat()
	if err != nil {
		return err
	}
	need := img.size()
	if old, ok := info.Sys().(*syscall.Stat_t); ok { // of a file that was kept
		need -= old.Blocks * 512
	}
	if free := int64(s.Bavail) * int64(s.Bsize); free < need { //nolint:unconvert // their types depend on the system
		return &NoSpaceError{Dir: dir, Free: free, Need: need}
	}
	return nil
}

// NoSpaceError is an ErrNoSpace.
type NoSpaceError struct {
	Dir        string
	Free, Need int64 // bytes
}

func (e *NoSpaceError) Error() string {
	return fmt.Sprintf("%v: %s has %d bytes free, the database needs %d more; make room, or choose another path", ErrNoSpace, e.Dir, e.Free, e.Need)
}

// Unwrap lets errors.Is find ErrNoSpace.
func (e *NoSpaceError) Unwrap() error { return ErrNoSpace }
