// Package driver opens the store that a replica URL names. It is the one place
// that knows all drivers.
package driver

import (
	"context"
	"fmt"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/azure"
	"github.com/holdfast-db/holdfast/internal/blob/file"
)

// Credentials are for stores that ask for some: today Azure's.
type Credentials = azure.Credentials

// Open returns the store at u. It sends no request, so a store that is away
// shows itself at the first use; errors match blob.ErrConfig or blob.ErrDenied.
func Open(ctx context.Context, u blob.URL, c Credentials) (blob.Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("store: open %s: %w", u, err)
	}
	switch u.Scheme {
	case blob.SchemeAzure:
		store, err := azure.New(u, c)
		if err != nil {
			return nil, err // and not a nil *azure.Store
		}
		return store, nil
	case blob.SchemeFile:
		return file.New(u.Path), nil
	}
	return nil, fmt.Errorf("%w: URL %q has no known scheme", blob.ErrConfig, u)
}
