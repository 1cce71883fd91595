package restore

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/digest"
)

// image is the file that becomes the restored database. Objects are applied to
// it in the order of their TXIDs, and of a page the newest version stays. A
// region that was never written is a hole: the lock page always is one, and
// pages of zeros are where no object had them otherwise.
//
// The file is cut to its length only at the end. A page that an object in
// between cut off, and that none has shipped since, keeps its last content: that
// is what a merge of the same objects gives, and what SQLite's own file may have
// there.
type image struct {
	file     *os.File
	pageSize uint32
	commit   uint32  // pages of the database after the last object applied
	present  pageSet // pages that the objects have given
}

var zeros [ltx.MaxPageSize]byte

// setPageSize takes the size from the first object; all others must agree.
func (img *image) setPageSize(size uint32) error {
	if img.pageSize != 0 && size != img.pageSize {
		return fmt.Errorf("page size %d after objects with %d", size, img.pageSize)
	}
	img.pageSize = size
	return nil
}

func (img *image) write(pgno uint32, data []byte) error {
	isNew := img.present.add(pgno)
	if isNew && bytes.Equal(data, zeros[:len(data)]) {
		return nil // a hole already
	}
	if _, err := img.file.WriteAt(data, int64(pgno-1)*int64(img.pageSize)); err != nil {
		return fmt.Errorf("write page %d: %w", pgno, err)
	}
	return nil
}

// size returns the length of the file in bytes.
func (img *image) size() int64 { return int64(img.commit) * int64(img.pageSize) }

func (img *image) path() string { return img.file.Name() }

// finish sets the length of the image, checks it, also against want unless that is
// 0, brings it to disk and closes it: SQLite in this process loses its locks on a file when any descriptor of it
// is closed, so none may be left when the file gets the name under which it is
// opened.
func (img *image) finish(want digest.Digest) error {
	if err := img.file.Truncate(img.size()); err != nil {
		return fmt.Errorf("set the length to %d bytes: %w", img.size(), err)
	}
	if err := img.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsound, err)
	}
	if err := img.compare(want); err != nil {
		return err
	}
	if err := img.file.Sync(); err != nil {
		return err
	}
	return img.file.Close()
}

// compare reads the whole image and compares its digest with the one that was
// written down when the state was shipped.
func (img *image) compare(want digest.Digest) error {
	if want == 0 {
		return nil
	}
	hasher := digest.Hasher{PageSize: img.pageSize}
	pages := bufio.NewReaderSize(io.NewSectionReader(img.file, 0, img.size()), 1<<20)
	data := make([]byte, img.pageSize)
	for pgno := uint32(1); pgno <= img.commit; pgno++ {
		if _, err := io.ReadFull(pages, data); err != nil {
			return fmt.Errorf("read page %d back: %w", pgno, err)
		}
		hasher.Add(pgno, data)
	}
	if got := hasher.Digest(img.commit); got != want {
		return fmt.Errorf("%w: its digest is %s, that of the state that was shipped %s", ErrUnsound, got, want)
	}
	return nil
}

// discard removes the image, unless it has got another name.
func (img *image) discard() {
	_ = img.file.Close() // may have been before
	_ = os.Remove(img.path())
}
