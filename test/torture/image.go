package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"
)

// image is what a whole database looked like, by hashes: a seed has hundreds.
type image struct {
	at       int64 // nanoseconds on the machine's monotonic clock
	version  version
	pageSize int
	sum      sum      // of all bytes
	masked   sum      // of all but the leaves of the free list, whose content means nothing
	pages    []uint64 // a hash for each page
}

// sum is a hash of 128 bits: two images with the same one are taken as equal.
type sum [16]byte

// version is what the one row of the table v says: the epoch counts databases
// that were put in place of another, n their transactions.
type version struct{ epoch, n int64 }

func (v version) String() string { return fmt.Sprintf("%d.%d", v.epoch, v.n) }

// Places in a database's first page and in a trunk page of the free list.
// https://www.sqlite.org/fileformat2.html
const (
	pageSizeAt  = 16
	firstFreeAt = 32
	leafCountAt = 4
	leavesAt    = 8
)

// newImage describes the bytes of a database.
func newImage(b []byte, v version) (image, error) {
	if len(b) < 512 {
		return image{}, fmt.Errorf("a database of %d bytes", len(b))
	}
	im := image{version: v, pageSize: int(binary.BigEndian.Uint16(b[pageSizeAt:]))}
	if im.pageSize == 1 {
		im.pageSize = 65536
	}
	if im.pageSize < 512 || len(b)%im.pageSize != 0 {
		return image{}, fmt.Errorf("%d bytes are no multiple of a page of %d", len(b), im.pageSize)
	}
	leaves := freeLeaves(b, im.pageSize)
	all, masked := xxh3.New(), xxh3.New()
	for page := 1; page*im.pageSize <= len(b); page++ {
		content := pageOf(b, im.pageSize, page)
		im.pages = append(im.pages, xxh3.Hash(content))
		_, _ = all.Write(content) // never fails
		if !leaves[uint32(page)] {
			_, _ = masked.Write(content)
		}
	}
	im.sum, im.masked = all.Sum128().Bytes(), masked.Sum128().Bytes()
	return im, nil
}

func pageOf(b []byte, size, page int) []byte { return b[(page-1)*size : page*size] }

// freeLeaves returns the pages that are on the free list and hold nothing, not
// even a part of that list. SQLite neither reads them nor takes care to write
// them.
func freeLeaves(b []byte, size int) map[uint32]bool {
	leaves := make(map[uint32]bool)
	count := uint32(len(b) / size)
	trunk := binary.BigEndian.Uint32(b[firstFreeAt:])
	for seen := uint32(0); trunk > 0 && trunk <= count && seen < count; seen++ {
		page := pageOf(b, size, int(trunk))
		n := int(binary.BigEndian.Uint32(page[leafCountAt:]))
		for i := 0; i < n && leavesAt+4*i+4 <= size; i++ {
			leaves[binary.BigEndian.Uint32(page[leavesAt+4*i:])] = true
		}
		trunk = binary.BigEndian.Uint32(page)
	}
	return leaves
}

// differing returns the pages by which two images differ, in ascending order.
func (im image) differing(o image) []int {
	if im.pageSize != o.pageSize {
		return []int{1}
	}
	var pages []int
	for i := range max(len(im.pages), len(o.pages)) {
		if i >= len(im.pages) || i >= len(o.pages) || im.pages[i] != o.pages[i] {
			pages = append(pages, i+1)
		}
	}
	return pages
}

// imageWord begins the line in which an application describes an image.
const imageWord = "image"

// encode writes im as one line.
func (im image) encode() string {
	pages := make([]byte, 0, 8*len(im.pages))
	for _, p := range im.pages {
		pages = binary.LittleEndian.AppendUint64(pages, p)
	}
	return fmt.Sprintf("%s %d %d %d %d %x %x %d %s", imageWord, im.at, im.version.epoch, im.version.n, im.pageSize,
		im.sum, im.masked, len(im.pages), base64.StdEncoding.EncodeToString(pages))
}

// decodeImage reads what encode wrote. A line that an application could not end,
// because it was killed, is an error.
func decodeImage(line string) (im image, err error) {
	f := strings.Split(line, " ")
	if len(f) != 9 || f[0] != imageWord {
		return im, fmt.Errorf("not an image: %.60q", line)
	}
	var errs [5]error
	im.at, errs[0] = strconv.ParseInt(f[1], 10, 64)
	im.version.epoch, errs[1] = strconv.ParseInt(f[2], 10, 64)
	im.version.n, errs[2] = strconv.ParseInt(f[3], 10, 64)
	im.pageSize, errs[3] = strconv.Atoi(f[4])
	_, errSum := fmt.Sscanf(f[5]+" "+f[6], "%x %x", (*hexSum)(&im.sum), (*hexSum)(&im.masked))
	count, errCount := strconv.Atoi(f[7])
	pages, errPages := base64.StdEncoding.DecodeString(f[8])
	if len(pages) != 8*count {
		errs[4] = fmt.Errorf("%d bytes of hashes for %d pages", len(pages), count)
	}
	for ; len(pages) >= 8; pages = pages[8:] {
		im.pages = append(im.pages, binary.LittleEndian.Uint64(pages))
	}
	return im, errors.Join(append(errs[:], errSum, errCount, errPages)...)
}

// hexSum scans a sum.
type hexSum sum

// Scan implements fmt.Scanner.
func (h *hexSum) Scan(state fmt.ScanState, _ rune) error {
	var b []byte
	if _, err := fmt.Fscanf(state, "%x", &b); err != nil {
		return err
	}
	if len(b) != len(h) {
		return fmt.Errorf("a sum of %d bytes", len(b))
	}
	copy(h[:], b)
	return nil
}

// firstDifference says where two databases differ; empty if they do not.
func firstDifference(got, want []byte, size int) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d bytes instead of %d", len(got), len(want))
	}
	for at := 0; at < len(want); at += size {
		end := min(at+size, len(want))
		if !bytes.Equal(got[at:end], want[at:end]) {
			return fmt.Sprintf("page %d differs", at/size+1)
		}
	}
	return ""
}
