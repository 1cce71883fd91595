package azure

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	sdkblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// Put implements blob.Store. Of an object above smallSize it holds up to four blocks in
// memory, for which it waits its turn.
func (s *Store) Put(ctx context.Context, key string, body io.Reader, meta blob.Metadata) (int64, error) {
	if err := blob.CheckKey(key); err != nil {
		return 0, fmt.Errorf("store: put: %w", err)
	}
	if err := meta.Check(); err != nil {
		return 0, fmt.Errorf("store: put %s: %w", key, err)
	}
	given := blob.NewBody(ctx, body)
	ahead := bufio.NewReaderSize(given, smallSize)
	small, end := ahead.Peek(smallSize)
	switch {
	case given.Err() != nil:
		return 0, fmt.Errorf("store: put %s: %w", key, given.Err())
	case end != nil:
		return s.putWhole(ctx, key, &block{data: small, free: func() {}}, meta)
	}
	source := blob.NewBody(ctx, ahead)
	first, _, err := readBlock(ctx, source)
	if err != nil {
		return 0, fmt.Errorf("store: put %s: %w", key, err)
	}
	defer first.free()
	switch _, end := ahead.Peek(1); {
	case given.Err() != nil:
		return 0, fmt.Errorf("store: put %s: %w", key, given.Err())
	case end != nil:
		return s.putWhole(ctx, key, first, meta)
	}
	return s.putBlocks(ctx, key, first, source, meta)
}

// putWhole puts an object in one request.
func (s *Store) putWhole(ctx context.Context, key string, only *block, meta blob.Metadata) (int64, error) {
	data, sum := only.data, md5.Sum(only.data)
	_, err := s.blockBlob(key).Upload(withSize(ctx, int64(len(data))), streaming.NopCloser(bytes.NewReader(data)), &blockblob.UploadOptions{
		TransactionalValidation: sdkblob.TransferValidationTypeMD5(sum[:]),
		HTTPHeaders:             contentType,
		Metadata:                pointers(meta),
		Tier:                    s.tier,
		AccessConditions:        ifAbsent,
	})
	switch {
	case err == nil:
		return int64(len(data)), nil
	case !isConflict(err):
		return 0, s.explain(ctx, "put", key, err)
	}
	exists, err := s.exists(ctx, key)
	switch {
	case err != nil:
		return 0, err
	case exists:
		return 0, s.fail("put", key, blob.ErrExists, "")
	}
	// Azurite refuses because of the uncommitted blocks of a killed upload.
	return s.putBlocks(ctx, key, only, blob.NewBody(ctx, http.NoBody), meta)
}

// exists asks, after a refused put, whether the object is there to be read.
func (s *Store) exists(ctx context.Context, key string) (bool, error) {
	_, err := s.container.NewBlobClient(s.name(key)).GetProperties(ctx, nil)
	if err == nil {
		return true, nil
	}
	if err = s.explain(ctx, "stat", key, err); errors.Is(err, blob.ErrNotFound) {
		return false, nil
	}
	return false, err
}

// isConflict tells the refusals of If-None-Match from other answers.
func isConflict(err error) bool {
	var answer *azcore.ResponseError
	return errors.As(err, &answer) &&
		(answer.StatusCode == http.StatusConflict || answer.StatusCode == http.StatusPreconditionFailed)
}

var (
	ifAbsent = &sdkblob.AccessConditions{
		ModifiedAccessConditions: &sdkblob.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)},
	}
	contentType = &sdkblob.HTTPHeaders{BlobContentType: to.Ptr("application/octet-stream")}
)

func pointers(meta blob.Metadata) map[string]*string {
	out := make(map[string]*string, len(meta))
	for key, v := range meta {
		out[key] = to.Ptr(v)
	}
	return out
}
