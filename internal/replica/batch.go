package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"unsafe"

	"github.com/pierrec/lz4/v4"
	"github.com/superfly/ltx"
)

// Batch is a run of an object's pages, ascending.
type Batch struct {
	Pages []uint32 // their numbers
	Data  []byte   // of one after the other; it begins at a multiple of Alignment in memory
	End   int64    // offset in the object of what follows; 0 if that is not known
}

// Alignment is what the disks' own way to memory asks for, in bytes.
const Alignment = 4096

const (
	// batchBytes is about how many bytes of pages make a batch.
	batchBytes = 1 << 20

	// smallObject is up to what size an object, in bytes, is not worth other goroutines.
	smallObject = 128 << 10
)

// sizedHeader is the header of a page that says how long its frame is.
const sizedHeader = ltx.PageHeaderSize + 4

// Batches emits the object's pages as Pages does, many at once, and decompresses
// them on all processors meanwhile. A batch is valid until emit returns. Nil says
// that all of them are proven. It takes the place of Next, not turns with it.
func (r *Reader) Batches(emit func(Batch) error) error {
	sized, err := r.sized()
	if err != nil {
		return err
	}
	switch {
	case !sized:
		err = r.Pages(func(pgno uint32, data []byte) error {
			return emit(Batch{Pages: []uint32{pgno}, Data: data})
		})
		return err
	case r.object.Size > 0 && r.object.Size <= smallObject:
		err = r.unpackHere(emit)
	default:
		err = r.unpackMeanwhile(emit)
	}
	if err != nil {
		return err
	}
	if err := r.finishBatches(); err != nil {
		return r.fault(err)
	}
	return nil
}

// Skip says that the body goes on, after the header, where page last ended, which was
// read before. It is for an object with all pages. There is no checksum of a part: who
// reads one has to prove the pages otherwise.
func (r *Reader) Skip(last uint32, end int64) error {
	if !r.header.IsSnapshot() || last == 0 || last > r.header.Commit {
		return damaged(r.object.Key(), fmt.Errorf("cannot go on after page %d of %d", last, r.header.Commit))
	}
	r.prev, r.count, r.offset, r.part = last, pageCount(last, r.header.PageSize), end, true
	return nil
}

// unpackHere emits the pages of a small object.
func (r *Reader) unpackHere(emit func(Batch) error) error {
	p := parcels.Get().(*parcel)
	defer parcels.Put(p)
	for more := true; more; {
		var err error
		if more, err = r.readParcel(p); err != nil {
			return err
		}
		if err := r.unpack(p); err != nil {
			return err
		}
		if err := r.hand(p, emit); err != nil {
			return err
		}
	}
	return nil
}

// unpackMeanwhile emits pages while others are read and decompressed.
func (r *Reader) unpackMeanwhile(emit func(Batch) error) error {
	w := startUnpacking(r)
	defer w.stop()
	for p := range w.ordered {
		if err := <-p.done; err != nil {
			return err
		}
		if err := r.hand(p, emit); err != nil {
			return err
		}
		w.free <- p
	}
	return nil
}

// hand emits what is in p, which follows what was emitted before.
func (r *Reader) hand(p *parcel, emit func(Batch) error) error {
	if len(p.batch.Pages) == 0 {
		return nil
	}
	r.checksum = joinChecksums(r.checksum, p.checksum, p.hashed)
	return emit(p.batch)
}

// sized tells whether the pages' frames say how long they are, as those of older
// LTX files do not.
func (r *Reader) sized() (sized bool, err error) {
	defer r.recoverDamage(&err)
	b, err := r.buffer.Peek(ltx.PageHeaderSize)
	if err != nil {
		return false, r.fault(fmt.Errorf("cut short after the header: %w", err))
	}
	var h ltx.PageHeader
	if err := h.UnmarshalBinary(b); err != nil {
		return false, r.fault(err)
	}
	return h.IsZero() || h.Flags&ltx.PageHeaderFlagSize != 0, nil
}

// parcel is a batch on its way.
type parcel struct {
	batch   Batch
	heads   []byte     // of its frames, as the checksum sees them
	packed  []byte     // its frames' compressed pages, one after the other
	lengths []int      // of each of them
	done    chan error // one value when batch has its data, or why it will not

	checksum uint64 // of the frames as the object's checksum sees them, with their pages decompressed
	hashed   int    // bytes that it is of
}

// parcels are used again, as one object may be one of a thousand.
var parcels = sync.Pool{New: func() any { return &parcel{done: make(chan error, 1)} }}

func (p *parcel) reset() {
	p.batch.Pages, p.heads, p.packed, p.lengths = p.batch.Pages[:0], p.heads[:0], p.packed[:0], p.lengths[:0]
	p.checksum, p.hashed, p.batch.End = 0, 0, 0
}

// unpack fills the batch and adds up its checksum.
func (p *parcel) unpack(pageSize int) error {
	p.makeRoom(len(p.batch.Pages) * pageSize)
	packed := p.packed
	for i, n := range p.lengths {
		page := p.batch.Data[i*pageSize : (i+1)*pageSize]
		got, err := lz4.UncompressBlock(packed[:n], page)
		if err == nil && got != pageSize {
			err = fmt.Errorf("%d bytes, want %d", got, pageSize)
		}
		if err != nil {
			return fmt.Errorf("page %d: %w", p.batch.Pages[i], err)
		}
		packed = packed[n:]
		p.checksum = checksum(p.checksum, p.heads[i*sizedHeader:(i+1)*sizedHeader])
		p.checksum = checksum(p.checksum, page)
		p.hashed += sizedHeader + pageSize
	}
	return nil
}

