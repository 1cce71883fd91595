package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"go.temporal.io/sdk/client"
)

// stackVariable holds where the stack listens; see package stack.
const stackVariable = "HOLDFAST_TEST_STACK"

// endpoints are where the stack listens.
type endpoints struct {
	Temporal         string `json:"temporal"`
	Blob             string `json:"blob"`
	ConnectionString string `json:"connection_string"`
	Account          string `json:"account"`
}

// bench is all that the rows have in common.
type bench struct {
	options
	at         endpoints
	key        string // of the storage account
	credential *azblob.SharedKeyCredential
	dir        string // for databases
	temporal   client.Client
	blobs      *azblob.Client
	products   []product
	results    *results
}

var accountKey = regexp.MustCompile(`(?:^|;)AccountKey=([^;]*)`)

// open connects to the stack that runs around this program.
func open(ctx context.Context, o options) (*bench, error) {
	b := &bench{options: o}
	given := os.Getenv(stackVariable)
	if given == "" {
		return nil, fmt.Errorf("%s is not set: run this through `make bench`", stackVariable)
	}
	if err := json.Unmarshal([]byte(given), &b.at); err != nil {
		return nil, fmt.Errorf("read %s: %w", stackVariable, err)
	}
	match := accountKey.FindStringSubmatch(b.at.ConnectionString)
	if match == nil {
		return nil, fmt.Errorf("%s has no account key", stackVariable)
	}
	b.key = match[1]
	var err error
	if b.credential, err = azblob.NewSharedKeyCredential(b.at.Account, b.key); err != nil {
		return nil, err
	}
	if b.bin, err = filepath.Abs(b.bin); err != nil {
		return nil, err
	}
	if b.results, err = newResults(b.options); err != nil {
		return nil, err
	}
	if b.blobs, err = azblob.NewClientFromConnectionString(b.at.ConnectionString, nil); err != nil {
		return nil, err
	}
	if b.temporal, err = client.DialContext(ctx, client.Options{HostPort: b.at.Temporal, Logger: silent{}}); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp(b.bin, "bench-"); err != nil {
		return nil, err
	}
	b.products = []product{holdfast{b}, litestream{b}}
	return b, nil
}

func (b *bench) close() {
	if !b.keep {
		_ = os.RemoveAll(b.dir)
	}
	b.temporal.Close()
}

// progress says what is measured now, beside the table.
func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "  .. "+format+"\n", args...)
}

// bytes scales a size given in GiB; less than some MiB would measure nothing.
func (b *bench) bytes(gibibytes float64) int64 {
	return max(int64(gibibytes*b.size*(1<<30)), 4<<20)
}

// span scales a time.
func (b *bench) span(full time.Duration) time.Duration {
	return max(time.Duration(b.size*float64(full)), 300*time.Millisecond)
}

// site is one database, the place of its replica, and the proxy in between.
type site struct {
	bench     *bench
	name      string // unique
	dir       string
	db        string
	container string
	watch     *watch
}

// newSite makes a place for a replica whose store is away away. A copy of the
// database template stands at its db; template may be empty.
func (b *bench) newSite(ctx context.Context, template string, away time.Duration) (*site, error) {
	s := &site{bench: b, name: "bench-" + strings.ToLower(rand.Text()[:16])}
	s.container = s.name
	s.dir = filepath.Join(b.dir, s.name)
	s.db = filepath.Join(s.dir, "app.db")
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		return nil, err
	}
	if template != "" {
		if err := copyFile(ctx, template, s.db); err != nil {
			return nil, err
		}
	}
	if _, err := b.blobs.CreateContainer(ctx, s.container, nil); err != nil {
		return nil, fmt.Errorf("create a container: %w", err)
	}
	var err error
	s.watch, err = newWatch(b.at.Blob, away)
	return s, err
}

// remove forgets all of s, on this machine and in the store.
func (s *site) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, p := range s.bench.products {
		p.forget(ctx, s)
	}
	s.watch.close()
	_, _ = s.bench.blobs.DeleteContainer(ctx, s.container, nil)
	if s.bench.keep {
		_ = os.WriteFile(filepath.Join(s.dir, "puts"), []byte(s.watch.String()), 0o600)
		return
	}
	_ = os.RemoveAll(s.dir)
}

// replicaRoot is a replica root of Holdfast at endpoint.
func (s *site) replicaRoot(endpoint string) string {
	return fmt.Sprintf("abs://%s@%s/r?endpoint=%s", s.bench.at.Account, s.container, url.QueryEscape(endpoint))
}

// silent drops what the Temporal SDK has to say.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
