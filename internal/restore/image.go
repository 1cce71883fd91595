package restore

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/digest"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// image is the file that becomes the restored database. Objects are applied to
// it from the newest to the oldest, so the first version of a page that comes is
// the one that counts, and each page is written once. A region that was never
// written is a hole: the lock page always is one, and pages of zeros are.
//
// A page that an object in between cut off, and that none has shipped since, is
// what it was before that: that is what a merge of the same objects gives, and
// what SQLite's own file may have there.
type image struct {
	file     *os.File
	pageSize uint32  // 0 before the first object
	commit   uint32  // pages of the database after the newest object
	present  pageSet // pages that the objects have given
	hasher   digest.Hasher
	flushed  flusher
	direct   direct // where large pieces go
	kept     *note  // what an earlier restore has left in the file; nil for a new one
}

var zeros [ltx.MaxPageSize]byte

// begin takes page size and length from the newest object.
func (img *image) begin(pageSize, commit uint32) error {
	img.pageSize, img.commit, img.hasher.PageSize = pageSize, commit, pageSize
	return img.reserve()
}

// write writes those pages of b that are new, neighbours in one go.
func (img *image) write(b replica.Batch) error {
	size := int(img.pageSize)
	first, count := 0, 0 // of the neighbours that are to be written
	for i, pgno := range b.Pages {
		data := b.Data[i*size : (i+1)*size]
		if !img.take(pgno, data) {
			continue
		}
		if count == 0 || first+count != i || b.Pages[i-1]+1 != pgno {
			if err := img.writeRun(b, first, count); err != nil {
				return err
			}
			first, count = i, 0
		}
		count++
	}
	return img.writeRun(b, first, count)
}

// take tells whether a page is to be written: it is part of the database, newer
// than all that was seen of it, and not a hole already, as it may not be in a file that
// was kept.
func (img *image) take(pgno uint32, data []byte) bool {
	if pgno > img.commit || !img.present.add(pgno) {
		return false
	}
	img.hasher.Add(pgno, data)
	return img.kept != nil || !bytes.Equal(data, zeros[:len(data)])
}

// writeRun writes count pages of b from index first on.
func (img *image) writeRun(b replica.Batch, first, count int) error {
	if count == 0 {
		return nil
	}
	size, at := int(img.pageSize), int64(b.Pages[first]-1)*int64(img.pageSize)
	if err := img.writeAt(b.Data[first*size:(first+count)*size], at); err != nil {
		return fmt.Errorf("write %d pages from %d: %w", count, b.Pages[first], err)
	}
	return nil
}

func (img *image) writeAt(data []byte, at int64) error {
	if img.direct.takes(data, at) {
		if done, err := img.direct.write(data, at); done || err != nil {
			return err
		}
	}
	_, err := img.file.WriteAt(data, at)
	img.flushed.wrote(img.file, at, int64(len(data)))
	return err
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
	if got := img.hasher.Digest(img.commit); want != 0 && got != want {
		return fmt.Errorf("%w: its digest is %s, that of the state that was shipped %s", ErrUnsound, got, want)
	}
	if err := img.file.Sync(); err != nil {
		return err
	}
	return errors.Join(img.direct.close(), img.file.Close())
}

// discard removes the image, unless it has got another name.
func (img *image) discard() {
	_ = errors.Join(img.direct.close(), img.file.Close()) // may have been before
	_ = os.Remove(img.path())
}
