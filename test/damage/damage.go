// Package damage does to the objects of a replica what may happen to them in a store,
// for tests of those who read it.
package damage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/wal"
)

// Kind is one way in which an object may be damaged.
type Kind struct {
	Name string
	// Do does it to o; some need another object. It returns the keys of what is not
	// right then, none when there was nothing to do.
	Do func(ctx context.Context, s blob.Store, o, other replica.Object) (blamed []string, err error)
}

// Kinds are all of them.
var Kinds = []Kind{
	{"deleted", func(ctx context.Context, s blob.Store, o, _ replica.Object) ([]string, error) {
		return []string{o.Key()}, s.Delete(ctx, o.Key())
	}},
	{"cut in the header", edit(func(b []byte) []byte { return b[:50] })},
	{"cut in the middle", edit(func(b []byte) []byte { return b[:len(b)/2] })},
	{"cut at the end", edit(func(b []byte) []byte { return b[:len(b)-1] })},
	{"emptied", edit(func([]byte) []byte { return nil })},
	{"flipped", edit(func(b []byte) []byte { b[len(b)*2/3] ^= 0x10; return b })},
	{"longer", edit(func(b []byte) []byte { return append(b, b[:30]...) })},
	{"under the name of the next", duplicate},
	{"under each other's names", swap(true)},
	{"under each other's names, each with its metadata", swap(false)},
	{"two pages swapped inside", swapPages},
}

// Edit replaces the bytes of what is stored under key.
func Edit(ctx context.Context, s blob.Store, key string, change func([]byte) []byte) error {
	b, meta, err := read(ctx, s, key)
	if err != nil {
		return err
	}
	return write(ctx, s, key, change(b), meta)
}

func edit(change func([]byte) []byte) func(context.Context, blob.Store, replica.Object, replica.Object) ([]string, error) {
	return func(ctx context.Context, s blob.Store, o, _ replica.Object) ([]string, error) {
		return []string{o.Key()}, Edit(ctx, s, o.Key(), change)
	}
}

// duplicate stores an object under the name of the one after it, where that is free.
func duplicate(ctx context.Context, s blob.Store, o, _ replica.Object) ([]string, error) {
	next := replica.Key(o.Level, o.Max+1, o.Max+1)
	if o.Level == plan.SnapshotLevel {
		next = replica.Key(o.Level, 1, o.Max+1)
	}
	if _, err := s.Stat(ctx, next); !errors.Is(err, blob.ErrNotFound) {
		return nil, err
	}
	b, meta, err := read(ctx, s, o.Key())
	if err != nil {
		return nil, err
	}
	return []string{next}, write(ctx, s, next, b, meta)
}

// swap stores two objects under each other's names, with or without their metadata.
func swap(metadata bool) func(context.Context, blob.Store, replica.Object, replica.Object) ([]string, error) {
	return func(ctx context.Context, s blob.Store, o, other replica.Object) ([]string, error) {
		one, meta, err := read(ctx, s, o.Key())
		if err != nil {
			return nil, err
		}
		two, others, err := read(ctx, s, other.Key())
		if err != nil {
			return nil, err
		}
		if metadata {
			meta, others = others, meta
		}
		return []string{o.Key(), other.Key()}, errors.Join(write(ctx, s, o.Key(), two, meta), write(ctx, s, other.Key(), one, others))
	}
}

// swapPages encodes an object anew with two pages in each other's places, as no checksum
// of its own can tell. There is nothing to do for one without two that differ.
func swapPages(ctx context.Context, s blob.Store, o, _ replica.Object) ([]string, error) {
	r, err := replica.New(s).Open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // only read
	var numbers []uint32
	var pages [][]byte
	err = r.Pages(func(pgno uint32, data []byte) error {
		numbers, pages = append(numbers, pgno), append(pages, bytes.Clone(data))
		return nil
	})
	n := len(pages)
	if err != nil || n < 2 || numbers[n-2] == 1 || bytes.Equal(pages[n-1], pages[n-2]) {
		return nil, err
	}
	pages[n-1], pages[n-2] = pages[n-2], pages[n-1]
	d := replica.Draft{
		Level: o.Level, Min: o.Min, Max: o.Max, Created: o.Created, Writer: o.Writer,
		Position: wal.Position{PageSize: r.PageSize(), Commit: r.Commit()},
	}
	var b bytes.Buffer
	err = replica.Encode(&b, d, func(emit func(uint32, []byte) error) error {
		for i, data := range pages {
			if err := emit(numbers[i], data); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return []string{o.Key()}, Edit(ctx, s, o.Key(), func([]byte) []byte { return b.Bytes() })
}

func read(ctx context.Context, s blob.Store, key string) (b []byte, meta blob.Metadata, err error) {
	info, err := s.Stat(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	body, err := s.Get(ctx, key, 0, -1)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	b, err = io.ReadAll(body)
	return b, info.Metadata, err
}

func write(ctx context.Context, s blob.Store, key string, b []byte, meta blob.Metadata) error {
	if err := s.Delete(ctx, key); err != nil {
		return err
	}
	if _, err := s.Put(ctx, key, bytes.NewReader(b), meta); err != nil {
		return fmt.Errorf("store %s anew: %w", key, err)
	}
	return nil
}
