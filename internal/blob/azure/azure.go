// Package azure keeps a replica in a container of Azure Blob Storage, or of
// Azurite, as block blobs under the path of the replica's URL.
//
// A put is create-only by If-None-Match: *, which both Put Blob and Put Block
// List judge in the service. Each request that carries content carries its MD5,
// so the service refuses what was damaged on the way. Azure's CRC64 and
// structured messages would do the same, but Azurite has neither.
//
// Retries are the SDK's: three tries within a few seconds. Whoever calls decides
// about longer ones. A request that the SDK repeated after the service had
// carried it out comes back as blob.ErrExists.
//
// Errors are one line and hold neither addresses with signatures nor what the
// SDK says about a request: they end up in histories that others can read.
//
// Facts: https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
package azure

import (
	"context"
	"fmt"
	"path"
	"strings"

	sdkblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// Store is a blob.Store in a container.
type Store struct {
	url       blob.URL
	account   string
	container *container.Client
	hint      string // what to look at when access is denied
	tier      *sdkblob.AccessTier
}

// New returns the store at u. It sends no request; errors match blob.ErrConfig
// or, for a key that cannot be one, blob.ErrDenied.
func New(u blob.URL, c Credentials) (*Store, error) {
	if u.Scheme != blob.SchemeAzure || u.Container == "" {
		return nil, fmt.Errorf("%w: %s is no place in Azure Blob Storage", blob.ErrConfig, u)
	}
	tier, err := parseTier(c.Tier)
	if err != nil {
		return nil, err
	}
	acc, err := resolve(u, c)
	if err != nil {
		return nil, err
	}
	client, err := acc.connect(u.Container)
	if err != nil {
		return nil, err
	}
	u.Account, u.Endpoint = acc.name, acc.endpoint
	return &Store{url: u, account: acc.name, container: client, hint: acc.hint, tier: tier}, nil
}

// String returns the URL, with the account and the endpoint that were found.
func (s *Store) String() string { return s.url.String() }

func (s *Store) name(key string) string { return path.Join(s.url.Path, key) }

func (s *Store) blockBlob(key string) *blockblob.Client {
	return s.container.NewBlockBlobClient(s.name(key))
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, key string) (blob.Info, error) {
	if blob.CheckKey(key) != nil {
		return blob.Info{}, s.fail("stat", key, blob.ErrNotFound, "")
	}
	resp, err := s.container.NewBlobClient(s.name(key)).GetProperties(ctx, nil)
	if err != nil {
		return blob.Info{}, s.explain(ctx, "stat", key, err)
	}
	meta := lower(resp.Metadata)
	if isFolder(meta) {
		return blob.Info{}, s.fail("stat", key, blob.ErrNotFound, "")
	}
	return blob.Info{Key: key, Size: value(resp.ContentLength), Modified: value(resp.LastModified).UTC(), Metadata: meta}, nil
}

// lower returns metadata with keys in lower case: in answers to HEAD they are
// names of headers, which Go capitalises.
func lower(meta map[string]*string) blob.Metadata {
	if len(meta) == 0 {
		return nil
	}
	out := make(blob.Metadata, len(meta))
	for key, v := range meta {
		out[strings.ToLower(key)] = value(v)
	}
	return out
}

// isFolder tells the entries that accounts with a hierarchical namespace have
// for folders from objects.
func isFolder(meta blob.Metadata) bool { return meta["hdi_isfolder"] == "true" }

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func parseTier(s string) (*sdkblob.AccessTier, error) {
	var tier sdkblob.AccessTier
	switch s {
	case "":
		return nil, nil
	case "hot":
		tier = sdkblob.AccessTierHot
	case "cool":
		tier = sdkblob.AccessTierCool
	case "cold":
		tier = sdkblob.AccessTierCold
	default:
		return nil, fmt.Errorf("%w: unknown tier %q; choose hot, cool or cold", blob.ErrConfig, s)
	}
	return &tier, nil
}
