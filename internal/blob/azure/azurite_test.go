package azure_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/azure"
	"github.com/holdfast-db/holdfast/internal/blob/blobtest"
	"github.com/holdfast-db/holdfast/test/stack"
)

func TestMain(m *testing.M) { stack.Main(m) }

// azurite is a container of a real Azurite that nobody else uses.
type azurite struct {
	url              blob.URL
	connectionString string
}

func mustAzurite(t *testing.T) azurite {
	t.Helper()
	s := stack.Start(t)
	return azurite{
		url:              blob.URL{Scheme: blob.SchemeAzure, Account: s.Account, Container: s.NewContainer(t), Path: "replicas/shop", Endpoint: s.Blob},
		connectionString: s.ConnectionString,
	}
}

func (a azurite) mustOpen(t *testing.T) *azure.Store {
	t.Helper()
	store, err := azure.New(a.url, azure.Credentials{ConnectionString: a.connectionString})
	require.NoError(t, err)
	return store
}

func TestStore(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return mustAzurite(t).mustOpen(t) })
}
