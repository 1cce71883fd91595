// Package file keeps a replica in a directory, laid out as Litestream's file
// replica is: an object is a file under its key, its modification time is the
// time of the object. Litestream reads what this package writes and the other
// way round.
//
//	ROOT/<key>                       the object
//	ROOT/.holdfast/meta/<key>.json   its metadata beyond the time: the sidecar
//	ROOT/.holdfast/tmp/<random>      an object that is being written
//	ROOT/.holdfast/lock              flock: held while one is created or deleted
//
// Crash safety. An object is written and synced under tmp; then, under the
// lock, its sidecar is synced into place before the object is linked under its
// key. The link is what makes it exist, and what fails when it exists already.
// So an object is complete whenever it can be seen, and so is its sidecar. A
// crash can leave a sidecar without object, which the next put of that key
// replaces, and a file under tmp, whose flock has ended with its writer: the
// first put of each Store removes those.
//
// The file system must have hard links, flock and fsync. Files are 0600 and
// directories 0700: a replica holds all of the database.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
)

const (
	ownDir   = ".holdfast"
	fileMode = 0o600
	dirMode  = 0o700
)

// Store is a blob.Store in a directory.
type Store struct {
	root  string
	swept sync.Once
}

// New returns the store in root, an absolute path. It touches nothing: the
// first put creates what is missing.
func New(root string) *Store { return &Store{root: filepath.Clean(root)} }

// String returns the directory.
func (s *Store) String() string { return s.root }

func (s *Store) path(key string) string { return filepath.Join(s.root, filepath.FromSlash(key)) }

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, key string, body io.Reader, meta blob.Metadata) (int64, error) {
	if err := blob.CheckKey(key); err != nil {
		return 0, fmt.Errorf("store: put: %w", err)
	}
	if err := meta.Check(); err != nil {
		return 0, fmt.Errorf("store: put %s: %w", key, err)
	}
	source := blob.NewBody(ctx, body)
	size, err := s.create(ctx, key, source, meta)
	if source.Err() != nil {
		return 0, fmt.Errorf("store: put %s: %w", key, source.Err())
	}
	if err != nil {
		return 0, s.explain("put", key, err)
	}
	return size, nil
}

// Get implements blob.Store.
func (s *Store) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, s.explain("get", key, err)
	}
	f, err := s.open(key)
	if err != nil {
		return nil, s.explain("get", key, err)
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		_ = f.Close()
		return nil, s.explain("get", key, err)
	}
	r := &reader{store: s, key: key, file: f, from: blob.NewBody(ctx, f)}
	if length >= 0 {
		r.from = io.LimitReader(r.from, length)
	}
	return r, nil
}

// open opens an object; what is not a plain file is none.
func (s *Store) open(key string) (*os.File, error) {
	if err := blob.CheckKey(key); err != nil {
		return nil, fs.ErrNotExist
	}
	f, err := os.Open(s.path(key))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

type reader struct {
	store *Store
	key   string
	file  *os.File
	from  io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.store.explain("get", r.key, err)
	}
	return n, err
}

func (r *reader) Close() error { return r.file.Close() }

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, key string) (blob.Info, error) {
	if err := ctx.Err(); err != nil {
		return blob.Info{}, s.explain("stat", key, err)
	}
	if err := blob.CheckKey(key); err != nil {
		return blob.Info{}, s.explain("stat", key, fs.ErrNotExist)
	}
	info, err := s.info(key)
	if err != nil {
		return blob.Info{}, s.explain("stat", key, err)
	}
	return info, nil
}

// Clock implements blob.Store: it is what the file system gives to a new file.
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, s.explain("clock", "", err)
	}
	tmp, err := s.newTemp()
	if err != nil {
		return time.Time{}, s.explain("clock", "", err)
	}
	defer discard(tmp)
	fi, err := tmp.Stat()
	if err != nil {
		return time.Time{}, s.explain("clock", "", err)
	}
	return fi.ModTime().UTC(), nil
}

func (s *Store) info(key string) (blob.Info, error) {
	fi, err := os.Stat(s.path(key))
	if err != nil {
		return blob.Info{}, err
	}
	if !fi.Mode().IsRegular() {
		return blob.Info{}, fs.ErrNotExist
	}
	meta, err := s.readSidecar(key, fi)
	if err != nil {
		return blob.Info{}, err
	}
	return blob.Info{Key: key, Size: fi.Size(), Modified: fi.ModTime().UTC(), Metadata: meta}, nil
}
