package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-db/holdfast/workflows"
)

// product is what is measured.
type product interface {
	name() string
	// start begins to replicate the site's database through its proxy.
	start(s *site, speed speed) (*process, error)
	// restore restores the newest state to out, from a store at endpoint.
	restore(ctx context.Context, s *site, endpoint, out string) error
	// path is that of the site's replica in its container.
	path(s *site) string
	// forget drops what the product keeps of the site outside of its directory.
	forget(ctx context.Context, s *site)
}

// speed is a setting of a product.
type speed string

// Settings of a product.
const (
	byDefault speed = "default"
	fastest   speed = "fastest"
)

// holdfast is a worker process, and the command line.
type holdfast struct{ *bench }

func (holdfast) name() string { return "Holdfast" }

func (h holdfast) start(s *site, speed speed) (*process, error) {
	pace := ""
	if speed == fastest {
		pace = "sync: {interval: 0s}\n"
	}
	text := fmt.Sprintf("host: %s\nreplica: %q\n%sdatabases:\n  - {path: %q, name: %s}\n", s.name, s.replicaRoot(s.watch.url), pace, s.db, s.name)
	config := filepath.Join(s.dir, "holdfast.yml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return start(h.environ(s), filepath.Join(s.dir, "holdfast.log"), filepath.Join(h.bin, "holdfast-worker"), "--config", config)
}

func (holdfast) path(s *site) string { return "r/" + s.name }

func (h holdfast) restore(ctx context.Context, s *site, endpoint, out string) error {
	return execute(ctx, h.environ(s), filepath.Join(h.bin, "holdfast"), h.restoreArguments(s, endpoint, out)...)
}

func (h holdfast) restoreArguments(s *site, endpoint, out string) []string {
	root := fmt.Sprintf("abs://%s@%s/%s?endpoint=%s", h.at.Account, s.container, h.path(s), url.QueryEscape(endpoint))
	return []string{"restore", root, "-o", out}
}

func (h holdfast) environ(s *site) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "XDG_STATE_HOME=" + s.dir,
		"TEMPORAL_ADDRESS=" + h.at.Temporal, "AZURE_STORAGE_ACCOUNT=" + h.at.Account, "AZURE_STORAGE_KEY=" + h.key,
	}
}

// forget ends the workflow, so that the next worker does not go on with it.
func (h holdfast) forget(ctx context.Context, s *site) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_ = h.temporal.TerminateWorkflow(ctx, workflows.WorkflowID(s.name), "", "the measurement is over")
}

// litestream is the peer.
type litestream struct{ *bench }

func (litestream) name() string { return "Litestream" }

func (l litestream) start(s *site, speed speed) (*process, error) {
	config, err := l.config(s, s.watch.url, speed)
	if err != nil {
		return nil, err
	}
	return start(l.environ(s), filepath.Join(s.dir, "litestream.log"), l.program(), "replicate", "-config", config)
}

func (litestream) path(*site) string { return "r" }

func (l litestream) restore(ctx context.Context, s *site, endpoint, out string) error {
	config, err := l.config(s, endpoint, byDefault)
	if err != nil {
		return err
	}
	return execute(ctx, l.environ(s), l.program(), "restore", "-config", config, "-o", out, s.db)
}

func (l litestream) program() string { return filepath.Join(l.bin, "bin", "litestream") }

func (l litestream) environ(s *site) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "LITESTREAM_AZURE_ACCOUNT_KEY=" + l.key}
}

// config writes a configuration. The fastest one looks at the log and puts
// every millisecond, the shortest time that does not stand for something else.
func (l litestream) config(s *site, endpoint string, speed speed) (string, error) {
	monitor, sync := "", ""
	if speed == fastest {
		monitor, sync = "    monitor-interval: 1ms\n", "      sync-interval: 1ms\n"
	}
	text := fmt.Sprintf("dbs:\n  - path: %q\n%s    replica:\n%s      type: abs\n      account-name: %s\n      bucket: %s\n      path: r\n      endpoint: %q\n",
		s.db, monitor, sync, l.at.Account, s.container, endpoint)
	path := filepath.Join(s.dir, "litestream.yml")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

func (litestream) forget(context.Context, *site) {}
