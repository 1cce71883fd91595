package ship

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/holdfast-db/holdfast/internal/source"
)

// FS is what local state needs of a file system. Tests put one under it that
// fails.
type FS interface {
	Create(name string) (File, error) // new, for writing, mode 0600; an existing file is an error
	Rename(from, to string) error
	Remove(name string) error
	SyncDir(name string) error
}

// File is a file that is being written.
type File interface {
	io.WriteCloser
	Sync() error
}

// OS is the FS of the operating system.
var OS FS = osFS{}

type osFS struct{}

func (osFS) Create(name string) (File, error) {
	return os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
}

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }

func (osFS) Remove(name string) error { return os.Remove(name) }

func (osFS) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// writeFile makes the file name hold what fill writes, by way of the file
// temporary: after a crash the old content is there, or the new, never a part.
// ready, if not nil, is called when the content is safe under its temporary
// name; its error ends the attempt.
func writeFile(fs FS, name, temporary string, fill func(io.Writer) error, ready func() error) (err error) {
	f, err := fs.Create(temporary)
	if err != nil {
		return source.Classify(err)
	}
	defer func() {
		if err != nil {
			_ = fs.Remove(temporary)
			err = source.Classify(err)
		}
	}()
	if err := errors.Join(fillAndSync(f, fill), f.Close()); err != nil {
		return err
	}
	if ready != nil {
		if err := ready(); err != nil {
			return err
		}
	}
	if err := fs.Rename(temporary, name); err != nil {
		return err
	}
	return fs.SyncDir(filepath.Dir(name))
}

func fillAndSync(f File, fill func(io.Writer) error) error {
	if err := fill(f); err != nil {
		return err
	}
	return f.Sync()
}

// WriteFile makes the file name hold content, whole or not at all.
func WriteFile(fs FS, name string, content []byte) error {
	tmp := name + ".tmp"
	if err := fs.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return source.Classify(err) // left by a crash
	}
	return writeFile(fs, name, tmp, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	}, nil)
}
