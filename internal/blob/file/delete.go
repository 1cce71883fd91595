package file

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// Delete implements blob.Store. Sidecars go only when their objects are known
// to stay away, so that a crash never brings back an object without one.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	if err := s.delete(ctx, keys); err != nil {
		return s.explain("delete", "", err)
	}
	return nil
}

func (s *Store) delete(ctx context.Context, keys []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := os.Stat(s.root); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := removeAll(ctx, keys, s.path); err != nil {
		return err
	}
	return removeAll(ctx, keys, s.sidecar)
}

// removeAll removes the files of keys and syncs the directories that they were in.
func removeAll(ctx context.Context, keys []string, path func(string) string) error {
	changed := map[string]bool{}
	for _, key := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		removed, err := remove(key, path(key))
		if err != nil {
			return err
		}
		if removed {
			changed[filepath.Dir(path(key))] = true
		}
	}
	for dir := range changed {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// remove removes the file at path, unless that is no object at all.
func remove(key, path string) (bool, error) {
	if blob.CheckKey(key) != nil {
		return false, nil
	}
	info, err := os.Lstat(path)
	if isMissing(err) || err == nil && info.IsDir() {
		return false, nil
	}
	if err == nil {
		err = os.Remove(path)
	}
	return err == nil, err
}
