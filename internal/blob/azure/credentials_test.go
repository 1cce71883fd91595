package azure_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/azure"
)

func TestCredentialsAreNeverPrinted(t *testing.T) {
	c := azure.Credentials{
		Endpoint: "https://h/?sig=" + secret, ConnectionString: "AccountKey=" + secret, Account: "shop",
		AccountKey: secret, SAS: "sig=" + secret, Tier: "hot",
	}
	nested := struct {
		Azure azure.Credentials
		More  []any
	}{c, []any{c, &c}}
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(handler).Info("opened", "credentials", c, "pointer", &c, "nested", nested)
	}
	text, err := json.Marshal(nested)
	require.NoError(t, err)
	outputs := []string{log.String(), string(text), c.String(), c.GoString()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%t", "%c"} {
		outputs = append(outputs, fmt.Sprintf(verb, c), fmt.Sprintf(verb, &c), fmt.Sprintf(verb, nested))
	}
	for _, out := range outputs {
		require.NotContains(t, out, secret)
		require.NotContains(t, strings.ToLower(out), fmt.Sprintf("%x", secret))
	}
	require.Equal(t, "{endpoint=REDACTED connection_string=REDACTED account=shop account_key=REDACTED sas=REDACTED tier=hot}", c.String())
	require.Equal(t, "{}", azure.Credentials{}.String())
}

func TestNew(t *testing.T) {
	const text = "AccountName=shop;AccountKey=" + secret
	for _, tt := range []struct {
		name, url string
		c         azure.Credentials
		want      string // the store's URL
	}{
		{"Azure's own endpoint", "abs://shop@backups/a", azure.Credentials{AccountKey: secret},
			"abs://shop@backups/a?endpoint=https://shop.blob.core.windows.net"},
		{"the account of the credentials", "abs://backups/a", azure.Credentials{Account: "shop", AccountKey: secret},
			"abs://shop@backups/a?endpoint=https://shop.blob.core.windows.net"},
		{"the account of the connection string", "abs://backups/a", azure.Credentials{ConnectionString: text},
			"abs://shop@backups/a?endpoint=https://shop.blob.core.windows.net"},
		{"the suffix of the connection string", "abs://backups/a", azure.Credentials{ConnectionString: text + ";EndpointSuffix=core.chinacloudapi.cn;"},
			"abs://shop@backups/a?endpoint=https://shop.blob.core.chinacloudapi.cn"},
		{"the endpoint of the connection string", "abs://backups/a", azure.Credentials{ConnectionString: "BlobEndpoint=http://h:1/shop/;" + text},
			"abs://shop@backups/a?endpoint=http://h:1/shop"},
		{"the endpoint of the credentials before it", "abs://backups/a", azure.Credentials{Endpoint: "http://g", ConnectionString: "BlobEndpoint=http://h;" + text},
			"abs://shop@backups/a?endpoint=http://g"},
		{"the URL's endpoint before all", "abs://backups/a?endpoint=http://f", azure.Credentials{Endpoint: "http://g", ConnectionString: text},
			"abs://shop@backups/a?endpoint=http://f"},
		{"a SAS with an endpoint and no account", "abs://backups/a?endpoint=http://f", azure.Credentials{SAS: "?sv=1&sig=" + secret + "\n"},
			"abs://backups/a?endpoint=http://f"},
		{"the process's identity", "abs://shop@backups", azure.Credentials{Tier: "cold"},
			"abs://shop@backups?endpoint=https://shop.blob.core.windows.net"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, err := blob.ParseURL(tt.url)
			require.NoError(t, err)
			store, err := azure.New(u, tt.c)
			require.NoError(t, err)
			require.Equal(t, tt.want, store.String())
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, url string
		c         azure.Credentials
		want      error
		says      string
	}{
		{"no account anywhere", "abs://backups/a", azure.Credentials{}, blob.ErrConfig, "no storage account"},
		{"a key without account", "abs://backups/a?endpoint=http://f", azure.Credentials{AccountKey: secret}, blob.ErrConfig, "no storage account"},
		{"two accounts", "abs://shop@backups/a", azure.Credentials{Account: "other", AccountKey: secret}, blob.ErrConfig, "AZURE_STORAGE_ACCOUNT names other; correct one of them"},
		{"two accounts in strings", "abs://shop@backups/a", azure.Credentials{ConnectionString: "AccountName=other;AccountKey=" + secret},
			blob.ErrConfig, "the connection string is for other"},
		{"a key that is not base64", "abs://shop@backups/a", azure.Credentials{AccountKey: secret + "!"}, blob.ErrDenied, "not base64; check AZURE_STORAGE_KEY"},
		{"a SAS without signature", "abs://shop@backups/a", azure.Credentials{SAS: "sv=1&sigx=" + secret}, blob.ErrConfig, "no signature"},
		{"a connection string of one word", "abs://shop@backups/a", azure.Credentials{ConnectionString: "c2VjcmV0LXNlY3JldA"}, blob.ErrConfig, "a part has no ="},
		{"a connection string without key", "abs://shop@backups/a", azure.Credentials{ConnectionString: "AccountName=shop"}, blob.ErrConfig, "neither AccountKey"},
		{"an endpoint with a SAS", "abs://shop@backups/a", azure.Credentials{AccountKey: secret, Endpoint: "http://f?sig=" + secret}, blob.ErrConfig, "endpoint"},
		{"an identity over http", "abs://shop@backups/a?endpoint=http://f", azure.Credentials{}, blob.ErrConfig, "not https"},
		{"an unknown tier", "abs://shop@backups/a", azure.Credentials{AccountKey: secret, Tier: "archive"}, blob.ErrConfig, "choose hot, cool or cold"},
		{"a file", "file:///a", azure.Credentials{AccountKey: secret}, blob.ErrConfig, "no place in Azure"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, err := blob.ParseURL(tt.url)
			require.NoError(t, err)
			store, err := azure.New(u, tt.c)
			require.ErrorIs(t, err, tt.want)
			require.ErrorContains(t, err, tt.says)
			require.NotContains(t, err.Error(), strings.TrimRight(secret, "="))
			require.Nil(t, store)
		})
	}
}

// The law: whatever surrounds the key, no error repeats it, and none has a
// second line.
func FuzzConnectionString(f *testing.F) {
	f.Add("AccountName=shop;", ";EndpointSuffix=core.windows.net")
	f.Add("BlobEndpoint=http://%zz;AccountName=a;", "\n")
	f.Add("SharedAccessSignature=sv=1;", "=;;BlobEndpoint=https://h?x")
	f.Add("AccountName=sh op/;", "x")
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.Contains(before, "\n") || strings.Contains(after, "\n") {
			return
		}
		_, err := azure.New(blob.URL{Scheme: blob.SchemeAzure, Container: "backups"},
			azure.Credentials{ConnectionString: before + "AccountKey=" + secret + after})
		if err != nil {
			require.NotContains(t, err.Error(), secret)
			require.NotContains(t, err.Error(), "\n")
		}
	})
}
