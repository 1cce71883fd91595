package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Made-up secrets, each with a part that no output may show.
const (
	fakeKey = "aHVzaC1odXNoLWtleQ=="
	fakeSAS = "sv=2024-11-04&sig=aHVzaC1zYXM%3D"
	marks   = "aHVzaC1odXNoLWtleQ,aHVzaC1zYXM,hush-api-key"
)

// TestSecretsAreNeverPrinted meets a store that gives back, in its error, all
// that it was sent.
func TestSecretsAreNeverPrinted(t *testing.T) {
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-ms-error-code", "AuthenticationFailed")
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, "<Error><Code>AuthenticationFailed</Code><Message>%s %s %s</Message></Error>", r.URL, r.Header, fakeKey)
	}))
	defer store.Close()
	endpoint := store.URL + "/account"
	connection := "AccountName=account;AccountKey=" + fakeKey + ";BlobEndpoint=" + endpoint
	replica := "abs://account@backups/shop?endpoint=" + endpoint
	for _, row := range []struct {
		name, file string
		env        []string
	}{
		{name: "a key", env: []string{"AZURE_STORAGE_KEY=" + fakeKey}},
		{name: "a signature", env: []string{"AZURE_STORAGE_SAS_TOKEN=" + fakeSAS}},
		{name: "a connection string", env: []string{"AZURE_STORAGE_CONNECTION_STRING=" + connection}},
		{name: "a connection string that is cut short", env: []string{"AZURE_STORAGE_CONNECTION_STRING=AccountKey=" + fakeKey}},
		{name: "a key in a file", file: "azure: {account-key-file: " + mustWrite(t, "key", fakeKey) + "}"},
		{name: "a signature in a file", file: "azure: {sas-file: " + mustWrite(t, "sas", fakeSAS) + "}"},
		{name: "a connection string in a file", file: "azure: {connection-string-file: " + mustWrite(t, "cs", connection) + "}"},
		{name: "a signature of the janitor's", file: "azure: {sas-file: " + mustWrite(t, "sas", fakeSAS) + "}\njanitor: {sas-file: " + mustWrite(t, "janitor", fakeSAS) + "}"},
		{name: "a signature in an endpoint", file: "azure: {endpoint: 'https://x/?" + fakeSAS + "'}"},
		{name: "a key for Temporal", env: []string{"TEMPORAL_API_KEY=hush-api-key", "AZURE_STORAGE_KEY=" + fakeKey}},
	} {
		t.Run(row.name, func(t *testing.T) {
			file := mustWrite(t, "holdfast.yml", row.file)
			for _, args := range [][]string{
				{"restore", replica, "-o", t.TempDir() + "/out.db", "--config", file},
				{"restore", replica, "-o", t.TempDir() + "/out.db", "--config", file, "--json"},
				{"maintain", replica, "--config", file},
				{"restore", "abs://account:" + fakeKey + "@backups/shop", "-o", "out.db", "--config", file},
				{"restore", "abs://account@backups/shop?" + fakeSAS, "-o", "out.db", "--config", file},
				{"register", "/a.db", "--replica", "abs://account@backups/shop?" + fakeSAS, "--config", file},
			} {
				got := invoke(t, nil, row.env, args...)
				if got.status == statusDone || got.stderr == "" {
					t.Errorf("%q: got %+v, want a failure", args, got)
				}
				for mark := range strings.SplitSeq(marks, ",") {
					if strings.Contains(got.stdout+got.stderr, mark) {
						t.Errorf("%q shows a secret: %s%s", args, got.stdout, got.stderr)
					}
				}
			}
		})
	}
}

// TestTheLastLineOfDefence has something below hand over a secret after all.
func TestTheLastLineOfDefence(t *testing.T) {
	env := []string{"AZURE_STORAGE_KEY=" + fakeKey, "AZURE_STORAGE_SAS_TOKEN=" + fakeSAS, "TEMPORAL_API_KEY=hush-api-key"}
	f := &fakeFleet{err: fmt.Errorf("key %s, signature %s, %s", fakeKey, fakeSAS, "hush-api-key")}
	for _, args := range [][]string{{"sync", "shop"}, {"sync", "shop", "--json"}} {
		got := invoke(t, f, env, args...)
		for mark := range strings.SplitSeq(marks, ",") {
			if strings.Contains(got.stderr, mark) || !strings.Contains(got.stderr, "[secret]") {
				t.Errorf("%q: got %s", args, got.stderr)
			}
		}
	}
}
