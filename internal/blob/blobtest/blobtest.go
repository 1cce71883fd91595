// Package blobtest is the conformance suite for drivers: what blob.Store
// promises, tried on a real store. A driver that passes may be put under a
// replica; what only one driver promises is tested beside that driver.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// block is the size in bytes up to which drivers may store an object at once.
const block = 8 << 20

// Option changes how much the suite does.
type Option func(*suite)

// Objects sets how many objects the listing has; by default 300.
func Objects(n int) Option { return func(s *suite) { s.objects = n } }

// Run runs the suite. open returns a new and empty store each time.
func Run(t *testing.T, open func(t *testing.T) blob.Store, options ...Option) {
	s := &suite{open: open, objects: 300}
	for _, option := range options {
		option(s)
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"an object of any size comes back whole", s.sizes},
		{"a put never replaces", s.createOnly},
		{"metadata is what it is at the end of the body", s.lateMetadata},
		{"of 16 puts of one key exactly one wins", s.race},
		{"of 3 large puts of one key exactly one wins", s.largeRace},
		{"a body that fails leaves nothing", s.failingBody},
		{"a reader never sees a part", s.neverPartial},
		{"an object appears with its metadata", s.appearance},
		{"a cancelled context ends every method", s.cancelled},
		{"a context cancelled in mid-put leaves nothing", s.cancelledPut},
		{"ranges", s.ranges},
		{"a missing object is not found", s.missing},
		{"metadata comes back as it was", s.metadata},
		{"times", s.times},
		{"its clock is the one by which it takes objects", s.clock},
		{"a listing is in order and whole", s.list},
		{"a listing begins with its prefix", s.prefixes},
		{"a listing can be left", s.leaveList},
		{"what is deleted is gone", s.delete},
		{"many are deleted at once", s.deleteMany},
		{"a deleted key can be put again", s.putAfterDelete},
		{"bad keys and metadata are refused", s.invalid},
	} {
		t.Run(test.name, test.run)
	}
}

type suite struct {
	open    func(t *testing.T) blob.Store
	objects int
}

// Bytes returns n bytes that are the same for the same seed and unlike those of
// another one.
func Bytes(seed uint64, n int) []byte {
	data := make([]byte, n)
	src := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = src.Read(data)
	return data
}

func mustPut(t *testing.T, store blob.Store, key string, data []byte, meta blob.Metadata) {
	t.Helper()
	n, err := store.Put(t.Context(), key, bytes.NewReader(data), meta)
	require.NoError(t, err)
	require.EqualValues(t, len(data), n)
}

func mustGet(t *testing.T, store blob.Store, key string, offset, length int64) []byte {
	t.Helper()
	data, err := get(t.Context(), store, key, offset, length)
	require.NoError(t, err)
	return data
}

func get(ctx context.Context, store blob.Store, key string, offset, length int64) ([]byte, error) {
	body, err := store.Get(ctx, key, offset, length)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(body)
	if closeErr := body.Close(); err == nil {
		err = closeErr
	}
	return data, err
}

func mustList(t *testing.T, store blob.Store, prefix string) []blob.Info {
	t.Helper()
	infos, err := list(t.Context(), store, prefix)
	require.NoError(t, err)
	return infos
}

func list(ctx context.Context, store blob.Store, prefix string) ([]blob.Info, error) {
	var infos []blob.Info
	for info, err := range store.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

func keys(infos []blob.Info) []string {
	var out []string
	for _, info := range infos {
		out = append(out, info.Key)
	}
	return out
}

// mustBeAbsent looks for key in every way that a reader has.
func mustBeAbsent(t *testing.T, store blob.Store, key string) {
	t.Helper()
	require.NoError(t, absent(t.Context(), store, key))
}

func absent(ctx context.Context, store blob.Store, key string) error {
	if _, err := store.Stat(ctx, key); !isNotFound(err) {
		return fmt.Errorf("stat %s: got %v, want not found", key, err)
	}
	if _, err := get(ctx, store, key, 0, -1); !isNotFound(err) {
		return fmt.Errorf("get %s: got %v, want not found", key, err)
	}
	infos, err := list(ctx, store, key)
	if err != nil || len(infos) > 0 {
		return fmt.Errorf("list %s: got %v, %v, want nothing", key, keys(infos), err)
	}
	return nil
}

func isNotFound(err error) bool { return errors.Is(err, blob.ErrNotFound) }

func name(n int) string { return fmt.Sprintf("ltx/0/%016x-%016x.ltx", n, n) }
