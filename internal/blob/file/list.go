package file

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// errLeft ends a walk whose reader wants no more.
var errLeft = errors.New("left")

// List implements blob.Store. Names that begin with a dot or end in .tmp are
// no objects. What is deleted meanwhile may be missing.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		w := walk{ctx: ctx, store: s, prefix: prefix, yield: yield}
		err := w.dir(path.Dir("/" + prefix)[1:])
		if err != nil && !errors.Is(err, errLeft) {
			yield(blob.Info{}, s.explain("list", prefix, err))
		}
	}
}

type walk struct {
	ctx    context.Context
	store  *Store
	prefix string
	yield  func(blob.Info, error) bool
}

// dir yields what is below the directory dir in the order of keys, in which a
// directory counts as its name with a slash: "a-b" comes before "a/b".
func (w *walk) dir(dir string) error {
	entries, err := os.ReadDir(w.store.path(dir))
	if isMissing(err) {
		return w.ctx.Err()
	}
	if err != nil {
		return err
	}
	keys := make([]string, 0, len(entries))
	for _, entry := range entries {
		key := path.Join(dir, entry.Name())
		if w.isDir(entry, key) {
			key += "/"
		}
		if blob.CheckKey(strings.TrimSuffix(key, "/")) == nil && w.mayMatch(key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		if err := w.entry(key); err != nil {
			return err
		}
	}
	return w.ctx.Err()
}

func (w *walk) entry(key string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if dir, ok := strings.CutSuffix(key, "/"); ok {
		return w.dir(dir)
	}
	info, err := w.store.info(key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !w.yield(info, nil):
		return errLeft
	}
	return nil
}

// isDir follows symbolic links: a level may be kept on another disk.
func (w *walk) isDir(entry fs.DirEntry, key string) bool {
	if entry.Type()&fs.ModeSymlink == 0 {
		return entry.IsDir()
	}
	info, err := os.Stat(w.store.path(key))
	return err == nil && info.IsDir()
}

func (w *walk) mayMatch(key string) bool {
	if strings.HasSuffix(key, "/") && strings.HasPrefix(w.prefix, key) {
		return true
	}
	return strings.HasPrefix(key, w.prefix)
}
