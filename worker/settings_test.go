package main

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/internal/telemetry"
)

func pid() string { return strconv.Itoa(os.Getpid()) }

func TestWhereStateIsKept(t *testing.T) {
	for _, row := range []struct {
		name                       string
		env                        []string
		uid                        int
		wantProcess, wantDatabases string
		wantErr                    bool
	}{
		{name: "of root", env: []string{"HOME=/root"}, wantProcess: "/var/lib/holdfast/hosts/web-1"},
		{name: "of a user", env: []string{"HOME=/home/me"}, uid: 1000, wantProcess: "/home/me/.local/state/holdfast/hosts/web-1"},
		{name: "of a user with a place for it", env: []string{"HOME=/home/me", "XDG_STATE_HOME=/s"}, uid: 1000, wantProcess: "/s/holdfast/hosts/web-1"},
		{name: "where it is said", env: []string{"HOLDFAST_STATE_DIR=/state"}, uid: 1000, wantProcess: "/state/hosts/web-1", wantDatabases: "/state/databases"},
		{name: "of a user without a home", uid: 1000, wantErr: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := world{environ: row.env, uid: row.uid, hostname: func() (string, error) { return "Web-1", nil }, contained: func() bool { return false }}
			s, err := settle(w, config.Source{Environ: row.env})
			if row.wantErr {
				if err == nil || !strings.Contains(err.Error(), "set state-dir") {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || s.processDir != row.wantProcess || s.databaseDir != row.wantDatabases {
				t.Errorf("got %q, %q, %v; want %q, %q", s.processDir, s.databaseDir, err, row.wantProcess, row.wantDatabases)
			}
		})
	}
}

// TestSecretsAreNeverLogged has a store give back all that it is sent, and logs
// what comes of it.
func TestSecretsAreNeverLogged(t *testing.T) {
	const key, signature = "aHVzaC1odXNoLWtleQ==", "aHVzaC1zYXM%3D"
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(r.URL.String() + r.Header.Get("Authorization") + key))
	}))
	defer store.Close()
	for _, variable := range []string{
		"AZURE_STORAGE_KEY=" + key,
		"AZURE_STORAGE_SAS_TOKEN=sv=1&sig=" + signature,
		"AZURE_STORAGE_CONNECTION_STRING=AccountName=account;AccountKey=" + key,
	} {
		w, stderr := machine(t, variable, "TEMPORAL_API_KEY=hush-api-key")
		s, err := settle(w, config.Source{})
		if err != nil {
			t.Fatal(err)
		}
		h, err := telemetry.NewHandler(telemetry.MaskWriter(stderr, s.secrets), telemetry.JSON, "debug")
		if err != nil {
			t.Fatal(err)
		}
		logger := slog.New(h)
		r, err := opener(s.credentials)(context.Background(), "abs://account@backups/shop?endpoint="+store.URL+"/account")
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Head(t.Context(), 0)
		if err == nil || strings.Contains(err.Error(), key) || strings.Contains(err.Error(), signature) {
			t.Errorf("got the error %v", err)
		}
		logger.Error("listed", telemetry.Error, err, "settings", s, "credentials", s.credentials)
		logger.Error("handed over", telemetry.Error, key+" "+signature+" hush-api-key "+variable)
		for _, mark := range []string{strings.TrimRight(key, "="), "aHVzaC1zYXM", "hush-api-key"} {
			if bytes.Contains(stderr.Bytes(), []byte(mark)) && (strings.Contains(variable, mark) || mark == "hush-api-key") {
				t.Errorf("%.30s: logged %s", variable, stderr)
			}
		}
	}
}
