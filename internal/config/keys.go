package config

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// EnvPrefix begins the name of every variable that Holdfast reads for itself.
const EnvPrefix = "HOLDFAST_"

// testPrefix begins the names of variables that Holdfast's own tests hand to
// programs that they start. No setting ever begins so.
const testPrefix = EnvPrefix + "TEST_"

// FileVariable names the variable that names the file.
const FileVariable = EnvPrefix + "CONFIG"

// databasesKey and directoriesKey are the keys that only a file can hold: they are
// lists.
const (
	databasesKey   = "databases"
	directoriesKey = "directories"
)

// key is one setting.
type key struct {
	name     string // dotted, as in the file
	fallback string
	kind     string // what a flag's help calls its value
	help     string
}

// keys are the scalar settings in the order of surface.md.
var keys = []key{
	{"host", "", "name", "this machine's name in Holdfast (default: its host name)"},
	{"replica", "", "url", "replica root for databases without their own"},
	{"state-dir", "", "dir", "keep local state here instead of beside each database"},
	{"discovery.rescan", "1m", "duration", "time in which all directories are looked through for databases"},
	{"discovery.grace", "10m", "duration", "how long a discovered database's file is gone before it is released"},
	{"sync.interval", "1s", "duration", "time between two passes; 0 for no pause"},
	{"sync.window", "10m", "duration", "length of one Sync activity; 0 for one pass each"},
	{"sync.heartbeat", "60s", "duration", "silence after which a window counts as dead"},
	{"sync.scrub", "24h", "duration", "time in which all pages are compared with what was shipped; 0 for never but after a crash"},
	{"sync.idle-after", "5m", "duration", "time without a commit after which a database is parked; 0 for never"},
	{"sync.cold-after", "1h", "duration", "time without a commit after which a parked one is closed; 0 for never"},
	{"sync.autonomy", "24h", "duration", "time for which databases are shipped though Temporal is away; 0 for never"},
	{"sync.wal-limit", "64MiB", "size", "log size from which an unreachable store makes passes spool"},
	{"backoff.cap", "5m", "duration", "longest wait between two attempts"},
	{"maintenance.slots", "2", "number", "replicas that this worker maintains side by side, of any host; 0 for none"},
	{"maintenance.scratch", "", "directory", "where verifications restore databases to, and remove them again (default: beside the worker's state)"},
	{"tuning.windows", "0", "number", "windows that run side by side; 0 for what follows from the number of databases, as for all of tuning"},
	{"tuning.control", "0", "number", "passes, clean-ups and closings beside the windows, side by side"},
	{"tuning.restores", "0", "number", "restores side by side"},
	{"tuning.pollers", "0", "number", "open polls of one queue, at most"},
	{"tuning.stop-timeout", "0", "duration", "what windows get to finish when the worker stops"},
	{"tuning.heartbeat", "0", "duration", "time between two heartbeats of a window"},
	{"tuning.heartbeats-per-second", "0", "number", "heartbeats of all windows together, as far as that keeps each alive"},
	{"tuning.wakes-per-second", "0", "number", "databases of which Temporal is told, or asked, in a second"},
	{"azure.endpoint", "", "url", "blob endpoint instead of the public one"},
	{"azure.connection-string-file", "", "file", "file with a connection string"},
	{"azure.account-key-file", "", "file", "file with an account key"},
	{"azure.sas-file", "", "file", "file with a shared access signature"},
	{"azure.tier", "", "tier", "access tier of new objects: hot, cool or cold (default: the account's)"},
	{"janitor.endpoint", "", "url", "as azure.endpoint, where maintenance has credentials of its own"},
	{"janitor.connection-string-file", "", "file", "as azure.connection-string-file, for maintenance alone"},
	{"janitor.account-key-file", "", "file", "as azure.account-key-file, for maintenance alone"},
	{"janitor.sas-file", "", "file", "as azure.sas-file, for maintenance alone"},
	{"janitor.tier", "", "tier", "as azure.tier, of what maintenance merges"},
	{"retention.window", "168h", "duration", "how far back states can be restored"},
	{"retention.level0", "1h", "duration", "for how long each put stays a state of its own"},
	{"retention.store", "false", "bool", "maintenance removes nothing: something else does"},
	{"metrics.listen", "", "address", "serve Prometheus metrics there, like 127.0.0.1:9464 (default: nowhere)"},
	{"log.level", "info", "level", "debug, info, warn or error"},
	{"log.format", "text", "format", "text or json"},
}

// Keys returns the dotted name of every setting.
func Keys() []string {
	names := []string{databasesKey, directoriesKey}
	for _, k := range keys {
		names = append(names, k.name)
	}
	return names
}

// EnvName returns the variable that sets a dotted key.
func EnvName(name string) string {
	return EnvPrefix + strings.NewReplacer(".", "_", "-", "_").Replace(strings.ToUpper(name))
}

// FlagName returns the flag that sets a dotted key.
func FlagName(name string) string { return strings.ReplaceAll(name, ".", "-") }

// AddFlags gives flags a flag for each of the dotted names, or for all settings
// when there are none, so that Load can let them win. A name without a setting
// is a programming error and panics.
func AddFlags(flags *pflag.FlagSet, names ...string) {
	if len(names) == 0 {
		for _, k := range keys {
			names = append(names, k.name)
		}
	}
	for _, name := range names {
		k, ok := find(name)
		if !ok {
			panic(fmt.Sprintf("config: no setting %q", name))
		}
		value := k.fallback
		flags.Var(&flagValue{text: value, kind: k.kind}, FlagName(name), k.help)
	}
}

func find(name string) (key, bool) {
	for _, k := range keys {
		if k.name == name {
			return k, true
		}
	}
	return key{}, false
}

// flagValue keeps a flag's text for Load, which knows how to read it.
type flagValue struct{ text, kind string }

// String returns the text.
func (v *flagValue) String() string { return v.text }

// Set takes the text as it is.
func (v *flagValue) Set(s string) error { v.text = s; return nil }

// Type names the value in the help.
func (v *flagValue) Type() string { return v.kind }
