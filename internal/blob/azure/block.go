package azure

import (
	"context"
	"io"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/holdfast-db/holdfast/internal/blob"
)

const (
	// blockSize is the largest object that is put in one request, and the size of the
	// blocks of larger ones, in bytes.
	blockSize = 8 << 20

	// blocksAtOnce is how many blocks all puts of the process hold in memory. An object
	// of up to smallSize bytes needs none.
	blocksAtOnce = 32
	smallSize    = 64 << 10
)

var (
	room = semaphore.NewWeighted(blocksAtOnce)

	// spare holds the memory of blocks that were freed. A try that was given up may still
	// be sending from it: by its MD5 the service refuses what is not that block any more.
	spare = sync.Pool{New: func() any { return new([blockSize]byte) }}
)

// block is a part of an object in memory.
type block struct {
	data []byte
	free func() // may be called again
}

// readBlock waits for room and fills a block from body. last tells that body has ended;
// the error is that of ctx or of body.
func readBlock(ctx context.Context, body *blob.Body) (b *block, last bool, err error) {
	if err := room.Acquire(ctx, 1); err != nil {
		return nil, false, err
	}
	memory := spare.Get().(*[blockSize]byte)
	b = &block{free: sync.OnceFunc(func() {
		spare.Put(memory)
		room.Release(1)
	})}
	n, err := io.ReadFull(body, memory[:])
	if body.Err() != nil {
		b.free()
		return nil, false, body.Err()
	}
	b.data = memory[:n]
	return b, err != nil, nil
}
