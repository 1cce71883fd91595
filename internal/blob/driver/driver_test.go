package driver_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/azure"
	"github.com/holdfast-db/holdfast/internal/blob/driver"
	"github.com/holdfast-db/holdfast/internal/blob/file"
)

func TestOpen(t *testing.T) {
	key := driver.Credentials{AccountKey: "c2VjcmV0"}
	for _, tt := range []struct {
		name, url string
		c         driver.Credentials
		want      blob.Store
		wantErr   error
	}{
		{"a directory", "file:///a", driver.Credentials{}, (*file.Store)(nil), nil},
		{"a container", "abs://shop@backups/a", key, (*azure.Store)(nil), nil},
		{"a container of nobody", "abs://backups/a", key, nil, blob.ErrConfig},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, err := blob.ParseURL(tt.url)
			require.NoError(t, err)
			store, err := driver.Open(t.Context(), u, tt.c)
			require.ErrorIs(t, err, tt.wantErr)
			require.IsType(t, tt.want, store)
			require.Equal(t, tt.wantErr != nil, store == nil)
		})
	}
}

func TestOpenWorksInADirectory(t *testing.T) {
	u := blob.URL{Scheme: blob.SchemeFile, Path: t.TempDir()}.Join("shop")
	store, err := driver.Open(t.Context(), u, driver.Credentials{})
	require.NoError(t, err)
	_, err = store.Put(t.Context(), "a", strings.NewReader("abc"), nil)
	require.NoError(t, err)
	require.FileExists(t, u.Path+"/a")
}

func TestOpenRefuses(t *testing.T) {
	_, err := driver.Open(t.Context(), blob.URL{}, driver.Credentials{})
	require.ErrorIs(t, err, blob.ErrConfig)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = driver.Open(ctx, blob.URL{Scheme: blob.SchemeFile, Path: "/a"}, driver.Credentials{})
	require.ErrorIs(t, err, context.Canceled)
}
