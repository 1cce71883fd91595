package restore

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// reserve says at once that the disk has no room for the image.
func (img *image) reserve() error {
	var s unix.Statfs_t
	dir := filepath.Dir(img.path())
	if err := unix.Statfs(dir, &s); err != nil {
		return &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if free := int64(s.Bavail) * int64(s.Bsize); free < img.size() { //nolint:unconvert // their types depend on the system
		return fmt.Errorf("%w: %s has %d bytes free, the database needs %d; make room, or choose another path", ErrNoSpace, dir, free, img.size())
	}
	return nil
}
