package azure

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	sdkblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"golang.org/x/sync/errgroup"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// inFlight is how many blocks of one object are sent at once.
const inFlight = 3

// putBlocks stages first and what follows as blocks and then makes the object of them.
// Blocks that are never committed, since this process was killed or rest failed,
// cannot be read by anyone; Azure drops them after a week.
func (s *Store) putBlocks(ctx context.Context, key string, first *block, rest *blob.Body, meta blob.Metadata) (int64, error) {
	u := newUpload(s.blockBlob(key))
	size, err := u.stageAll(ctx, first, rest)
	switch {
	case rest.Err() != nil:
		return 0, fmt.Errorf("store: put %s: %w", key, rest.Err())
	case err != nil:
		return 0, s.explain(ctx, "put", key, err)
	}
	err = u.commit(ctx, meta, s.tier)
	switch {
	case err == nil:
		return size, nil
	case !isConflict(err) && !isBlocksGone(err):
		return 0, s.explain(ctx, "put", key, err)
	}
	exists, err := s.exists(ctx, key)
	switch {
	case err != nil:
		return 0, err
	case exists:
		return 0, s.fail("put", key, blob.ErrExists, "")
	}
	return 0, s.fail("put", key, blob.ErrUnavailable, "another upload of the key discarded this one's blocks")
}

// isBlocksGone says that another upload of the key was committed: that discards
// all blocks which are not in its list.
func isBlocksGone(err error) bool {
	return bloberror.HasCode(err, bloberror.InvalidBlockList, bloberror.InvalidBlobOrBlock)
}

// upload is one attempt to put a large object.
type upload struct {
	client *blockblob.Client
	prefix [16]byte // of its block ids, random
	ids    []string // in order
}

// blockID begins with the prefix and the block's number. The service wants all
// ids of a key to be equally long, those of a killed upload by another program
// too, so it has the length of the SDK's own.
type blockID [64]byte

// newUpload takes a random prefix, without which two uploads of a key would
// replace each other's blocks and commit a mixture.
func newUpload(client *blockblob.Client) *upload {
	u := &upload{client: client}
	_, _ = rand.Read(u.prefix[:]) // never fails
	return u
}

func (u *upload) nextID() string {
	var id blockID
	n := copy(id[:], u.prefix[:])
	binary.BigEndian.PutUint32(id[n:], uint32(len(u.ids)))
	u.ids = append(u.ids, base64.StdEncoding.EncodeToString(id[:]))
	return u.ids[len(u.ids)-1]
}

// stageAll sends first and what follows as blocks, up to inFlight at a time, and returns
// the size of all.
func (u *upload) stageAll(ctx context.Context, first *block, rest *blob.Body) (int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(inFlight)
	var size int64
	b, last, err := first, false, error(nil)
	for err == nil {
		size += int64(len(b.data))
		if len(b.data) > 0 {
			u.stageOn(ctx, group, b)
		} else {
			b.free()
		}
		if last {
			return size, group.Wait()
		}
		b, last, err = readBlock(ctx, rest)
	}
	cancel()
	return 0, cmp.Or(rest.Err(), group.Wait(), err)
}

// stageOn sends b on a goroutine of group, which frees it.
func (u *upload) stageOn(ctx context.Context, group *errgroup.Group, b *block) {
	id := u.nextID()
	group.Go(func() error {
		defer b.free()
		return u.stage(ctx, id, b.data)
	})
}

func (u *upload) stage(ctx context.Context, id string, block []byte) error {
	sum := md5.Sum(block)
	_, err := u.client.StageBlock(withSize(ctx, int64(len(block))), id, streaming.NopCloser(bytes.NewReader(block)),
		&blockblob.StageBlockOptions{TransactionalValidation: sdkblob.TransferValidationTypeMD5(sum[:])})
	return err
}

func (u *upload) commit(ctx context.Context, meta blob.Metadata, tier *sdkblob.AccessTier) error {
	_, err := u.client.CommitBlockList(withSize(ctx, int64(len(u.ids))*128), u.ids, &blockblob.CommitBlockListOptions{
		HTTPHeaders:      contentType,
		Metadata:         pointers(meta),
		Tier:             tier,
		AccessConditions: ifAbsent,
	})
	return err
}
