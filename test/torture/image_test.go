package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// mustImage makes a database, changes it, and describes it.
func mustImage(t *testing.T, statements ...string) (image, []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	if err := newDatabase(path, shape{pageSize: 1024}, 3, 50); err != nil {
		t.Fatal(err)
	}
	c, err := connect(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if _, err := c.run(s); err != nil {
			t.Fatal(err)
		}
	}
	im, b, err := c.image()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	return im, b
}

func TestAnImageSurvivesItsLine(t *testing.T) {
	im, _ := mustImage(t)
	got, err := decodeImage(im.encode())
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(im) || im.version != (version{3, 1}) || len(im.pages) < 10 {
		t.Errorf("got %v, want %v", got, im)
	}
	line := im.encode()
	if _, err := decodeImage(strings.Replace(line, " 1024 ", " x ", 1)); err == nil {
		t.Error("got an image with pages of x bytes")
	}
	for end := range len(line) {
		if _, err := decodeImage(line[:end]); err == nil {
			t.Errorf("got an image from the first %d bytes of %d", end, len(line))
		}
	}
}

func TestAnImageTellsEachByte(t *testing.T) {
	im, b := mustImage(t)
	for _, at := range []int{0, 1024, len(b) - 1} {
		b[at] ^= 1
		other, err := newImage(b, im.version)
		b[at] ^= 1
		if err != nil {
			t.Fatal(err)
		}
		if got := other.differing(im); other.sum == im.sum || other.masked == im.masked || fmt.Sprint(got) != fmt.Sprint([]int{at/1024 + 1}) {
			t.Errorf("byte %d changed: pages %v differ", at, got)
		}
	}
}

func TestOnlyLeavesOfTheFreeListAreMasked(t *testing.T) {
	im, b := mustImage(t, "DELETE FROM t WHERE id < 48")
	leaves := freeLeaves(b, im.pageSize)
	if len(leaves) < 5 {
		t.Fatalf("%d leaves", len(leaves))
	}
	for page := range im.pages {
		b[page*im.pageSize+500] ^= 1
		other, err := newImage(b, im.version)
		b[page*im.pageSize+500] ^= 1
		if err != nil {
			t.Fatal(err)
		}
		if masked := other.masked == im.masked; masked != leaves[uint32(page+1)] {
			t.Errorf("page %d: a leaf %t, masked %t", page+1, leaves[uint32(page+1)], masked)
		}
	}
}

func TestAMatcherFollowsTheHistory(t *testing.T) {
	known := func(names ...string) (images []image) {
		for i, name := range names {
			im := image{at: int64(i), version: version{1, int64(name[0])}, pageSize: 512, pages: []uint64{uint64(name[0])}}
			copy(im.sum[:], name)
			copy(im.masked[:], name[:1])
			images = append(images, im)
		}
		return images
	}
	for _, row := range []struct {
		name, had, got, wantErr string
		leaves                  int
	}{
		{name: "all of it", had: "a b c", got: "a b c"},
		{name: "some of it", had: "a b c d", got: "b d"},
		{name: "one twice", had: "a b", got: "a a b b"},
		{name: "one that came back", had: "a b a", got: "a b a"},
		{name: "one that never was", had: "a b", got: "a x", wantErr: "never had"},
		{name: "one out of order", had: "a b", got: "b a", wantErr: "lower TXID"},
		{name: "one of a version that was otherwise", had: "a1 b1", got: "a1 b2", leaves: 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := &matcher{images: known(strings.Fields(row.had)...)}
			var err error
			for _, got := range known(strings.Fields(row.got)...) {
				if e := m.match(got); e != nil {
					err = e
				}
			}
			if (err != nil) != (row.wantErr != "") || err != nil && !strings.Contains(err.Error(), row.wantErr) || m.leaves != row.leaves {
				t.Errorf("got %v and %d leaves, want %q and %d", err, m.leaves, row.wantErr, row.leaves)
			}
		})
	}
}
