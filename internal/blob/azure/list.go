package azure

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// pageSize is what a page of 5,000 entries with metadata can have in bytes.
const pageSize = 5000 * 1024

// List implements blob.Store. The service orders by name and gives up to 5,000
// objects in an answer.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		root := s.url.Path
		if root != "" {
			root += "/"
		}
		full := root + prefix
		pager := s.container.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{
			Prefix:  &full,
			Include: container.ListBlobsInclude{Metadata: true},
		})
		for pager.More() {
			page, err := pager.NextPage(withSize(ctx, pageSize))
			if err != nil {
				yield(blob.Info{}, s.explain(ctx, "list", prefix, err))
				return
			}
			for _, item := range page.Segment.BlobItems {
				info := describe(item, root)
				if !isFolder(info.Metadata) && !yield(info, nil) {
					return
				}
			}
		}
	}
}

// Clock implements blob.Store: each answer is dated. A listing of one is what whoever
// reads a replica may ask for.
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	one := int32(1)
	page, err := s.container.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{MaxResults: &one}).NextPage(ctx)
	if err != nil {
		return time.Time{}, s.explain(ctx, "clock", "", err)
	}
	if page.Date == nil {
		return time.Time{}, s.fail("clock", "", nil, "an answer without a date")
	}
	return page.Date.UTC(), nil
}

func describe(item *container.BlobItem, root string) blob.Info {
	info := blob.Info{Key: strings.TrimPrefix(value(item.Name), root), Metadata: lower(item.Metadata)}
	if p := item.Properties; p != nil {
		info.Size, info.Modified = value(p.ContentLength), value(p.LastModified).UTC()
	}
	return info
}
