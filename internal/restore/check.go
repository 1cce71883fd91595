package restore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/superfly/ltx"
)

// Offsets in the header of a database, of four bytes each unless stated.
// https://www.sqlite.org/fileformat2.html#the_database_header
const (
	headerSize       = 100
	magic            = "SQLite format 3\x00"
	pageSizeOffset   = 16 // two bytes; 1 stands for 65536
	changesOffset    = 24
	pageCountOffset  = 28
	validSinceOffset = 92 // the page count holds if this equals the change counter
)

// check finds what a glance can tell: a page that no object has given, and a
// header that contradicts the objects. A header that counts fewer pages is no
// contradiction, as SQLite lets a file be longer.
func (img *image) check() error {
	lock := ltx.LockPgno(img.pageSize)
	if missing := img.present.firstMissing(img.commit, lock); missing != 0 {
		return fmt.Errorf("no object has page %d of %d", missing, img.commit)
	}
	var h [headerSize]byte
	if _, err := img.file.ReadAt(h[:], 0); err != nil && err != io.EOF {
		return err
	}
	if string(h[:len(magic)]) != magic {
		return errors.New("page 1 does not begin with the header of SQLite")
	}
	size := uint32(binary.BigEndian.Uint16(h[pageSizeOffset:]))
	if size == 1 {
		size = ltx.MaxPageSize
	}
	if size != img.pageSize {
		return fmt.Errorf("the header says a page size of %d, the objects %d", size, img.pageSize)
	}
	word := func(offset int) uint32 { return binary.BigEndian.Uint32(h[offset:]) }
	if n := word(pageCountOffset); n > img.commit && word(changesOffset) == word(validSinceOffset) {
		return fmt.Errorf("the header says %d pages, the objects %d", n, img.commit)
	}
	return nil
}