// makeRoom gives the batch n bytes.
func (p *parcel) makeRoom(n int) {
	if cap(p.batch.Data) < n {
		data := make([]byte, max(n, batchBytes)+Alignment)
		past := int(uintptr(unsafe.Pointer(unsafe.SliceData(data))) % Alignment)
		p.batch.Data = data[Alignment-past:]
	}
	p.batch.Data = p.batch.Data[:n]
}

// unpacking is the goroutines behind Batches: one reads parcels, some unpack them.
type unpacking struct {
	ordered chan *parcel // in the order of the object; closed after the last
	work    chan *parcel // the same, for whoever is free
	free    chan *parcel
	quit    chan struct{}
	ended   chan struct{} // nobody reads the object any more
}

func startUnpacking(r *Reader) *unpacking {
	workers := runtime.GOMAXPROCS(0)
	count := 2*workers + 2
	w := &unpacking{
		ordered: make(chan *parcel, count), work: make(chan *parcel, count), free: make(chan *parcel, count),
		quit: make(chan struct{}), ended: make(chan struct{}),
	}
	for range count {
		w.free <- parcels.Get().(*parcel)
	}
	for range workers {
		go w.unpack(r)
	}
	go w.read(r)
	return w
}

// stop ends the reading and waits for it: the Reader may be closed then. A parcel that
// somebody may be at work on is not used again.
func (w *unpacking) stop() {
	close(w.quit)
	<-w.ended
	for {
		select {
		case p := <-w.free:
			parcels.Put(p)
		default:
			return
		}
	}
}

func (w *unpacking) unpack(r *Reader) {
	for p := range w.work {
		p.done <- r.unpack(p)
	}
}

func (r *Reader) unpack(p *parcel) (err error) {
	defer r.recoverDamage(&err)
	if err := p.unpack(int(r.header.PageSize)); err != nil {
		return damaged(r.object.Key(), err)
	}
	return nil
}

// read takes the frames of the object apart, up to the mark that ends them.
func (w *unpacking) read(r *Reader) {
	defer close(w.ended)
	defer close(w.ordered)
	defer close(w.work)
	for more := true; more; {
		var p *parcel
		select {
		case p = <-w.free:
		case <-w.quit:
			return
		}
		var err error
		if more, err = r.readParcel(p); err != nil {
			p.done <- err
			w.ordered <- p
			return
		}
		w.ordered <- p
		w.work <- p
	}
}

// readParcel fills p with frames; more is false when they have come to their end.
func (r *Reader) readParcel(p *parcel) (more bool, err error) {
	defer r.recoverDamage(&err)
	p.reset()
	for len(p.batch.Pages)*int(r.header.PageSize) < batchBytes {
		if more, err = r.readFrame(p); err != nil {
			return false, r.fault(err)
		}
		p.batch.End = r.offset
		if !more {
			return false, nil
		}
	}
	return true, nil
}

// readFrame adds one frame to p; more is false when there is none left.
func (r *Reader) readFrame(p *parcel) (more bool, err error) {
	end, err := r.peek()
	if err != nil || end {
		return false, err
	}
	head, err := r.buffer.Peek(sizedHeader)
	if err != nil {
		return false, fmt.Errorf("cut short after page %d: %w", r.prev, err)
	}
	pgno, flags := binary.BigEndian.Uint32(head), binary.BigEndian.Uint16(head[4:])
	if flags != ltx.PageHeaderFlagSize {
		return false, fmt.Errorf("page %d: flags %#x among pages with %#x", pgno, flags, ltx.PageHeaderFlagSize)
	}
	length := int(binary.BigEndian.Uint32(head[ltx.PageHeaderSize:]))
	p.heads = append(p.heads, head...)
	if _, err := r.buffer.Discard(sizedHeader); err != nil {
		return false, err
	}
	start := len(p.packed)
	p.packed = append(p.packed, make([]byte, length)...)
	if _, err := io.ReadFull(r.buffer, p.packed[start:]); err != nil {
		return false, fmt.Errorf("cut short in page %d: %w", pgno, err)
	}
	p.lengths = append(p.lengths, length)
	p.batch.Pages = append(p.batch.Pages, pgno)
	r.prev = pgno
	r.count++
	r.offset += int64(sizedHeader + length)
	return true, nil
}

// finishBatches reads what follows the pages: their end mark, the index, which is
// not needed here, and the trailer, whose last word is the checksum of all before
// it.
func (r *Reader) finishBatches() (err error) {
	defer r.recoverDamage(&err)
	const word = 8
	least := ltx.PageHeaderSize + 1 + word + ltx.TrailerSize
	total := 0
	for {
		b, err := r.buffer.Peek(r.buffer.Size())
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		rest := errors.Is(err, io.EOF)
		n := len(b) - word // may be the checksum
		if rest && total+len(b) < least {
			return fmt.Errorf("cut short after page %d", r.prev)
		}
		r.checksum = checksum(r.checksum, b[:n])
		total += n
		if rest {
			got := ltx.ChecksumFlag | ltx.Checksum(r.checksum)
			if want := ltx.Checksum(binary.BigEndian.Uint64(b[n:])); got != want && !r.part {
				return fmt.Errorf("%w: %s, want %s", ltx.ErrChecksumMismatch, got, want)
			}
			return r.checkCount()
		}
		if _, err := r.buffer.Discard(n); err != nil {
			return err
		}
	}
}
