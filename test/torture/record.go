package main

import (
	"fmt"
	"slices"
	"sync"
)

// record holds the images that the database has had, in the order in which it
// had them.
//
// None is missing: an image is taken under the write lock before anything is
// written, so it is that of the transaction before; and by the observer after
// each step.
type record struct {
	mu     sync.Mutex
	images []image
}

func (r *record) add(im image) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.images = append(r.images, im)
}

// ordered returns the images by time, each run of equal ones once.
func (r *record) ordered() []image {
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.SortStableFunc(r.images, func(a, b image) int { return int(a.at - b.at) })
	r.images = slices.CompactFunc(r.images, func(a, b image) bool { return a.sum == b.sum })
	return r.images
}

// largest returns the bytes of the largest image.
func (r *record) largest() (size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, im := range r.images {
		size = max(size, len(im.pages)*im.pageSize)
	}
	return size
}

// matcher follows restored states, given in the order of their TXIDs, through
// the images.
type matcher struct {
	images []image
	next   int // the first image that the next state may have
	leaves int // states that differ from an image in the leaves of the free list only
}

// match finds the image that a restored state has, at or after the one that the
// state before it had.
func (m *matcher) match(got image) error {
	if i := m.find(m.next, func(im image) bool { return im.sum == got.sum }); i >= 0 {
		m.next = i
		return nil
	}
	if i := m.find(m.next, func(im image) bool { return im.masked == got.masked && len(im.pages) == len(got.pages) }); i >= 0 {
		m.next = i
		m.leaves++
		return nil
	}
	if i := m.find(0, func(im image) bool { return im.sum == got.sum }); i >= 0 {
		return fmt.Errorf("version %s is one that the database had before version %s, which a lower TXID holds", got.version, m.images[m.next].version)
	}
	return m.nearest(got)
}

func (m *matcher) find(from int, ok func(image) bool) int {
	for i := from; i < len(m.images); i++ {
		if ok(m.images[i]) {
			return i
		}
	}
	return -1
}

// nearest describes by what got differs from what the database was.
func (m *matcher) nearest(got image) error {
	var best []int
	var of image
	for _, im := range m.images {
		if pages := im.differing(got); im.version == got.version && (best == nil || len(pages) < len(best)) {
			best, of = pages, im
		}
	}
	if best == nil {
		return fmt.Errorf("the database never had version %s", got.version)
	}
	return fmt.Errorf("version %s: %d of %d pages differ from the nearest image (%d pages of %d bytes), first page %d, pages %v",
		got.version, len(best), len(got.pages), len(of.pages), of.pageSize, best[0], best[:min(len(best), 20)])
}
