package azure

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// account is a storage account with the way in, put together from URL,
// credentials and connection string.
type account struct {
	name     string
	endpoint string // no slash at the end
	key, sas string // neither: the process's identity
	hint     string
}

// Hints for whoever is denied access.
const (
	hintString   = "check AZURE_STORAGE_CONNECTION_STRING or azure.connection-string-file"
	hintKey      = "check AZURE_STORAGE_KEY or azure.account-key-file"
	hintSAS      = "check AZURE_STORAGE_SAS_TOKEN or azure.sas-file: it may have expired or lack a right (read, create, write, list, delete)"
	hintIdentity = "set AZURE_STORAGE_KEY, or give this machine's identity the role Storage Blob Data Contributor"
)

// resolve decides about account, endpoint and way in. It refuses to send the
// secret of one account to another.
func resolve(u blob.URL, c Credentials) (account, error) {
	named := cmp.Or(u.Account, c.Account)
	if u.Account != "" && c.Account != "" && u.Account != c.Account {
		return account{}, fmt.Errorf("%w: the URL names account %s, AZURE_STORAGE_ACCOUNT names %s; correct one of them", blob.ErrConfig, u.Account, c.Account)
	}
	acc := account{name: named, key: strings.TrimSpace(c.AccountKey), sas: strings.TrimPrefix(strings.TrimSpace(c.SAS), "?")}
	endpoint := cmp.Or(u.Endpoint, c.Endpoint)
	if c.ConnectionString != "" {
		cs, err := parseConnectionString(c.ConnectionString)
		if err != nil {
			return account{}, err
		}
		if named != "" && cs.name != "" && cs.name != named {
			return account{}, fmt.Errorf("%w: the URL or AZURE_STORAGE_ACCOUNT names account %s, the connection string is for %s; correct one of them", blob.ErrConfig, named, cs.name)
		}
		acc = account{name: cmp.Or(cs.name, named), key: cs.key, sas: cs.sas}
		endpoint = cmp.Or(endpoint, cs.endpoint)
	}
	acc.hint = acc.chooseHint(c.ConnectionString != "")
	return acc.complete(endpoint)
}

func (a account) chooseHint(connectionString bool) string {
	switch {
	case connectionString:
		return hintString
	case a.key != "":
		return hintKey
	case a.sas != "":
		return hintSAS
	}
	return hintIdentity
}

// complete finds the endpoint and checks that nothing is missing.
func (a account) complete(endpoint string) (account, error) {
	if a.name == "" && (endpoint == "" || a.key != "") {
		return a, fmt.Errorf("%w: no storage account; write abs://account@container/path or set AZURE_STORAGE_ACCOUNT", blob.ErrConfig)
	}
	if endpoint == "" {
		endpoint = "https://" + a.name + ".blob.core.windows.net"
	}
	var err error
	if a.endpoint, err = blob.ParseEndpoint(endpoint); err != nil {
		return a, err
	}
	switch {
	case a.key == "" && a.sas != "" && !strings.Contains("&"+a.sas, "&sig="):
		return a, fmt.Errorf("%w: the SAS has no signature (sig=); %s", blob.ErrConfig, a.hint)
	case a.key == "" && a.sas == "" && strings.HasPrefix(a.endpoint, "http://"):
		return a, fmt.Errorf("%w: endpoint %s is not https, so it needs a key or a SAS; set AZURE_STORAGE_KEY", blob.ErrConfig, a.endpoint)
	}
	return a, nil
}

// connect returns a client of the container. Its transport is the process's,
// so that many replicas in an account share connections.
func (a account) connect(name string) (*container.Client, error) {
	address := a.endpoint + "/" + name
	options := &container.ClientOptions{ClientOptions: policy.ClientOptions{
		Retry:     retry(0),
		Transport: &http.Client{Transport: transport},
		Telemetry: policy.TelemetryOptions{ApplicationID: "holdfast"},

		PerCallPolicies: []policy.Policy{turnsAt(a.endpoint)},
	}}
	switch {
	case a.key != "":
		cred, err := container.NewSharedKeyCredential(a.name, a.key)
		if err != nil {
			return nil, fmt.Errorf("store: %w: the key of account %s is not base64; %s", blob.ErrDenied, a.name, a.hint)
		}
		return client(container.NewClientWithSharedKeyCredential(address, cred, options))
	case a.sas != "":
		return client(container.NewClientWithNoCredential(address+"?"+a.sas, options))
	}
	cred, err := identity()
	if err != nil {
		return nil, fmt.Errorf("store: %w: no identity for account %s; %s", blob.ErrDenied, a.name, a.hint)
	}
	return client(container.NewClient(address, cred, options))
}

// client drops the SDK's message, which may quote an address with a signature.
func client(c *container.Client, err error) (*container.Client, error) {
	if err != nil {
		return nil, fmt.Errorf("%w: no client can be made for this endpoint", blob.ErrConfig)
	}
	return c, nil
}

// identity is made once, for it keeps the tokens.
var identity = sync.OnceValues(func() (azcore.TokenCredential, error) {
	cred, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return nil, err
	}
	return tokenSource{cred}, nil
})
