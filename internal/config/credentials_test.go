package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast/internal/config"
)

func lookup(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

func mustSecret(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestCredentials(t *testing.T) {
	a := config.Azure{
		Endpoint: "http://127.0.0.1:10000/dev", Tier: "hot",
		ConnectionStringFile: mustSecret(t, "file-connection\n"),
		AccountKeyFile:       mustSecret(t, "file-key\n"),
		SASFile:              mustSecret(t, "file-sas\n"),
	}
	c, err := a.Credentials(lookup(map[string]string{"AZURE_STORAGE_ACCOUNT": "acc", "AZURE_STORAGE_KEY": "env-key"}))
	if err != nil {
		t.Fatal(err)
	}
	if c.Endpoint != a.Endpoint || c.Tier != "hot" || c.Account != "acc" {
		t.Errorf("got endpoint %q, tier %q, account %q", c.Endpoint, c.Tier, c.Account)
	}
	if c.ConnectionString != "file-connection" || c.SAS != "file-sas" {
		t.Errorf("the files were not read: got %q, %q", c.ConnectionString, c.SAS)
	}
	if c.AccountKey != "env-key" {
		t.Errorf("the environment did not win over the file: got %q", c.AccountKey)
	}
}

func TestJanitorCredentials(t *testing.T) {
	azure := config.Azure{Endpoint: "http://127.0.0.1:10000/dev", Tier: "hot", SASFile: mustSecret(t, "host-sas")}
	environ := lookup(map[string]string{"AZURE_STORAGE_ACCOUNT": "acc", "AZURE_STORAGE_KEY": "env-key", "AZURE_STORAGE_SAS_TOKEN": "env-sas"})
	c, err := config.Config{Azure: azure, Janitor: config.Azure{Tier: "cold", SASFile: mustSecret(t, "janitor-sas")}}.JanitorCredentials(environ)
	if err != nil {
		t.Fatal(err)
	}
	if c.SAS != "janitor-sas" || c.AccountKey != "" || c.ConnectionString != "" {
		t.Errorf("got SAS %q, key %q, string %q; want the janitor's own SAS and nothing else", c.SAS, c.AccountKey, c.ConnectionString)
	}
	if c.Account != "acc" || c.Endpoint != azure.Endpoint || c.Tier != "cold" {
		t.Errorf("got account %q, endpoint %q, tier %q", c.Account, c.Endpoint, c.Tier)
	}
	c, err = config.Config{Azure: azure, Janitor: config.Azure{Tier: "cold"}}.JanitorCredentials(environ)
	if err != nil || c.SAS != "env-sas" || c.AccountKey != "env-key" || c.Tier != "cold" {
		t.Errorf("without a secret of its own: SAS %q, key %q, tier %q, %v; want those of everybody", c.SAS, c.AccountKey, c.Tier, err)
	}
	if _, err := (config.Config{Janitor: config.Azure{AccountKeyFile: "/nosuch"}}).JanitorCredentials(environ); err == nil || !strings.Contains(err.Error(), "/nosuch") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestCredentialErrorsNameTheFileOnly(t *testing.T) {
	for name, file := range map[string]string{
		"two lines": mustSecret(t, "top\nsecret"),
		"empty":     mustSecret(t, " \n"),
		"missing":   filepath.Join(t.TempDir(), "missing"),
	} {
		_, err := config.Azure{SASFile: file}.Credentials(lookup(nil))
		if err == nil || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "top") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestSecretsAreAllParts(t *testing.T) {
	c, err := config.Azure{}.Credentials(lookup(map[string]string{
		"AZURE_STORAGE_CONNECTION_STRING": "AccountName=acc;AccountKey=a2V5+/==;SharedAccessSignature=sv=1&sig=inner%3D",
		"AZURE_STORAGE_KEY":               "other-key",
		"AZURE_STORAGE_SAS_TOKEN":         "?sv=1&sig=outer%3D&se=2",
		"AZURE_STORAGE_ACCOUNT":           "acc",
	}))
	if err != nil {
		t.Fatal(err)
	}
	got := config.Secrets(c)
	for _, want := range []string{"a2V5+/==", "other-key", "inner%3D", "outer%3D"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not among the secrets", want)
		}
	}
	if slices.Contains(got, "acc") || slices.Contains(got, "") {
		t.Errorf("a name or nothing is no secret: %q", got)
	}
}

func TestURLsWithSecretsAreRefusedAndNotRepeated(t *testing.T) {
	for _, row := range []struct{ name, file string }{
		{"a signature in the root", "replica: abs://c-1/p?sig=hush"},
		{"a password in the root", "replica: abs://account:hush@c-1/p"},
		{"a signature in the endpoint of the root", "replica: abs://c-1/p?endpoint=https%3A%2F%2Fx%2F%3Fsig%3Dhush"},
		{"a signature in the endpoint", "azure: {endpoint: 'https://x/?sig=hush'}"},
		{"a user in the endpoint", "azure: {endpoint: 'https://hush@x/'}"},
		{"a signature in a database's own", "databases: [{path: /a.db, replica: 'abs://c-1/p?sig=hush'}]"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := config.Load(config.Source{File: mustWrite(t, row.file)})
			if err == nil || strings.Contains(err.Error(), "hush") {
				t.Errorf("got %v", err)
			}
		})
	}
}
