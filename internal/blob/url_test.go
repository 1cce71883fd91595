package blob_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-db/holdfast/internal/blob"
)

func TestParseURL(t *testing.T) {
	const azurite = "http://127.0.0.1:10000/devstoreaccount1"
	for _, tt := range []struct {
		name, in string
		want     blob.URL
		text     string // what String gives; empty: the input
	}{
		{name: "account, container and path", in: "abs://shop@backups/prod/web-1",
			want: blob.URL{Scheme: "abs", Account: "shop", Container: "backups", Path: "prod/web-1"}},
		{name: "no account", in: "abs://backups/prod",
			want: blob.URL{Scheme: "abs", Container: "backups", Path: "prod"}},
		{name: "a container's root", in: "abs://shop@backups",
			want: blob.URL{Scheme: "abs", Account: "shop", Container: "backups"}},
		{name: "a slash at the end is nothing", in: "abs://shop@backups/prod//a/../", text: "abs://shop@backups/prod",
			want: blob.URL{Scheme: "abs", Account: "shop", Container: "backups", Path: "prod"}},
		{name: "no way out of the container", in: "abs://shop@backups/../../x", text: "abs://shop@backups/x",
			want: blob.URL{Scheme: "abs", Account: "shop", Container: "backups", Path: "x"}},
		{name: "an endpoint", in: "abs://devstoreaccount1@holdfast/path?endpoint=" + azurite,
			want: blob.URL{Scheme: "abs", Account: "devstoreaccount1", Container: "holdfast", Path: "path", Endpoint: azurite}},
		{name: "an escaped endpoint", in: "abs://holdfast?endpoint=http%3A%2F%2F127.0.0.1%3A10000%2Fdevstoreaccount1%2F", text: "abs://holdfast?endpoint=" + azurite,
			want: blob.URL{Scheme: "abs", Container: "holdfast", Endpoint: azurite}},
		{name: "a path that must be escaped", in: "abs://holdfast/a%20b%23c%3Fd%25",
			want: blob.URL{Scheme: "abs", Container: "holdfast", Path: "a b#c?d%"}},
		{name: "upper-case scheme", in: "ABS://holdfast/x", text: "abs://holdfast/x",
			want: blob.URL{Scheme: "abs", Container: "holdfast", Path: "x"}},
		{name: "a file", in: "file:///var/backups/shop",
			want: blob.URL{Scheme: "file", Path: "/var/backups/shop"}},
		{name: "a file with one slash", in: "file:/var/backups/", text: "file:///var/backups",
			want: blob.URL{Scheme: "file", Path: "/var/backups"}},
		{name: "a file with spaces", in: "file:///my%20backups",
			want: blob.URL{Scheme: "file", Path: "/my backups"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := blob.ParseURL(tt.in)
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
			if tt.text == "" {
				tt.text = tt.in
			}
			require.Equal(t, tt.text, got.String())
		})
	}
}

