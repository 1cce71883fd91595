package azure

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	sdkblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// errStalled is the cause of a download that got no byte for stallTime.
var errStalled = errors.New("stalled")

// Get implements blob.Store. A connection that breaks in the middle is replaced
// by one that goes on where it ended; three in one place are the end.
func (s *Store) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if blob.CheckKey(key) != nil {
		return nil, s.fail("get", key, blob.ErrNotFound, "")
	}
	if length == 0 { // which would mean the rest to the SDK
		_, err := s.Stat(ctx, key)
		return io.NopCloser(bytes.NewReader(nil)), err
	}
	d := &download{store: s, ctx: ctx, key: key}
	inner, cancel := context.WithCancelCause(withoutTimeout(ctx))
	d.inner, d.cancel = inner, cancel
	d.stall = time.AfterFunc(stallTime, func() { cancel(errStalled) })
	resp, err := s.container.NewBlobClient(s.name(key)).DownloadStream(inner, &sdkblob.DownloadStreamOptions{
		Range: sdkblob.HTTPRange{Offset: offset, Count: max(length, 0)},
	})
	d.stall.Stop()
	if bloberror.HasCode(err, bloberror.InvalidRange) {
		cancel(nil)
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	if err != nil {
		defer cancel(nil)
		return nil, d.explain(err)
	}
	d.body = resp.NewRetryReader(inner, &sdkblob.RetryReaderOptions{MaxRetries: tries - 1})
	return d, nil
}

// download is the body of an answer. Close ends it.
type download struct {
	store  *Store
	ctx    context.Context // the caller's
	inner  context.Context // ends also when the download stalls
	cancel context.CancelCauseFunc
	stall  *time.Timer
	key    string
	body   io.ReadCloser
}

// Read implements io.Reader. Only the time spent in it counts as stalling.
func (d *download) Read(p []byte) (int, error) {
	if err := d.ctx.Err(); err != nil {
		return 0, d.store.explain(d.ctx, "get", d.key, err)
	}
	d.stall.Reset(stallTime)
	n, err := d.body.Read(p)
	d.stall.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = d.explain(err)
	}
	return n, err
}

func (d *download) explain(err error) error {
	if cause := context.Cause(d.inner); errors.Is(cause, errStalled) {
		err = cause
	}
	return d.store.explain(d.ctx, "get", d.key, err)
}

// Close implements io.Closer.
func (d *download) Close() error {
	d.stall.Stop()
	err := d.body.Close()
	d.cancel(nil)
	return err
}
