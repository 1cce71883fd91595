package temporal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uioptions "github.com/temporalio/ui-server/v2/server/server_options"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/schema/sqlite"
	"go.temporal.io/server/temporal"

	"github.com/holdfast-db/holdfast/dev/port"
)

// embeddedGrace bounds an orderly end. The state is safe without one.
const embeddedGrace = 3 * time.Second

type embedded struct {
	server temporal.Server
	ui     *uiserver.Server
	done   chan struct{} // never closed: it ends only with this process
}

func startEmbedded(o Options) (*embedded, error) {
	conf, err := embeddedConfig(o)
	if err != nil {
		return nil, err
	}
	if err := prepareFile(conf); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", o.file(), err)
	}
	server, err := temporal.NewServer(embeddedOptions(conf, o)...)
	if err != nil {
		return nil, err
	}
	if err := server.Start(); err != nil {
		return nil, err
	}
	e := &embedded{server: server, ui: newUI(o), done: make(chan struct{})}
	go func() { _ = e.ui.Start() }()
	return e, nil
}

func (o Options) file() string { return filepath.Join(o.Data, "temporal.db") }

// prepareFile creates the tables and the namespace where they are missing.
// The tables are made in a file of another name, so that a start that was cut
// short is not taken for a finished one.
func prepareFile(conf *config.Config) error {
	store := *conf.Persistence.DataStores[storeName].SQL
	file := store.DatabaseName
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		fresh := store
		fresh.DatabaseName = file + ".new"
		fresh.ConnectAttributes = map[string]string{"mode": "rwc", "journal_mode": "DELETE", "synchronous": "OFF"}
		_ = os.Remove(fresh.DatabaseName)
		if err := sqlite.SetupSchema(&fresh); err != nil {
			return err
		}
		if err := os.Rename(fresh.DatabaseName, file); err != nil {
			return err
		}
	}
	namespace, err := sqlite.NewNamespaceConfig(clusterName, Namespace, false, SearchAttributes)
	if err != nil {
		return err
	}
	return sqlite.CreateNamespaces(&store, namespace)
}

func embeddedOptions(conf *config.Config, o Options) []temporal.ServerOption {
	hosts := map[primitives.ServiceName]static.Hosts{}
	for name, service := range conf.Services {
		hosts[primitives.ServiceName(name)] = static.SingleLocalHost(port.Address(service.RPC.GRPCPort))
	}
	return []temporal.ServerOption{
		temporal.WithConfig(conf),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts),
		temporal.WithLogger(log.NewZapLogger(log.BuildZapLogger(log.Config{
			Level:      "warn",
			OutputFile: filepath.Join(o.Data, "temporal.log"),
		}))),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper {
			return authorization.NewNoopClaimMapper()
		}),
		temporal.WithDynamicConfigClient(dynamicconfig.StaticClient{
			dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key(): 1000,
			dynamicconfig.ForceSearchAttributesCacheRefreshOnRead.Key():      true, // a namespace is used as soon as it is set up
		}),
	}
}

func newUI(o Options) *uiserver.Server {
	return uiserver.NewServer(uioptions.WithConfigProvider(&uiconfig.Config{
		Host:                port.Loopback,
		Port:                o.UIPort,
		TemporalGRPCAddress: port.Address(o.Port),
		DefaultNamespace:    Namespace,
		EnableUI:            true,
		DisableNewsFetch:    true,
		HideLogs:            true,
		CORS:                uiconfig.CORS{CookieInsecure: true}, // plain HTTP
	}))
}

// Done is never closed: a server in this process ends only with it.
func (e *embedded) Done() <-chan struct{} { return e.done }

// Err is nil for as long as the server runs.
func (e *embedded) Err() error { return nil }

// Stop ends the server, and stops waiting for it after a few seconds.
func (e *embedded) Stop() {
	e.ui.Stop()
	stopped := make(chan struct{})
	go func() {
		_ = e.server.Stop()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-time.After(embeddedGrace):
	}
}
