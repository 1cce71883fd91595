package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/superfly/ltx"
	"github.com/zeebo/xxh3"

	"github.com/holdfast-db/holdfast/internal/digest"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// walk reads objects in the order of the states that they end at, and knows of one
// state, page by page, that its objects were found to lead to. So an object is compared
// not only with its checksum: one that leads on from that state must come to the digest
// that it names, and what else ends at the state must have its pages.
type walk struct {
	replica *replica.Replica
	table   *digest.Table
	at      ltx.TXID // whose pages the table holds, when it is trusted

	// leant says that two objects agree about the state: one that has all pages is
	// believed upon its own word only, and that of its writer.
	leant  bool
	writer string // of the last object that led to the state
	alone  []int  // of damaged: what contradicts a state that nothing leans on

	damaged  []Damage
	digested int
}

func newWalk(r *replica.Replica, table string) (*walk, error) {
	t, err := digest.Open(table)
	if err != nil {
		return nil, err
	}
	return &walk{replica: r, table: t}, nil
}

func (w *walk) close() { _ = w.table.Close() }

// step reads o. An error is the store's, or this machine's.
func (w *walk) step(ctx context.Context, o replica.Object) error {
	body, err := w.replica.Raw(ctx, o)
	if err != nil {
		return err
	}
	hashed := &hashedBody{ReadCloser: body, sum: xxh3.New()}
	defer hashed.Close() //nolint:errcheck // only read
	why, certain, err := w.examine(hashed, o)
	if err != nil && !errors.Is(err, replica.ErrDamaged) {
		return err
	}
	if err != nil {
		why, certain = strings.TrimPrefix(err.Error(), replica.ErrDamaged.Error()+": "+o.Key()+": "), true
	}
	if why == "" {
		return nil
	}
	if _, err := io.Copy(io.Discard, hashed); err != nil {
		return fmt.Errorf("read %s: %w", o.Key(), err)
	}
	if !certain {
		w.alone = append(w.alone, len(w.damaged))
	}
	w.damaged = append(w.damaged, Damage{File: o.File, Key: o.Key(), Why: why, Sum: hashed.sum.Sum64(), Certain: certain})
	return nil
}

// examine returns what is wrong with o beyond its checksum.
func (w *walk) examine(body io.ReadCloser, o replica.Object) (why string, certain bool, err error) {
	reader, err := replica.NewReader(body, o)
	if err != nil {
		return "", false, err
	}
	known := w.table.Trusted()
	switch {
	case o.Digest == 0 && !(known && w.at == o.Max):
		return "", false, w.pass(reader)
	case known && w.at == o.Max:
		return w.compare(reader, o)
	case o.Complete():
		return w.begin(reader, o)
	case known && o.Min-1 <= w.at:
		return w.follow(reader, o)
	}
	return "", false, w.pass(reader)
}

// pass reads an object whose pages there is nothing to compare with.
func (w *walk) pass(r *replica.Reader) error {
	return r.Batches(func(replica.Batch) error { return nil })
}

// compare finds a page that is not the one of the state that is known, at which o ends.
func (w *walk) compare(r *replica.Reader, o replica.Object) (why string, certain bool, err error) {
	if r.PageSize() != w.table.PageSize() {
		return fmt.Sprintf("pages of %d bytes at a state with %d", r.PageSize(), w.table.PageSize()), w.sure(o), r.Batches(ignore)
	}
	differs := uint32(0)
	err = each(r, func(pgno uint32, data []byte) error {
		same, err := w.table.Matches(pgno, data)
		if !same && differs == 0 {
			differs = pgno
		}
		return err
	})
	w.digested++
	switch {
	case err != nil:
		return "", false, err
	case differs != 0:
		return fmt.Sprintf("page %d is not that of the state at %s", differs, o.Max), w.sure(o), nil
	case r.Commit() != w.table.Commit():
		return fmt.Sprintf("it ends with page %d, the state at %s with %d", r.Commit(), o.Max, w.table.Commit()), w.sure(o), nil
	case o.Digest != 0 && o.Digest != w.table.Digest():
		return fmt.Sprintf("it names the digest %s, the state at %s has %s", o.Digest, o.Max, w.table.Digest()), w.sure(o), nil
	}
	w.lean()
	return "", false, nil
}

// begin takes the state from o, which has all pages. Where it turns out not to be what
// it says, the state that was known before is given up.
func (w *walk) begin(r *replica.Reader, o replica.Object) (why string, certain bool, err error) {
	w.table.Distrust()
	w.leant, w.alone = false, nil
	change, err := w.table.Begin(r.PageSize(), r.Commit())
	if err != nil {
		return "", false, err
	}
	if err := each(r, change.Page); err != nil {
		return "", false, err
	}
	w.digested++
	if got := change.Digest(); got != o.Digest {
		return wrongDigest(got, o), true, nil
	}
	w.at, w.writer = o.Max, o.Writer
	return "", false, change.Apply()
}

// follow goes on from the state that is known.
func (w *walk) follow(r *replica.Reader, o replica.Object) (why string, certain bool, err error) {
	if r.PageSize() != w.table.PageSize() {
		return fmt.Sprintf("pages of %d bytes after a state with %d", r.PageSize(), w.table.PageSize()), w.sure(o), r.Batches(ignore)
	}
	change, err := w.table.Begin(r.PageSize(), r.Commit())
	if err != nil {
		return "", false, err
	}
	if err := each(r, change.Page); err != nil {
		return "", false, err
	}
	w.digested++
	if got := change.Digest(); got != o.Digest {
		return wrongDigest(got, o), w.sure(o), nil
	}
	w.at, w.writer = o.Max, o.Writer
	w.lean()
	return "", false, change.Apply()
}

// sure tells whether o is wrong when it contradicts the state that is known. Else both
// say of themselves that they are right, and one may be of another replica.
func (w *walk) sure(o replica.Object) bool {
	return w.leant || w.writer != "" && w.writer == o.Writer
}

// lean notes that another object agrees with the state: what contradicted it is wrong.
func (w *walk) lean() {
	for _, i := range w.alone {
		w.damaged[i].Certain = true
	}
	w.leant, w.alone = true, nil
}

func wrongDigest(got digest.Digest, o replica.Object) string {
	return fmt.Sprintf("with it the database has the digest %s, that of the state that was shipped is %s", got, o.Digest)
}

func ignore(replica.Batch) error { return nil }

// each calls do for each page of the object.
func each(r *replica.Reader, do func(pgno uint32, data []byte) error) error {
	size := int(r.PageSize())
	return r.Batches(func(b replica.Batch) error {
		for i, pgno := range b.Pages {
			if err := do(pgno, b.Data[i*size:(i+1)*size]); err != nil {
				return err
			}
		}
		return nil
	})
}

// hashedBody takes the sum of all that is read.
type hashedBody struct {
	io.ReadCloser
	sum *xxh3.Hasher
}

// Read implements io.Reader.
func (b *hashedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	_, _ = b.sum.Write(p[:n]) // never fails
	return n, err
}
