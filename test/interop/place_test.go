package interop_test

import (
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/driver"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/test/stack"
)

func TestMain(m *testing.M) { stack.Main(m) }

// place is where a replica is, for us and for Litestream.
type place struct {
	url     blob.URL
	key     string // of the storage account; empty for files
	store   blob.Store
	replica *replica.Replica
}

// inEachPlace runs test with a place in a directory and with one in Azurite.
func inEachPlace(t *testing.T, test func(t *testing.T, p place)) {
	if testing.Short() {
		t.Skip("needs Litestream and Azurite; run make test")
	}
	t.Run("files", func(t *testing.T) { test(t, filesPlace(t)) })
	t.Run("azurite", func(t *testing.T) { test(t, azuritePlace(t)) })
}

func filesPlace(t testing.TB) place {
	t.Helper()
	return openPlace(t, blob.URL{Scheme: blob.SchemeFile, Path: filepath.Join(t.TempDir(), "replica")}, driver.Credentials{})
}

func azuritePlace(t testing.TB) place {
	t.Helper()
	s := stack.Start(t)
	u := blob.URL{
		Scheme: blob.SchemeAzure, Account: s.Account, Container: s.NewContainer(t), Path: "prod/shop", Endpoint: s.Blob,
	}
	p := openPlace(t, u, driver.Credentials{ConnectionString: s.ConnectionString})
	p.key = accountKey.FindStringSubmatch(s.ConnectionString)[1]
	return p
}

func openPlace(t testing.TB, u blob.URL, c driver.Credentials) place {
	t.Helper()
	store, err := driver.Open(t.Context(), u, c)
	if err != nil {
		t.Fatal(err)
	}
	return place{url: u, store: store, replica: replica.New(store)}
}

// holdfastRestore restores the replica at p with Holdfast into a new file and
// returns its path.
func holdfastRestore(t testing.TB, p place, target plan.Target) (string, restore.Result) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "holdfast.db")
	result, err := restore.Run(t.Context(), p.replica, restore.Options{Output: out, Target: target})
	if err != nil {
		t.Fatal(err)
	}
	return out, result
}
