package file

import (
	"context"
	"crypto/rand"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// create writes an object under tmp and then publishes it.
func (s *Store) create(ctx context.Context, key string, body io.Reader, meta blob.Metadata) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if _, err := os.Lstat(s.path(key)); err == nil {
		return 0, fs.ErrExist
	}
	tmp, err := s.newTemp()
	if err != nil {
		return 0, err
	}
	defer discard(tmp)
	size, err := fill(tmp, body, meta)
	if err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return size, s.publish(tmp.Name(), key, sidecar{Size: size, Metadata: meta})
}

// discard removes a temporary name. The object, if there is one by now, has
// another name and is synced, so nothing that fails here matters to it.
func discard(tmp *os.File) {
	_ = os.Remove(tmp.Name())
	_ = tmp.Close()
}

// newTemp creates a file under tmp that is locked for as long as it is open.
func (s *Store) newTemp() (*os.File, error) {
	if err := makeDirs(s.tmpDir()); err != nil {
		return nil, err
	}
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	s.swept.Do(func() { sweep(s.tmpDir()) })
	f, err := os.OpenFile(filepath.Join(s.tmpDir(), rand.Text()), os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, err
	}
	if err := flock(f, syscall.LOCK_EX); err != nil {
		discard(f)
		return nil, err
	}
	return f, nil
}

func (s *Store) tmpDir() string { return filepath.Join(s.root, ownDir, "tmp") }

// fill writes body to f, gives f the object's time and syncs it.
func fill(f *os.File, body io.Reader, meta blob.Metadata) (int64, error) {
	size, err := io.Copy(f, body)
	if err != nil {
		return 0, err
	}
	if at, err := time.Parse(time.RFC3339Nano, meta[blob.TimestampKey]); err == nil {
		if err := os.Chtimes(f.Name(), at, at); err != nil {
			return 0, err
		}
	}
	return size, f.Sync()
}

// publish makes the synced file tmp exist under key, its sidecar first. The
// lock keeps a sidecar and the object that it is about together: without it
// the loser of a race could replace the winner's sidecar.
func (s *Store) publish(tmp, key string, about sidecar) error {
	if err := makeDirs(filepath.Dir(s.path(key))); err != nil {
		return err
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Lstat(s.path(key)); err == nil {
		return fs.ErrExist
	}
	if err := s.writeSidecar(key, about); err != nil {
		return err
	}
	if err := os.Link(tmp, s.path(key)); err != nil {
		_ = os.Remove(s.sidecar(key)) // another program's object, or none
		return err
	}
	return syncDir(filepath.Dir(s.path(key)))
}

// sweep removes the files of writers that are gone; theirs are not locked. It
// runs under the store's lock, so none is just being created. What cannot be
// removed does no harm and is left.
func sweep(tmpDir string) {
	entries, err := os.ReadDir(tmpDir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		f, err := os.Open(filepath.Join(tmpDir, entry.Name()))
		if err != nil {
			continue
		}
		if flock(f, syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.Remove(f.Name())
		}
		_ = f.Close()
	}
}
