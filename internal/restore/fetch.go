package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/superfly/ltx"
	"golang.org/x/sync/semaphore"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// Variables for tests alone.
var (
	// blockBytes is the most that one request asks for.
	blockBytes int64 = 16 << 20

	// aheadBytes is how much may have been read and not been used yet.
	aheadBytes int64 = 64 << 20

	// firstWait is the shortest wait before a block is asked for again.
	firstWait = 250 * time.Millisecond
)

const (
	// requests is how many are under way at once: enough for small objects in a
	// store that is some milliseconds away.
	requests = 48

	// patience is how often the rest of a block is asked for again when the
	// connection is lost, after waits that double. The store's own client has
	// tried some times by then.
	patience = 5
)

// block is a part of an object on its way.
type block struct {
	object         replica.Object
	offset, length int64
	data           []byte
	buffer         *[]byte // of buffers, where data is; nil for a small block
	err            error
	held           bool // it has its place in memory
	done           chan struct{}
}

// fetcher reads objects in the order in which they are wanted, ahead of whoever
// uses them. A block takes its place in memory before it is asked for, in that
// order, so what is wanted next is never waiting for what comes later.
type fetcher struct {
	replica *replica.Replica
	room    *semaphore.Weighted // bytes
	slots   *semaphore.Weighted // requests
	blocks  []*block            // not given out yet
	all     sync.WaitGroup      // goroutines
}

// wait returns when nothing is under way any more, which is soon after the context
// has ended.
func (f *fetcher) wait() { f.all.Wait() }

// startFetching begins to read objects: of the last one its header, and what is from the
// offset from on.
func startFetching(ctx context.Context, r *replica.Replica, objects []replica.Object, from int64) *fetcher {
	f := &fetcher{replica: r, room: semaphore.NewWeighted(aheadBytes), slots: semaphore.NewWeighted(requests)}
	for i, o := range objects {
		if i == len(objects)-1 && from > ltx.HeaderSize {
			f.want(o, 0, ltx.HeaderSize)
			f.want(o, from, o.Size)
		} else {
			f.want(o, 0, o.Size)
		}
	}
	blocks := f.blocks // next takes from the front of it
	f.all.Go(func() { f.run(ctx, blocks) })
	return f
}

// want adds a part of o, in blocks; at least one.
func (f *fetcher) want(o replica.Object, from, to int64) {
	for at := from; at < to || at == from; at += blockBytes {
		f.blocks = append(f.blocks, &block{object: o, offset: at, length: min(blockBytes, to-at), done: make(chan struct{})})
	}
}

func (f *fetcher) run(ctx context.Context, blocks []*block) {
	for i, b := range blocks {
		err := f.room.Acquire(ctx, b.takes())
		if b.held = err == nil; b.held {
			err = f.slots.Acquire(ctx, 1)
		}
		if err != nil {
			for _, b := range blocks[i:] {
				b.err = err
				close(b.done)
			}
			return
		}
		f.all.Go(func() {
			defer f.slots.Release(1)
			defer close(b.done)
			b.data, b.err = f.read(ctx, b)
		})
	}
}

// buffers are for large blocks, and used again: memory that is new to a process costs
// more than what is done with it.
var buffers = sync.Pool{New: func() any { b := make([]byte, blockBytes); return &b }}

// large tells whether a block takes one of buffers.
func (b *block) large() bool { return b.length > blockBytes/2 }

// takes is how much memory the block takes.
func (b *block) takes() int64 {
	if b.large() {
		return blockBytes
	}
	return b.length
}

// take returns an empty slice with room for the block and nothing more.
func (b *block) take() []byte {
	if !b.large() {
		return make([]byte, 0, b.length)
	}
	b.buffer = buffers.Get().(*[]byte)
	return (*b.buffer)[:0:b.length]
}

// release gives up the block's data.
func (b *block) release() {
	if b.data = nil; b.buffer != nil {
		buffers.Put(b.buffer)
		b.buffer = nil
	}
}

// read reads a block, going on where a connection was lost.
func (f *fetcher) read(ctx context.Context, b *block) ([]byte, error) {
	data := b.take()
	for try := 0; ; try++ {
		body, err := f.replica.Range(ctx, b.object, b.offset+int64(len(data)), b.length-int64(len(data)))
		if err == nil {
			before := len(data)
			data, err = appendFrom(data, body)
			if len(data) > before {
				try = 0
			}
		}
		if err == nil || try == patience || !errors.Is(err, blob.ErrUnavailable) && !errors.Is(err, blob.ErrThrottled) {
			return data, err
		}
		select {
		case <-ctx.Done():
			return data, errors.Join(err, ctx.Err())
		case <-time.After(firstWait << try):
		}
	}
}

// appendFrom appends what body yields to data, which has room for it, and closes
// body.
func appendFrom(data []byte, body io.ReadCloser) ([]byte, error) {
	defer body.Close() //nolint:errcheck // only read
	for len(data) < cap(data) {
		n, err := body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if errors.Is(err, io.EOF) {
			return data, nil
		}
		if err != nil {
			return data, err
		}
	}
	return data, nil
}

// next returns the body of the object that is wanted next, which must be o. It
// need not be read to its end.
func (f *fetcher) next(ctx context.Context, o replica.Object) io.ReadCloser {
	n := 0
	for n < len(f.blocks) && f.blocks[n].object == o {
		n++
	}
	body := &fetched{ctx: ctx, fetcher: f, blocks: f.blocks[:n]}
	f.blocks = f.blocks[n:]
	return body
}

// fetched is the body of one object.
type fetched struct {
	ctx     context.Context
	fetcher *fetcher
	blocks  []*block
	left    []byte // of the first of blocks, once it is there
	begun   bool   // left is that
}

// Read implements io.Reader.
func (b *fetched) Read(p []byte) (int, error) {
	for len(b.blocks) > 0 {
		first := b.blocks[0]
		if !b.begun {
			select {
			case <-first.done:
			case <-b.ctx.Done():
				return 0, b.ctx.Err()
			}
			b.left, b.begun = first.data, true
		}
		if n := copy(p, b.left); n > 0 {
			b.left = b.left[n:]
			return n, nil
		}
		if first.err != nil {
			return 0, first.err
		}
		if int64(len(first.data)) < first.length {
			return 0, fmt.Errorf("%w: %d bytes of %s where the list of objects says %d", replica.ErrDamaged,
				first.offset+int64(len(first.data)), first.object.Key(), first.object.Size)
		}
		b.drop()
	}
	return 0, io.EOF
}

// drop gives the first block's memory back.
func (b *fetched) drop() {
	if first := b.blocks[0]; first.held {
		b.fetcher.room.Release(first.takes())
	}
	b.blocks[0].release()
	b.blocks, b.begun, b.left = b.blocks[1:], false, nil
}

// Close implements io.Closer: what was not read is given up.
func (b *fetched) Close() error {
	for len(b.blocks) > 0 {
		<-b.blocks[0].done
		b.drop()
	}
	return nil
}
