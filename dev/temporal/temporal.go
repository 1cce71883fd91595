// Package temporal runs a Temporal server with its Web UI for development:
// the temporal program when it is on the PATH, else a server inside this
// process. Both keep their state in an SQLite file that survives a kill, and
// both serve the namespace `default` with Holdfast's search attributes.
package temporal

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"go.temporal.io/api/enums/v1"

	"github.com/holdfast-db/holdfast/dev/port"
)

// Namespace is the one that the server starts with.
const Namespace = "default"

// SearchAttributes are those that Holdfast's workflows write.
var SearchAttributes = map[string]enums.IndexedValueType{
	"HoldfastPhase":    enums.INDEXED_VALUE_TYPE_KEYWORD,
	"HoldfastHost":     enums.INDEXED_VALUE_TYPE_KEYWORD,
	"HoldfastDatabase": enums.INDEXED_VALUE_TYPE_KEYWORD,
	"HoldfastProven":   enums.INDEXED_VALUE_TYPE_DATETIME,
}

// Options say where the server listens and where its files are.
type Options struct {
	Port   int    // gRPC
	UIPort int    // Web UI
	Data   string // directory of the SQLite file and the log
}

// Server is a Temporal server that is ready for clients.
type Server struct {
	process
	options Options
}

// process is what a server in this process and one in a child have in common.
type process interface {
	Stop()
	Done() <-chan struct{} // closed when it ended by itself
	Err() error            // how; after Done
}

// Start runs a server and returns when workflows can be started on it and the
// Web UI answers.
func Start(ctx context.Context, o Options) (*Server, error) {
	if err := os.MkdirAll(o.Data, 0o700); err != nil {
		return nil, err
	}
	p, err := startProcess(o)
	if err != nil {
		return nil, fmt.Errorf("temporal: %w", err)
	}
	s := &Server{process: p, options: o}
	if err := s.prepare(ctx); err != nil {
		s.Stop()
		return nil, fmt.Errorf("temporal: %w", err)
	}
	return s, nil
}

func startProcess(o Options) (process, error) {
	if path, err := exec.LookPath("temporal"); err == nil {
		return startProgram(path, o)
	}
	return startEmbedded(o)
}

// Address is the gRPC endpoint as host:port.
func (s *Server) Address() string { return port.Address(s.options.Port) }

// UI is the address of the Web UI.
func (s *Server) UI() string { return "http://" + port.Address(s.options.UIPort) }
