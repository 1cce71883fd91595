package config

import (
	"cmp"
	"fmt"
	"os"
	"strings"

	"github.com/holdfast-db/holdfast/internal/blob/driver"
)

// The variables of the Azure CLI.
const (
	connectionStringVariable = "AZURE_STORAGE_CONNECTION_STRING"
	accountVariable          = "AZURE_STORAGE_ACCOUNT"
	keyVariable              = "AZURE_STORAGE_KEY"
	sasVariable              = "AZURE_STORAGE_SAS_TOKEN"
)

// Credentials reads what opens the store: from the variables of the Azure CLI,
// which lookup finds as os.LookupEnv does, else from the files that a names.
// Messages name variables and files, never what they hold.
func (a Azure) Credentials(lookup func(string) (string, bool)) (driver.Credentials, error) {
	c := driver.Credentials{Endpoint: a.Endpoint, Tier: a.Tier}
	c.Account, _ = lookup(accountVariable)
	for _, secret := range []struct {
		to             *string
		variable, file string
	}{
		{&c.ConnectionString, connectionStringVariable, a.ConnectionStringFile},
		{&c.AccountKey, keyVariable, a.AccountKeyFile},
		{&c.SAS, sasVariable, a.SASFile},
	} {
		if value, _ := lookup(secret.variable); value != "" {
			*secret.to = value
			continue
		}
		var err error
		if *secret.to, err = readSecret(secret.file); err != nil {
			return driver.Credentials{}, err
		}
	}
	return c, nil
}

// JanitorCredentials reads what opens the store for maintenance: the janitor's own files
// where it has one, and then none of the environment's secrets, else what opens it for
// everybody.
func (c Config) JanitorCredentials(lookup func(string) (string, bool)) (driver.Credentials, error) {
	j := c.Janitor
	j.Endpoint, j.Tier = cmp.Or(j.Endpoint, c.Azure.Endpoint), cmp.Or(j.Tier, c.Azure.Tier)
	if j.ConnectionStringFile == "" && j.AccountKeyFile == "" && j.SASFile == "" {
		j.ConnectionStringFile, j.AccountKeyFile, j.SASFile = c.Azure.ConnectionStringFile, c.Azure.AccountKeyFile, c.Azure.SASFile
		return j.Credentials(lookup)
	}
	return j.Credentials(func(name string) (string, bool) {
		if name != accountVariable {
			return "", false
		}
		return lookup(name)
	})
}

func readSecret(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read secret: %w; check the azure and janitor settings", err)
	}
	secret := strings.TrimSpace(string(data))
	if secret == "" || strings.ContainsAny(secret, "\r\n") {
		return "", fmt.Errorf("read secret: %s does not hold one line; write the secret into it, and nothing else", file)
	}
	return secret, nil
}

// Secrets returns every part of c that must never be printed, for a writer that
// masks them.
func Secrets(c driver.Credentials) []string {
	secrets := []string{c.ConnectionString, c.AccountKey, c.SAS}
	for _, part := range strings.FieldsFunc(c.ConnectionString, func(r rune) bool { return r == ';' }) {
		name, value, _ := strings.Cut(part, "=")
		if strings.EqualFold(name, "AccountKey") {
			secrets = append(secrets, value)
		}
		if strings.EqualFold(name, "SharedAccessSignature") {
			secrets = append(secrets, value, signature(value))
		}
	}
	secrets = append(secrets, signature(c.SAS))
	kept := secrets[:0]
	for _, s := range secrets {
		if s != "" {
			kept = append(kept, s)
		}
	}
	return kept
}

// signature returns the value of sig in a shared access signature.
func signature(sas string) string {
	for part := range strings.SplitSeq(strings.TrimPrefix(sas, "?"), "&") {
		if value, ok := strings.CutPrefix(part, "sig="); ok {
			return value
		}
	}
	return ""
}
