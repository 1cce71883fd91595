// Package azurite runs Azurite, the emulator of Azure Blob Storage, as a
// child process, and installs it from the npm registry when it is not there.
//
// Only the blob service runs, on the loopback interface, with the emulator's
// published account. Azurite writes its metadata every five seconds and when
// it is asked to end: a blob put just before Azurite itself is killed is lost.
package azurite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-db/holdfast/dev/child"
	"github.com/holdfast-db/holdfast/dev/port"
)

const (
	// Account is the emulator's own.
	Account = "devstoreaccount1"
	// Key is the account's, the same on every machine and published by the
	// emulator's vendor: no secret.
	Key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

	// grace is longer than guard.cjs gives Azurite's connections.
	grace    = 3 * time.Second
	attempts = 3
)

// Options say where Azurite listens and what it keeps where.
type Options struct {
	Port    func() (int, error) // chooses a port; asked again when another program was faster
	Data    string              // directory of the blobs and the log
	Install string              // directory under which Azurite is, or gets, installed
	Notify  func(string)        // told what takes long, in one line
}

// Server is a running Azurite.
type Server struct {
	*child.Process
	port int
}

// Start runs Azurite and returns when it answers requests.
func Start(ctx context.Context, o Options) (*Server, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, errors.New("node is not on the PATH: install Node.js 20 or newer, which brings npm")
	}
	home, err := install(ctx, o.Install, o.Notify)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Data, 0o700); err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		s, err := start(ctx, node, home, o)
		if err == nil || !strings.Contains(err.Error(), "EADDRINUSE") || try == attempts {
			return s, err
		}
	}
}

func start(ctx context.Context, node, home string, o Options) (*Server, error) {
	n, err := o.Port()
	if err != nil {
		return nil, err
	}
	p, err := child.Start(child.Command{
		Path: node,
		Args: []string{
			"--require", filepath.Join(home, guardName),
			filepath.Join(home, "node_modules", "azurite", "dist", "src", "blob", "main.js"),
			"--blobHost", port.Loopback, "--blobPort", fmt.Sprint(n), "--location", o.Data,
			"--silent", "--disableTelemetry", "--skipApiVersionCheck",
		},
		Env:   environment(),
		Log:   filepath.Join(o.Data, "azurite.log"),
		Grace: grace,
		Death: syscall.SIGTERM, // not SIGKILL: guard.cjs sees to its end
	})
	if err != nil {
		return nil, fmt.Errorf("azurite: %w", err)
	}
	s := &Server{Process: p, port: n}
	if err := s.waitReady(ctx); err != nil {
		p.Stop()
		return nil, fmt.Errorf("azurite: %w", err)
	}
	return s, nil
}

// environment is the program's own without what would give Azurite other
// accounts or another database.
func environment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "AZURITE_") {
			env = append(env, e)
		}
	}
	return env
}

// URL is the blob endpoint with the account as its path.
func (s *Server) URL() string {
	return fmt.Sprintf("http://%s/%s", port.Address(s.port), Account)
}

// ConnectionString is the whole connection in Azure's own format.
func (s *Server) ConnectionString() string {
	return fmt.Sprintf("DefaultEndpointsProtocol=http;AccountName=%s;AccountKey=%s;BlobEndpoint=%s;", Account, Key, s.URL())
}
