package azure

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Credentials say who may use a store, and how to reach it. The first of
// connection string, account key and SAS that is there is used; with none of
// them the process's own identity is (DefaultAzureCredential). However they are
// printed, logged or encoded, secrets stay out.
type Credentials struct {
	Endpoint         string // of the blob service; empty: Azure's own. The URL's wins
	ConnectionString string // secret
	Account          string // the URL's must be the same, or none
	AccountKey       string // secret
	SAS              string // secret; with or without the question mark
	Tier             string // of new objects: hot, cool, cold; empty: the account's default
}

// String names the secrets that are there without giving them away.
func (c Credentials) String() string {
	var parts []string
	for _, field := range []struct {
		name, value string
		secret      bool
	}{
		{"endpoint", c.Endpoint, strings.Contains(c.Endpoint, "?") || strings.Contains(c.Endpoint, "@")},
		{"connection_string", c.ConnectionString, true},
		{"account", c.Account, false},
		{"account_key", c.AccountKey, true},
		{"sas", c.SAS, true},
		{"tier", c.Tier, false},
	} {
		switch {
		case field.value == "":
		case field.secret:
			parts = append(parts, field.name+"=REDACTED")
		default:
			parts = append(parts, field.name+"="+field.value)
		}
	}
	return "{" + strings.Join(parts, " ") + "}"
}

// GoString is String, for %#v.
func (c Credentials) GoString() string { return "azure.Credentials" + c.String() }

// Format writes String whatever the verb, since those for numbers would print
// the fields.
func (c Credentials) Format(f fmt.State, verb rune) {
	if verb == 'v' && f.Flag('#') {
		_, _ = io.WriteString(f, c.GoString())
		return
	}
	_, _ = io.WriteString(f, c.String())
}

// LogValue is String, for package slog.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText is String, for JSON and YAML.
func (c Credentials) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
