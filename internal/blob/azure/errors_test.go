package azure_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/stretchr/testify/require"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/azure"
)

// secret is a key that is well formed and nobody's.
const secret = "c2VjcmV0LXNlY3JldA=="

func TestRefusals(t *testing.T) {
	a := mustAzurite(t)
	for _, tt := range []struct {
		name   string
		change func(u *blob.URL, c *azure.Credentials)
		want   error
		says   []string
	}{
		{"a wrong key", func(_ *blob.URL, c *azure.Credentials) { *c = azure.Credentials{AccountKey: secret} },
			blob.ErrDenied, []string{"devstoreaccount1", "check AZURE_STORAGE_KEY"}},
		{"a key in a wrong connection string", func(_ *blob.URL, c *azure.Credentials) {
			c.ConnectionString = "AccountName=devstoreaccount1;AccountKey=" + secret
		}, blob.ErrDenied, []string{"check AZURE_STORAGE_CONNECTION_STRING"}},
		{"a SAS of nobody", func(_ *blob.URL, c *azure.Credentials) {
			*c = azure.Credentials{SAS: "?sv=2025-01-05&sr=c&sp=rwdl&se=2099-01-01T00:00:00Z&sig=" + secret}
		}, blob.ErrDenied, []string{"check AZURE_STORAGE_SAS_TOKEN"}},
		{"no such container", func(u *blob.URL, _ *azure.Credentials) { u.Container = "missing" },
			blob.ErrNoContainer, []string{"container missing of account devstoreaccount1", "create it"}},
		{"no such account", func(u *blob.URL, c *azure.Credentials) {
			u.Account, u.Endpoint = "nobody", strings.Replace(u.Endpoint, "devstoreaccount1", "nobody", 1)
			*c = azure.Credentials{AccountKey: secret}
		}, blob.ErrNoContainer, []string{"of account nobody", "check the replica URL"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, c := a.url, azure.Credentials{ConnectionString: a.connectionString}
			tt.change(&u, &c)
			store, err := azure.New(u, c)
			require.NoError(t, err)
			for _, op := range operations {
				err := op.call(t.Context(), store)
				require.ErrorIs(t, err, tt.want, op.name)
				mustBeOneLine(t, err)
				for _, says := range tt.says {
					require.ErrorContains(t, err, says, op.name)
				}
				require.True(t, strings.HasPrefix(err.Error(), "store: "+strings.Fields(op.name)[0]), err)
			}
		})
	}
}

func TestSASWithoutTheRightToWrite(t *testing.T) {
	a := mustAzurite(t)
	mustPut(t, a.mustOpen(t), "a", []byte("abc"))
	client, err := container.NewClientFromConnectionString(a.connectionString, a.url.Container, nil)
	require.NoError(t, err)
	address, err := client.GetSASURL(sas.ContainerPermissions{Read: true, List: true}, time.Now().Add(time.Hour), nil)
	require.NoError(t, err)
	_, token, _ := strings.Cut(address, "?")
	store, err := azure.New(a.url, azure.Credentials{SAS: token})
	require.NoError(t, err)

	require.Equal(t, "abc", string(mustGet(t, store, "a")))
	_, err = store.Put(t.Context(), "b", strings.NewReader("x"), nil)
	require.ErrorIs(t, err, blob.ErrDenied)
	require.ErrorContains(t, err, "lack a right")
	for _, key := range [][]string{{"a"}, {"a", "b", "c", "d"}} {
		require.ErrorIs(t, store.Delete(t.Context(), key...), blob.ErrDenied)
	}
	require.NotContains(t, store.String(), "sig=")
}

func TestUnreachable(t *testing.T) {
	for _, tt := range []struct{ name, endpoint, says string }{
		{"nobody listens", "http://" + mustFreeAddress(t) + "/shop", "connection refused"},
		{"no such host", "http://shop.blob.invalid", "no such host shop.blob.invalid); check the replica URL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store, err := azure.New(blob.URL{Scheme: blob.SchemeAzure, Account: "shop", Container: "backups", Endpoint: tt.endpoint},
				azure.Credentials{AccountKey: secret})
			require.NoError(t, err)
			for _, op := range operations {
				t.Run(op.name, func(t *testing.T) {
					t.Parallel()
					start := time.Now()
					err := op.call(t.Context(), store)
					require.ErrorIs(t, err, blob.ErrUnavailable)
					require.ErrorContains(t, err, tt.says)
					require.Less(t, time.Since(start), 10*time.Second)
					mustBeOneLine(t, err)
				})
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want error
	}{
		{"without rights", errors.New("DefaultAzureCredential: failed\nmany lines"), blob.ErrDenied},
		{"whose authority cannot be reached", &net.DNSError{Err: "no such host", Name: "login.example", IsNotFound: true}, blob.ErrUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			azure.SetIdentity(t, noToken{tt.err})
			store, err := azure.New(blob.URL{Scheme: blob.SchemeAzure, Account: "shop", Container: "backups"}, azure.Credentials{})
			require.NoError(t, err)
			_, err = store.Stat(t.Context(), "a")
			require.ErrorIs(t, err, tt.want)
			mustBeOneLine(t, err)
			if tt.want == blob.ErrDenied {
				require.ErrorContains(t, err, "Storage Blob Data Contributor")
			}
		})
	}
}

type noToken struct{ err error }

func (n noToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, n.err
}

// mustFreeAddress returns one at which nobody listens.
func mustFreeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// mustBeOneLine also holds what an error may never show.
func mustBeOneLine(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	for e := err; e != nil; e = errors.Unwrap(e) {
		require.NotContains(t, e.Error(), "\n")
		require.NotContains(t, e.Error(), "sig=")
		require.NotContains(t, e.Error(), secret)
		var response *azcore.ResponseError
		require.False(t, errors.As(e, &response), "the SDK's error holds the request")
	}
}
