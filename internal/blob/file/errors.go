package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// explain maps an error of the file system to the sentinels of package blob.
// It keeps err, so that a full disk stays ENOSPC.
func (s *Store) explain(op, key string, err error) error {
	what := "store: " + op
	if key != "" {
		what += " " + key
	}
	as := func(kind error, todo string) error { return fmt.Errorf("%s: %w: %w%s", what, kind, err, todo) }
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", what, err)
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s: %w in %s", what, blob.ErrExists, s.root)
	case isMissing(err) && op != "put":
		return fmt.Errorf("%s: %w in %s", what, blob.ErrNotFound, s.root)
	case isLink(err) && errors.Is(err, syscall.EPERM), errors.Is(err, errors.ErrUnsupported):
		return as(blob.ErrConfig, "; choose a file system with hard links and flock")
	case errors.Is(err, syscall.ENOTDIR):
		return as(blob.ErrConfig, "; choose a directory")
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return as(blob.ErrDenied, "; check owner and mode of the directory")
	case isAny(err, syscall.EIO, syscall.ESTALE, syscall.ETIMEDOUT, syscall.ENXIO, syscall.ENODEV, syscall.ENOTCONN):
		return as(blob.ErrUnavailable, "")
	}
	return fmt.Errorf("%s: %w", what, err)
}

// isMissing says that there is no such file, or that a folder on the way to it
// is a file.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

func isLink(err error) bool {
	var link *os.LinkError
	return errors.As(err, &link) && link.Op == "link"
}

func isAny(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
