package azure

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/holdfast-db/holdfast/internal/blob"
)

const (
	maxBatch = 256 // keys in one request, the service's limit
	minBatch = 4   // fewer are cheaper one by one
)

// Delete implements blob.Store. Many keys go in batches, unless the service
// does not take them.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	keys = slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return blob.CheckKey(key) != nil })
	for batch := range slices.Chunk(keys, maxBatch) {
		if len(batch) >= minBatch {
			done, err := s.deleteBatch(ctx, batch)
			if err != nil {
				return err
			}
			if done {
				continue
			}
		}
		if err := s.deleteEach(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) deleteEach(ctx context.Context, keys []string) error {
	for _, key := range keys {
		_, err := s.container.NewBlobClient(s.name(key)).Delete(ctx, nil)
		if err == nil {
			continue
		}
		if err = s.explain(ctx, "delete", key, err); !errors.Is(err, blob.ErrNotFound) {
			return err
		}
	}
	return nil
}

// deleteBatch sends one request for keys. Not done without error: the service
// does not take batches here.
func (s *Store) deleteBatch(ctx context.Context, keys []string) (done bool, err error) {
	batch, err := s.container.NewBatchBuilder()
	if err != nil {
		return false, nil
	}
	for _, key := range keys {
		if err := batch.Delete(s.name(key), nil); err != nil {
			return false, nil
		}
	}
	resp, err := s.container.SubmitBatch(withSize(ctx, maxBatch*1024), batch, nil)
	if isRefused(err) {
		return false, nil
	}
	if err != nil {
		return false, s.explain(ctx, "delete", "", err)
	}
	for _, item := range resp.Responses {
		if item.Error == nil || item.ContentID == nil {
			continue
		}
		err := s.explain(ctx, "delete", keys[*item.ContentID], item.Error)
		if !errors.Is(err, blob.ErrNotFound) {
			return false, err
		}
	}
	return true, nil
}

// isRefused tells a service that takes no batches from one that is in trouble
// or denies access.
func isRefused(err error) bool {
	var answer *azcore.ResponseError
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.StatusCode {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusConflict, http.StatusNotImplemented:
		return true
	}
	return false
}
