package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/digest"
	"github.com/holdfast-db/holdfast/internal/wal"
)

// mergeBytes is how much of all the objects of a merge is kept in memory, unread; what
// that makes for each is between the two others.
const (
	mergeBytes = 32 << 20
	mostAhead  = 4 << 20
	leastAhead = 64 << 10
)

// Merge writes the object on level that has what the objects from have together, which
// follow each other: of each page the newest version, and none beyond the database's end.
// It is of the time of the last of them and has its digest. All of them are read to
// their end, and checked; memory does not grow with their size. What has all pages is
// compared with the digest too, before it can be seen; what has only some pages cannot
// be: it is as sound as its parts, and as its own checksum when that is read back. spill
// is a directory for the index of a large object, as Draft.SpillDir.
//
// blob.ErrExists says that it is there already, ErrDamaged which object is damaged.
func (r *Replica) Merge(ctx context.Context, level int, from []Object, spill string) (o Object, err error) {
	if len(from) == 0 {
		return Object{}, errors.New("merge of nothing")
	}
	for i, next := range from[1:] {
		if !ltx.IsContiguous(from[i].Max, next.Min, next.Max) {
			return Object{}, fmt.Errorf("merge: %s does not follow %s", next.Key(), from[i].Key())
		}
	}
	readers, err := r.openAll(ctx, from)
	defer func() {
		for _, one := range readers {
			err = errors.Join(err, one.Close())
		}
	}()
	if err != nil {
		return Object{}, err
	}
	last := readers[len(readers)-1]
	for _, one := range readers {
		if one.PageSize() != last.PageSize() {
			return Object{}, fmt.Errorf("merge: %s has pages of %d bytes, %s of %d", one.object.Key(), one.PageSize(), last.object.Key(), last.PageSize())
		}
	}
	pages := newest(readers)
	if from[0].Complete() && last.object.Digest != 0 {
		pages = proven(pages, last, from[0])
	}
	return r.Put(ctx, Draft{
		Level: level, Min: from[0].Min, Max: last.object.Max, Created: last.object.Created,
		Position: wal.Position{PageSize: last.PageSize(), Commit: last.Commit()},
		Writer:   last.object.Writer, Digest: last.object.Digest, SpillDir: spill,
	}, pages)
}

// proven yields pages, all those of a database, and in the end an error unless they have
// the digest that last names.
func proven(pages Pages, last *Reader, first Object) Pages {
	return func(emit func(pgno uint32, data []byte) error) error {
		sum := digest.Hasher{PageSize: last.PageSize()}
		err := pages(func(pgno uint32, data []byte) error {
			sum.Add(pgno, data)
			return emit(pgno, data)
		})
		if got, want := sum.Digest(last.Commit()), last.object.Digest; err == nil && got != want {
			err = fmt.Errorf("%w: %s, or one that it follows down to %s: together they make the digest %s, that of the state that was shipped is %s",
				ErrDamaged, last.object.Key(), first.Key(), got, want)
		}
		return err
	}
}

// openAll opens objects, and returns those that it has opened also with an error.
func (r *Replica) openAll(ctx context.Context, objects []Object) (readers []*Reader, err error) {
	ahead := min(mostAhead, max(leastAhead, mergeBytes/len(objects)))
	for _, o := range objects {
		one, err := NewReader(&ranged{ctx: ctx, replica: r, object: o, ahead: int64(ahead)}, o)
		if err != nil {
			return readers, err
		}
		readers = append(readers, one)
	}
	return readers, nil
}

// newest yields the newest version of each page of the objects that readers read, the
// newest object last. Pages beyond its end were cut off.
func newest(readers []*Reader) Pages {
	commit := readers[len(readers)-1].Commit()
	return func(emit func(pgno uint32, data []byte) error) error {
		heads := make([]head, len(readers))
		for i := range heads {
			if err := heads[i].next(readers[i]); err != nil {
				return err
			}
		}
		for {
			least := slowest(heads)
			if least == nil {
				return nil
			}
			pgno := least.pgno
			if pgno <= commit {
				if err := emit(pgno, least.data); err != nil {
					return err
				}
			}
			for i := range heads {
				if heads[i].pgno == pgno {
					if err := heads[i].next(readers[i]); err != nil {
						return err
					}
				}
			}
		}
	}
}

// head is where the reading of an object stands.
type head struct {
	pgno uint32 // 0 when all is read
	data []byte
}

func (h *head) next(r *Reader) (err error) {
	h.pgno, h.data, err = r.Next()
	if errors.Is(err, io.EOF) {
		h.pgno, err = 0, nil
	}
	return err
}

// slowest returns the head with the lowest page, of several the newest; nil at the end.
func slowest(heads []head) (least *head) {
	for i := range heads {
		if h := &heads[i]; h.pgno != 0 && (least == nil || h.pgno <= least.pgno) {
			least = h
		}
	}
	return least
}

// ranged reads an object in pieces, each by a request of its own: a merge may wait with
// one object for longer than a store keeps a connection.
type ranged struct {
	ctx     context.Context
	replica *Replica
	object  Object
	ahead   int64
	offset  int64
	piece   bytes.Buffer
	err     error // of the store: what is read after it would not be told from the rest
}

// Read implements io.Reader.
func (r *ranged) Read(p []byte) (int, error) {
	if r.piece.Len() == 0 {
		if r.offset >= r.object.Size {
			return 0, io.EOF
		}
		if r.err == nil {
			r.err = r.fetch()
		}
		if r.err != nil {
			return 0, r.err
		}
	}
	return r.piece.Read(p)
}

func (r *ranged) fetch() (err error) {
	body, err := r.replica.Range(r.ctx, r.object, r.offset, min(r.ahead, r.object.Size-r.offset))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	n, err := r.piece.ReadFrom(body)
	r.offset += n
	if err == nil && n == 0 {
		return fmt.Errorf("%s: %w", r.object.Key(), io.ErrUnexpectedEOF)
	}
	return err
}

// Close implements io.Closer.
func (r *ranged) Close() error { return nil }
