package replica

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/superfly/ltx"
)

// largestBuffer is how much of an object is read at once, in bytes.
const largestBuffer = 64 << 10

// Reader reads the pages of one object and checks everything that the format
// promises: the header against the object's name, the order and range of the
// pages, their number where the object must hold all, the checksum, and that
// nothing follows. It needs memory for one page and a buffer. Not safe for
// concurrent use.
type Reader struct {
	object Object
	body   *trackedBody
	buffer *bufio.Reader
	dec    *ltx.Decoder
	header ltx.Header
	page   []byte

	checksum uint64 // of what Batches has read; the decoder has its own

	prev  uint32 // page number of the last page read; 0 before the first
	count uint32 // pages read

	offset int64 // of the frame after prev, where frames say how long they are
	part   bool  // the beginning was skipped

	err error // what Next has ended with
}

// Open begins to read o. The Reader must be closed.
func (r *Replica) Open(ctx context.Context, o Object) (*Reader, error) {
	body, err := r.Raw(ctx, o)
	if err != nil {
		return nil, err
	}
	reader, err := NewReader(body, o)
	if err != nil {
		return nil, errors.Join(err, body.Close())
	}
	return reader, nil
}

// Raw reads the bytes of o as they are stored, unchecked.
func (r *Replica) Raw(ctx context.Context, o Object) (io.ReadCloser, error) {
	return r.Range(ctx, o, 0, -1)
}

// Range reads length bytes of o from offset, as they are stored, unchecked; a
// negative length reads to the end.
func (r *Replica) Range(ctx context.Context, o Object, offset, length int64) (io.ReadCloser, error) {
	body, err := r.store.Get(ctx, o.Key(), offset, length)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", o.Key(), err)
	}
	return body, nil
}

// NewReader reads body as the bytes of o. The Reader owns body unless there is
// an error.
func NewReader(body io.ReadCloser, o Object) (_ *Reader, err error) {
	r := &Reader{object: o, body: &trackedBody{ReadCloser: body}}
	defer r.recoverDamage(&err)
	r.buffer = bufio.NewReaderSize(r.body, bufferFor(o.Size))
	first, err := r.buffer.Peek(ltx.HeaderSize)
	if err == nil { // else the decoder says what is wrong
		r.checksum = checksum(0, first)
	}
	r.dec = ltx.NewDecoder(r.buffer)
	r.dec.SetRetainPageIndex(false)
	if err := r.dec.DecodeHeader(); err != nil {
		return nil, r.fault(fmt.Errorf("header: %w", err))
	}
	r.header, r.offset = r.dec.Header(), ltx.HeaderSize
	if err := checkHeader(r.header, o); err != nil {
		return nil, r.fault(err)
	}
	r.page = make([]byte, r.header.PageSize)
	return r, nil
}

// bufferFor returns how much of an object of size bytes is read at once; 0 if its size
// is not known.
func bufferFor(size int64) int {
	if size <= 0 || size >= largestBuffer {
		return largestBuffer
	}
	return max(int(size), ltx.HeaderSize) + 1 // so that its end is seen
}

// Object returns what is read.
func (r *Reader) Object() Object { return r.object }

// PageSize returns the size of the pages in bytes.
func (r *Reader) PageSize() uint32 { return r.header.PageSize }

// Commit returns the size of the database after the object, in pages.
func (r *Reader) Commit() uint32 { return r.header.Commit }

// Fetched returns how many bytes of the object have been read from the store.
func (r *Reader) Fetched() int64 { return r.body.n.Load() }

// Close ends the reading of the object.
func (r *Reader) Close() error { return r.body.Close() }

// Next returns the next page; data is valid until the next call. The pages are
// proven only by the io.EOF after the last one: it comes when the checksum has
// been compared. An error that matches ErrDamaged blames the object; any other
// one is the store's.
func (r *Reader) Next() (pgno uint32, data []byte, err error) {
	if r.err != nil {
		return 0, nil, r.err
	}
	defer func() { r.err = err }()
	defer r.recoverDamage(&err)
	end, err := r.peek()
	if err != nil {
		return 0, nil, r.fault(err)
	}
	var h ltx.PageHeader
	switch err := r.dec.DecodePage(&h, r.page); {
	case end && errors.Is(err, io.EOF):
		return 0, nil, r.finish()
	case errors.Is(err, io.EOF):
		return 0, nil, r.fault(io.ErrUnexpectedEOF)
	case err != nil:
		return 0, nil, r.fault(fmt.Errorf("after page %d: %w", r.prev, err))
	}
	r.prev = h.Pgno
	r.count++
	return h.Pgno, r.page, nil
}

