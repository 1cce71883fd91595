package wal_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/holdfast-db/holdfast/internal/wal"
)

// craft writes a log by hand, for what SQLite can be made to write only with luck.
type craft struct {
	bytes.Buffer
	pageSize uint32
	chain    [2]uint32
}

func newCraft(pageSize uint32) *craft {
	c := &craft{pageSize: pageSize}
	for _, v := range []uint32{0x377f0682, 3007000, pageSize, 0, 11, 22} {
		c.word(v)
	}
	c.vouch(c.Bytes())
	return c
}

func (c *craft) word(v uint32) { _ = binary.Write(c, binary.BigEndian, v) }

// vouch carries the chain over b and writes it.
func (c *craft) vouch(b ...[]byte) {
	for _, part := range b {
		for ; len(part) > 0; part = part[8:] {
			c.chain[0] += binary.LittleEndian.Uint32(part) + c.chain[1]
			c.chain[1] += binary.LittleEndian.Uint32(part[4:]) + c.chain[0]
		}
	}
	c.word(c.chain[0])
	c.word(c.chain[1])
}

// frame adds one frame; commit is the size of the database after it, or 0.
func (c *craft) frame(page, commit uint32) {
	start := c.Len()
	c.word(page)
	c.word(commit)
	head := bytes.Clone(c.Bytes()[start:])
	c.word(11)
	c.word(22)
	body := bytes.Repeat([]byte{byte(page)}, int(c.pageSize))
	c.vouch(head, body)
	c.Write(body)
}

func TestScanForgetsPagesThatWereCutOff(t *testing.T) {
	type frame struct{ page, commit uint32 }
	for _, row := range []struct {
		name   string
		frames []frame
		want   map[uint32]uint32
		least  uint32
	}{
		{
			name:   "a database that only grows",
			frames: []frame{{1, 0}, {9, 9}, {10, 10}},
			want:   map[uint32]uint32{1: 1, 9: 2, 10: 3}, least: 9,
		},
		{
			name:   "one that shrinks",
			frames: []frame{{1, 0}, {9, 9}, {1, 5}},
			want:   map[uint32]uint32{1: 3}, least: 5,
		},
		{
			name:   "one that grows again without writing the page",
			frames: []frame{{1, 0}, {9, 9}, {1, 5}, {1, 9}},
			want:   map[uint32]uint32{1: 4}, least: 5,
		},
		{
			name:   "one that grows again and writes it",
			frames: []frame{{1, 0}, {9, 9}, {1, 5}, {9, 9}},
			want:   map[uint32]uint32{1: 3, 9: 4}, least: 5,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newCraft(512)
			for _, f := range row.frames {
				c.frame(f.page, f.commit)
			}
			r := bytes.NewReader(c.Bytes())
			h, err := wal.ReadHeader(r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := wal.Scan(r, h, 0, h.Chain, uint32(len(row.frames)), 0)
			if err != nil || got.Broken {
				t.Fatalf("got %v, broken %v", err, got.Broken)
			}
			if len(got.Pages) != len(row.want) || got.Least != row.least {
				t.Errorf("got %v and least %d, want %v and %d", got.Pages, got.Least, row.want, row.least)
			}
			for page, n := range row.want {
				if got.Pages[page] != n {
					t.Errorf("page %d: frame %d, want %d", page, got.Pages[page], n)
				}
			}
		})
	}
}
