package restore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/digest"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// noteLength is how many bytes a note takes.
const noteLength = 4096

// noteEvery is how many bytes of an object are read between two notes. A variable for
// tests alone.
var noteEvery int64 = 256 << 20

// note says how far a restore is with the object that holds all pages, which comes last
// and is most of it. It stands behind the image, as long as that is not finished, so
// that the next restore goes on there when this one is killed. It is not synced and need
// not be true: what was kept counts only if the digest of the result is right.
//
// The next restore reads the objects before that one again. Each page that the object
// gives is then one that it gave the first time, as the objects that lead from it to a
// later state have all pages that those to an earlier one have.
type note struct {
	Base   string   // key of the object with all pages
	Size   int64    // of it, in bytes
	TXID   ltx.TXID // of the state that was restored
	Page   uint32   // the last one that was written
	Offset int64    // in the object, of what follows
}

// leadsTo tells whether what n is about is of use for a restore of chain to a state with
// the digest want.
func (n note) leadsTo(chain []plan.File, want digest.Digest) bool {
	base, last := chain[0], chain[len(chain)-1]
	return want != 0 && base.Complete() && n.Base == replica.Key(base.Level, base.Min, base.Max) && n.Size == base.Size &&
		n.TXID <= last.Max && n.Page > 0 && n.Offset > ltx.HeaderSize && n.Offset < n.Size
}

// write writes n behind the image in f, which is size bytes long.
func (n note) write(f io.WriterAt, size int64) error {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(n); err != nil {
		return err
	}
	b.Write(make([]byte, noteLength-b.Len()))
	_, err := f.WriteAt(b.Bytes(), size)
	return err
}

// readNote reads the note behind the image in f and cuts it off.
func readNote(f *os.File) (n note, ok bool) {
	info, err := f.Stat()
	if err != nil || info.Size() < noteLength {
		return n, false
	}
	b := make([]byte, noteLength)
	if _, err := f.ReadAt(b, info.Size()-noteLength); err != nil {
		return n, false
	}
	if json.NewDecoder(bytes.NewReader(b)).Decode(&n) != nil {
		return n, false
	}
	return n, f.Truncate(info.Size()-noteLength) == nil
}

// adopt takes the pages up to last that no object has given yet as they are in the file.
func (img *image) adopt(ctx context.Context, last uint32) error {
	size := int(img.pageSize)
	buffer := make([]byte, 1<<20)
	lock := ltx.LockPgno(img.pageSize)
	for first := uint32(1); first <= min(last, img.commit); first += uint32(len(buffer) / size) {
		n, err := img.file.ReadAt(buffer, int64(first-1)*int64(size))
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: what an earlier restore has left cannot be read: %w", ErrUnsound, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		clear(buffer[n:]) // a hole at the end
		for i := range uint32(len(buffer) / size) {
			pgno := first + i
			if pgno <= min(last, img.commit) && pgno != lock && img.present.add(pgno) {
				img.hasher.Add(pgno, buffer[int(i)*size:int(i+1)*size])
			}
		}
	}
	return nil
}
