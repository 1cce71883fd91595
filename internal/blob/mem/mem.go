// Package mem keeps objects in memory, for tests. Nothing survives the process.
package mem

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// Store is a blob.Store in memory.
type Store struct {
	mu      sync.RWMutex
	objects map[string]object
	now     func() time.Time
}

type object struct {
	data     []byte
	modified time.Time
	meta     blob.Metadata
}

// New returns an empty store.
func New() *Store { return NewAt(time.Now) }

// NewAt returns an empty store whose clock is now.
func NewAt(now func() time.Time) *Store { return &Store{objects: map[string]object{}, now: now} }

// Clock implements blob.Store.
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, fmt.Errorf("store: clock: %w", err)
	}
	return s.now(), nil
}

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, key string, body io.Reader, meta blob.Metadata) (int64, error) {
	if err := blob.CheckKey(key); err != nil {
		return 0, fmt.Errorf("store: put: %w", err)
	}
	if err := meta.Check(); err != nil {
		return 0, fmt.Errorf("store: put %s: %w", key, err)
	}
	data, err := io.ReadAll(blob.NewBody(ctx, body))
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return 0, fmt.Errorf("store: put %s: %w", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, exists := s.objects[key]; exists {
		return 0, fmt.Errorf("store: put %s: %w in memory", key, blob.ErrExists)
	}
	s.objects[key] = object{data: data, modified: s.now(), meta: maps.Clone(meta)}
	return int64(len(data)), nil
}

// Get implements blob.Store.
func (s *Store) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	o, err := s.find(ctx, "get", key)
	if err != nil {
		return nil, err
	}
	data := o.data[min(max(offset, 0), int64(len(o.data))):]
	if length >= 0 {
		data = data[:min(length, int64(len(data)))]
	}
	return io.NopCloser(blob.NewBody(ctx, bytes.NewReader(data))), nil
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, key string) (blob.Info, error) {
	o, err := s.find(ctx, "stat", key)
	if err != nil {
		return blob.Info{}, err
	}
	return o.info(key), nil
}

// List implements blob.Store. It yields what there was when it began.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for _, info := range s.snapshot(prefix) {
			if ctx.Err() != nil {
				break
			}
			if !yield(info, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(blob.Info{}, fmt.Errorf("store: list %s: %w", prefix, err))
		}
	}
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store: delete: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		delete(s.objects, key)
	}
	return nil
}

func (s *Store) find(ctx context.Context, op, key string) (object, error) {
	if err := ctx.Err(); err != nil {
		return object{}, fmt.Errorf("store: %s %s: %w", op, key, err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	o, ok := s.objects[key]
	if !ok {
		return object{}, fmt.Errorf("store: %s %s: %w in memory", op, key, blob.ErrNotFound)
	}
	return o, nil
}

func (s *Store) snapshot(prefix string) []blob.Info {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var infos []blob.Info
	for key, o := range s.objects {
		if strings.HasPrefix(key, prefix) {
			infos = append(infos, o.info(key))
		}
	}
	slices.SortFunc(infos, func(a, b blob.Info) int { return strings.Compare(a.Key, b.Key) })
	return infos
}

func (o object) info(key string) blob.Info {
	return blob.Info{Key: key, Size: int64(len(o.data)), Modified: o.modified, Metadata: maps.Clone(o.meta)}
}
