package main

import (
	"testing"

	"github.com/pierrec/lz4/v4"
)

// TestTextIsAsDenseAsItSays compresses what rows hold by pages.
func TestTextIsAsDenseAsItSays(t *testing.T) {
	const page, pages = 4096, 500
	words, compressed := newText(), 0
	out := make([]byte, lz4.CompressBlockBound(page))
	var c lz4.Compressor
	for range pages {
		n, err := c.CompressBlock([]byte(words.next(page)), out)
		must(t, err)
		compressed += n
	}
	if share := float64(compressed) / (page * pages); share < 0.6 || share > 0.72 {
		t.Errorf("LZ4 makes a page %.2f of its size, want about two thirds", share)
	}
}
