package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"
)

// Dialing says how to reach Temporal, beside what the temporal CLI's own file
// and TEMPORAL_* variables say.
type Dialing struct {
	Environ  []string // "NAME=value", as os.Environ has it
	Identity string   // by which the Temporal UI calls this process
	Logger   log.Logger
	Patience time.Duration // for which to try again when nobody answers; 0 tries once
}

const (
	dialWithin = 5 * time.Second // for one try
	dialEvery  = 500 * time.Millisecond
)

// Connection is a client and where it leads.
type Connection struct {
	client.Client
	Address, Namespace string
}

// Dial connects and makes sure that somebody answers. Its errors match
// ErrSettings or ErrUnreachable.
func Dial(ctx context.Context, d Dialing) (*Connection, error) {
	options, err := envconfig.LoadClientOptions(envconfig.LoadClientOptionsRequest{EnvLookup: environ(d.Environ)})
	if err != nil {
		return nil, fmt.Errorf("%w: %w; correct the temporal CLI's file or TEMPORAL_*", ErrSettings, err)
	}
	if options.HostPort == "" {
		options.HostPort = client.DefaultHostPort
	}
	if options.Namespace == "" {
		options.Namespace = client.DefaultNamespace
	}
	options.Identity, options.Logger = d.Identity, d.Logger
	options.ConnectionOptions.GetSystemInfoTimeout = dialWithin
	for begun := time.Now(); ; {
		c, err := client.DialContext(ctx, options)
		if err == nil {
			return enter(ctx, &Connection{Client: c, Address: options.HostPort, Namespace: options.Namespace})
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if time.Since(begun) >= d.Patience {
			return nil, fmt.Errorf("%w: %s: %s; start it, or set TEMPORAL_ADDRESS", ErrUnreachable, options.HostPort, cause(err))
		}
		time.Sleep(dialEvery)
	}
}

// enter makes sure that there is such a namespace. Whatever else goes wrong here
// shows itself, and better, in the first call that matters.
func enter(ctx context.Context, c *Connection) (*Connection, error) {
	_, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: c.Namespace})
	if missing := new(serviceerror.NamespaceNotFound); errors.As(err, &missing) {
		c.Close()
		return nil, translate("", err)
	}
	return c, nil
}

// causes are what gRPC's long messages come down to, each with the words of it
// that a person needs.
var causes = []struct{ has, means string }{
	{"connection refused", "connection refused"},
	{"no children to pick from", "no such host"},
	{"no such host", "no such host"},
	{"network is unreachable", "network is unreachable"},
	{"certificate", "the certificates do not fit"},
	{"handshake", "TLS handshake failed"},
	{"i/o timeout", "timed out"},
	{"deadline exceeded", "timed out"},
	{"Unauthenticated", "access denied, by its API key or certificate"},
	{"error reading server preface", "something else than Temporal answers there"},
	{"unexpected HTTP status", "something else than Temporal answers there"},
	{"invalid target address", "that is no address, which looks like host:7233"},
	{"PermissionDenied", "access denied, by its API key or certificate"},
}

// cause shortens err to what helps.
func cause(err error) string {
	for _, c := range causes {
		if strings.Contains(err.Error(), c.has) {
			return c.means
		}
	}
	return strings.TrimPrefix(err.Error(), "failed reaching server: ")
}

// environ is an envconfig.EnvLookup over a list.
type environ []string

// Environ returns the list.
func (e environ) Environ() []string { return e }

// LookupEnv finds the last entry for name.
func (e environ) LookupEnv(name string) (value string, ok bool) {
	for _, entry := range e {
		if v, is := strings.CutPrefix(entry, name+"="); is {
			value, ok = v, true
		}
	}
	return value, ok
}
