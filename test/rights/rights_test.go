// Package rights shows which rights to the store hosts and janitors need: its tests run
// both against Azurite, each with a shared access signature that has those and no others.
package rights_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/driver"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/maintain"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/test/stack"
)

func TestMain(m *testing.M) { stack.Main(m) }

// Rights, as docs/operations.md has them.
const (
	hosts    = "rcwl"
	janitors = "rcwdl"
	readers  = "rl"
)

var accountKey = regexp.MustCompile(`(?:^|;)AccountKey=([^;]*)`)

// place is a container of Azurite.
type place struct {
	url blob.URL
	key []byte // of the account
}

func mustPlace(t *testing.T) place {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Azurite; run make test")
	}
	s := stack.Start(t)
	key, err := base64.StdEncoding.DecodeString(accountKey.FindStringSubmatch(s.ConnectionString)[1])
	if err != nil {
		t.Fatal(err)
	}
	return place{blob.URL{Scheme: blob.SchemeAzure, Account: s.Account, Container: s.NewContainer(t), Path: "prod/shop", Endpoint: s.Blob}, key}
}

// signature is one for the container with the given rights.
// https://learn.microsoft.com/rest/api/storageservices/create-service-sas
func (p place) signature(rights string) string {
	const version = "2020-12-06"
	expiry := time.Now().UTC().Add(time.Hour).Format("2006-01-02T15:04:05Z")
	fields := []string{
		rights, "", expiry, "/blob/" + p.url.Account + "/" + p.url.Container,
		"", "", "", version, "c", "", "", // identifier, addresses, protocol, version, resource, snapshot, encryption scope
		"", "", "", "", "", // headers of answers
	}
	mac := hmac.New(sha256.New, p.key)
	mac.Write([]byte(strings.Join(fields, "\n")))
	return url.Values{
		"sp": {rights}, "se": {expiry}, "sv": {version}, "sr": {"c"},
		"sig": {base64.StdEncoding.EncodeToString(mac.Sum(nil))},
	}.Encode()
}

func (p place) mustOpen(t *testing.T, rights string) *replica.Replica {
	t.Helper()
	store, err := driver.Open(t.Context(), p.url, driver.Credentials{SAS: p.signature(rights)})
	if err != nil {
		t.Fatal(err)
	}
	return replica.New(store)
}

// ship makes n puts of a database as a host with these rights does, the first of them in
// blocks, and returns what the database is then.
func (p place) ship(t *testing.T, rights string, n int) (state []byte) {
	t.Helper()
	h, err := host.New(host.Options{
		StateDir: t.TempDir(), Log: slog.New(slog.DiscardHandler),
		OpenReplica: func(context.Context, string) (*replica.Replica, error) { return p.mustOpen(t, rights), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close(context.WithoutCancel(t.Context())) }()
	path := filepath.Join(t.TempDir(), "shop.db")
	app := sqlitetest.StartShell(t, path)
	app.Run(t, "CREATE TABLE t(v);", "INSERT INTO t VALUES (randomblob(10000000));")
	d := host.Database{Name: "shop", Path: path, Replica: p.url.String(), Writer: "0123456789abcdef0123456789abcdef"}
	for range n {
		app.Run(t, "INSERT INTO t VALUES (randomblob(100));")
		if _, err := h.SyncOnce(t.Context(), d, 0); err != nil {
			t.Fatalf("a host with %s: %v", rights, err)
		}
	}
	return sqlitetest.Truth(t, path)
}

func (p place) maintain(t *testing.T, rights string) (maintain.Report, error) {
	t.Helper()
	return maintain.Run(t.Context(), maintain.Options{
		Replica: p.mustOpen(t, rights), URL: p.url.String(), Log: slog.New(slog.DiscardHandler),
		Policy: plan.Policy{Window: time.Hour, Level0: time.Second},
	})
}

// TestAHostNeedsNoLeaveToDelete ships, and merges too, without it. To remove it is
// refused, and told what to do. The janitor removes.
func TestAHostNeedsNoLeaveToDelete(t *testing.T) {
	p := mustPlace(t)
	state := p.ship(t, hosts, 20)
	if done, err := p.maintain(t, hosts); err != nil || len(done.Merged) != 2 {
		t.Fatalf("merged %d, %v; want 2", len(done.Merged), err)
	}
	time.Sleep(2 * time.Second) // beyond what the policy keeps of level 0
	before := p.count(t)
	done, err := p.maintain(t, hosts)
	if !errors.Is(err, blob.ErrDenied) || !strings.Contains(fmt.Sprint(err), "maintain with credentials that may delete") || strings.Contains(fmt.Sprint(err), "sig=") {
		t.Errorf("a host removes: %v; want that it may not, and what to do", err)
	}
	if after := p.count(t); after != before || len(done.Expired) > 0 || len(done.Left) != 16 {
		t.Errorf("%d objects of %d are there, %d are left that have expired", after, before, len(done.Left))
	}
	if done, err := p.maintain(t, janitors); err != nil || len(done.Expired) != 16 {
		t.Errorf("the janitor removed %d, %v; want 16", len(done.Expired), err)
	}
	out := filepath.Join(t.TempDir(), "out.db")
	if _, err := restore.Run(t.Context(), p.mustOpen(t, readers), restore.Options{Output: out}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, state) {
		t.Errorf("what is left restores to another state, or %v", err)
	}
}

func (p place) count(t *testing.T) int {
	t.Helper()
	all, err := p.mustOpen(t, readers).All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