func TestParseURLRefuses(t *testing.T) {
	const secret = "c2VjcmV0LWtleQ=="
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", "", "no scheme"},
		{"a bare path", "/var/backups", "no scheme"},
		{"a connection string", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=" + secret, "no scheme"},
		{"another store", "s3://bucket/path", `unknown scheme "s3"`},
		{"Azure's own address with a SAS", "https://shop.blob.core.windows.net/backups?sv=1&sig=" + secret, `unknown scheme "https"`},
		{"a scheme that is too long to be one", strings.Repeat("x", 40) + "://a", "unknown scheme;"},
		{"no container", "abs:///path", "no container"},
		{"only an account", "abs://shop@/path", "no container"},
		{"opaque", "abs:backups/path", "no container"},
		{"upper-case container", "abs://shop@Backups/x", "bad container name"},
		{"short container", "abs://shop@ab/x", "bad container name"},
		{"long container", "abs://" + strings.Repeat("a", 64) + "/x", "bad container name"},
		{"two hyphens", "abs://a--b/x", "bad container name"},
		{"a port", "abs://shop@backups:10000/x", "bad container name"},
		{"a dot in the account", "abs://shop.blob@backups/x", "bad account name"},
		{"an empty account", "abs://@backups/x", "bad account name"},
		{"a password", "abs://shop:" + secret + "@backups/x", "AZURE_STORAGE_KEY"},
		{"an empty password", "abs://shop:@backups/x", "AZURE_STORAGE_KEY"},
		{"a password with slashes", "abs://shop:ab/" + secret + "@backups/x", "not a URL"},
		{"a SAS", "abs://shop@backups/x?sv=2026&sig=" + secret, "AZURE_STORAGE_SAS_TOKEN"},
		{"a SAS in the endpoint", "abs://backups/x?endpoint=https://h/%3Fsig=" + secret, "AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN"},
		{"a password in the endpoint", "abs://backups/x?endpoint=https://u:" + secret + "@h", "AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN"},
		{"an unknown query", "abs://backups/x?tier=hot", `unknown query "tier"`},
		{"a secret as query", "abs://backups/x?" + secret, "unknown query;"},
		{"two endpoints", "abs://backups?endpoint=http://a&endpoint=http://b", "more than one endpoint"},
		{"an empty endpoint", "abs://backups?endpoint=", "bad endpoint"},
		{"an endpoint without scheme", "abs://backups?endpoint=127.0.0.1:10000", "bad endpoint"},
		{"a bad query", "abs://backups?endpoint=%zz", "bad query"},
		{"a fragment", "abs://backups/x#y", "fragment"},
		{"an empty fragment", "abs://backups/x#", "fragment"},
		{"a control character", "abs://backups/a%0Ab", "control character"},
		{"a backslash", "abs://backups/a%5Cb", "backslash"},
		{"not UTF-8", "abs://backups/%ff", "UTF-8"},
		{"a relative file", "file://backups/shop", "absolute path"},
		{"a relative file without slashes", "file:backups", "absolute path"},
		{"the root of the file system", "file:///", "no path"},
		{"a file with a query", "file:///x?endpoint=http://a", "neither account nor query"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := blob.ParseURL(tt.in)
			require.ErrorIs(t, err, blob.ErrConfig)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), secret)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestJoin(t *testing.T) {
	for _, tt := range []struct{ name, root, below, want string }{
		{"one segment", "abs://shop@backups/prod", "shop", "abs://shop@backups/prod/shop"},
		{"several segments", "file:///backups", "web-1/a/b", "file:///backups/web-1/a/b"},
		{"below a container's root", "abs://shop@backups", "shop", "abs://shop@backups/shop"},
		{"the endpoint stays", "abs://backups/a?endpoint=http://h", "b", "abs://backups/a/b?endpoint=http://h"},
		{"never out of the root", "abs://backups/a", "../../b", "abs://backups/a/b"},
		{"nothing", "abs://backups/a", "", "abs://backups/a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root, err := blob.ParseURL(tt.root)
			require.NoError(t, err)
			require.Equal(t, tt.want, root.Join(tt.below).String())
		})
	}
}

// The law: what String writes, ParseURL reads back as the same URL.
func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"abs://shop@backups/prod", "abs://backups?endpoint=http://127.0.0.1:10000/devstoreaccount1", "file:///a/b",
		"abs://backups/a%20b%23%25?endpoint=https://h:1/%2f/", "file:////", "abs://c-c/./../x", "file:///~a;b=c,d@e:f",
		"abs://backups?endpoint=http://[::1]/", "abs://backups?endpoint=http://h/a+b%26c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := blob.ParseURL(s)
		if err != nil {
			require.ErrorIs(t, err, blob.ErrConfig)
			return
		}
		again, err := blob.ParseURL(u.String())
		require.NoError(t, err, "%q of %q", u.String(), s)
		require.Equal(t, u, again)
		require.Equal(t, u.String(), again.String())
		below, err := blob.ParseURL(u.Join("name/x").String())
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(below.Path, u.Path))
	})
}
