package temporal

import (
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/temporal"

	"github.com/holdfast-db/holdfast/dev/port"
)

const (
	storeName   = "sqlite"
	clusterName = "active"
	disabled    = "disabled"
)

// embeddedConfig describes all services in one process over one SQLite file.
func embeddedConfig(o Options) (*config.Config, error) {
	services := map[string]config.Service{}
	for _, name := range temporal.DefaultServices {
		n := o.Port
		if name != "frontend" {
			var err error
			if n, err = port.Free(); err != nil {
				return nil, err
			}
		}
		services[name] = config.Service{RPC: config.RPC{GRPCPort: n, BindOnIP: port.Loopback}}
	}
	c := &config.Config{
		Persistence:     persistence(o.file()),
		ClusterMetadata: oneCluster(port.Address(o.Port)),
		Services:        services,
		PublicClient:    config.PublicClient{HostPort: port.Address(o.Port)},
	}
	c.DCRedirectionPolicy.Policy = "noop"
	c.Archival.History.State = disabled
	c.Archival.Visibility.State = disabled
	c.NamespaceDefaults.Archival.History.State = disabled
	c.NamespaceDefaults.Archival.Visibility.State = disabled
	return c, nil
}

// persistence keeps all of the server's state in one file. In WAL mode with
// synchronous=NORMAL a killed process loses nothing.
func persistence(file string) config.Persistence {
	return config.Persistence{
		DefaultStore:     storeName,
		VisibilityStore:  storeName,
		NumHistoryShards: 1,
		DataStores: map[string]config.DataStore{storeName: {SQL: &config.SQL{
			PluginName:   sqliteplugin.PluginName,
			DatabaseName: file,
			ConnectAttributes: map[string]string{
				"mode": "rwc", "journal_mode": "WAL", "synchronous": "NORMAL",
			},
		}}},
	}
}

func oneCluster(address string) *cluster.Config {
	return &cluster.Config{
		FailoverVersionIncrement: 10,
		MasterClusterName:        clusterName,
		CurrentClusterName:       clusterName,
		ClusterInformation: map[string]cluster.ClusterInformation{
			clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: address},
		},
	}
}
