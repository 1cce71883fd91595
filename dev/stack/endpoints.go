package stack

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/holdfast-db/holdfast/dev/azurite"
)

// Endpoints is where clients find the stack. Parts that do not run are empty.
type Endpoints struct {
	Temporal         string `json:"temporal,omitempty"`          // host:port
	UI               string `json:"ui,omitempty"`                // URL
	Blob             string `json:"blob,omitempty"`              // URL with the account
	ConnectionString string `json:"connection_string,omitempty"` // Azure's format
	Account          string `json:"account,omitempty"`
	Container        string `json:"container,omitempty"`
}

// Endpoints tells where clients find this stack.
func (s *Stack) Endpoints() Endpoints {
	var e Endpoints
	if s.temporal != nil {
		e.Temporal, e.UI = s.temporal.Address(), s.temporal.UI()
	}
	if s.azurite != nil {
		e.Blob, e.ConnectionString = s.azurite.URL(), s.azurite.ConnectionString()
		e.Account, e.Container = azurite.Account, Container
	}
	return e
}

// JSON is the endpoints as one line for programs.
func (e Endpoints) JSON() string {
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings only
	}
	return string(b)
}

// Text is the endpoints as lines for a person, the environment of another
// terminal included.
func (e Endpoints) Text() string {
	var b strings.Builder
	if e.Temporal != "" {
		_, _ = fmt.Fprintf(&b, "  Temporal       %s (namespace default)\n", e.Temporal)
		_, _ = fmt.Fprintf(&b, "  Web UI         %s\n", e.UI)
	}
	if e.Blob != "" {
		_, _ = fmt.Fprintf(&b, "  Blob Storage   %s (container %s)\n", e.Blob, e.Container)
	}
	b.WriteString("\nfor programs in another terminal:\n\n")
	if e.Temporal != "" {
		_, _ = fmt.Fprintf(&b, "  export TEMPORAL_ADDRESS=%s\n", e.Temporal)
	}
	if e.Blob != "" {
		_, _ = fmt.Fprintf(&b, "  export AZURE_STORAGE_CONNECTION_STRING='%s'\n", e.ConnectionString)
	}
	return b.String()
}