// Pages emits the pages that are left. Nil says that they are proven.
func (r *Reader) Pages(emit func(pgno uint32, data []byte) error) error {
	for {
		pgno, data, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := emit(pgno, data); err != nil {
			return err
		}
	}
}

// peek checks the next page's header before the decoder acts on it, and reports
// whether it is the mark that ends the pages.
func (r *Reader) peek() (end bool, err error) {
	b, err := r.buffer.Peek(ltx.PageHeaderSize)
	if err != nil {
		return false, fmt.Errorf("cut short after page %d: %w", r.prev, err)
	}
	var h ltx.PageHeader
	if err := h.UnmarshalBinary(b); err != nil {
		return false, err
	}
	if h.IsZero() {
		return true, nil
	}
	if err := r.checkPage(h); err != nil {
		return false, err
	}
	if h.Flags&ltx.PageHeaderFlagSize == 0 {
		return false, nil // before LTX had sizes; the frame brings its own limits
	}
	b, err = r.buffer.Peek(ltx.PageHeaderSize + 4)
	if err != nil {
		return false, fmt.Errorf("cut short in page %d: %w", h.Pgno, err)
	}
	size := binary.BigEndian.Uint32(b[ltx.PageHeaderSize:])
	limit := 2 * r.header.PageSize // more than LZ4 ever makes of a page; the decoder allocates what is asked for
	if size == 0 || size > limit {
		return false, fmt.Errorf("page %d: %d compressed bytes, want 1 to %d", h.Pgno, size, limit)
	}
	return false, nil
}

func (r *Reader) checkPage(h ltx.PageHeader) error {
	lock := r.header.LockPgno()
	next := r.prev + 1
	if next == lock {
		next++
	}
	switch {
	case h.Pgno <= r.prev:
		return fmt.Errorf("page %d after page %d", h.Pgno, r.prev)
	case h.Pgno > r.header.Commit:
		return fmt.Errorf("page %d of a database of %d", h.Pgno, r.header.Commit)
	case h.Pgno == lock:
		return fmt.Errorf("page %d, which is the lock page", h.Pgno)
	case r.header.IsSnapshot() && h.Pgno != next:
		return fmt.Errorf("page %d where all pages must be, want %d", h.Pgno, next)
	}
	return nil
}

// finish checks what follows the pages and returns io.EOF when all is well.
func (r *Reader) finish() error {
	if err := r.dec.Close(); err != nil {
		return r.fault(err)
	}
	if err := r.checkCount(); err != nil {
		return r.fault(err)
	}
	return io.EOF
}

func (r *Reader) checkCount() error {
	if want := pageCount(r.header.Commit, r.header.PageSize); r.header.IsSnapshot() && r.count != want {
		return fmt.Errorf("%d pages, want all %d", r.count, want)
	}
	return nil
}

func (r *Reader) fault(err error) error { return r.body.blame(r.object.Key(), err) }

// recoverDamage turns a panic of the decoder into an error: it trusts lengths
// that a damaged file has got wrong.
func (r *Reader) recoverDamage(err *error) {
	if p := recover(); p != nil {
		*err = damaged(r.object.Key(), fmt.Errorf("decoder gave up: %v", p))
	}
}

// trackedBody counts what is read and remembers why reading failed, so that a
// lost connection is not taken for damage.
type trackedBody struct {
	io.ReadCloser
	n   atomic.Int64
	err error // of the store; not io.EOF
}

func (b *trackedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// blame returns the store's error if there was one, else the object's.
func (b *trackedBody) blame(key string, err error) error {
	if b.err != nil {
		return fmt.Errorf("read %s: %w", key, storeError{b.err})
	}
	return damaged(key, err)
}

// storeError is an error of the store that never passes for the io.EOF of an
// object read to its end, though a connection that was closed may be one.
type storeError struct{ err error }

func (e storeError) Error() string        { return e.err.Error() }
func (e storeError) Is(target error) bool { return target != io.EOF && errors.Is(e.err, target) }
func (e storeError) As(target any) bool   { return errors.As(e.err, target) }

// damaged hides what it says from errors.Is: an object that is cut short must
// not pass for one that has been read to its io.EOF.
func damaged(key string, err error) error { return fmt.Errorf("%w: %s: %v", ErrDamaged, key, err) }
