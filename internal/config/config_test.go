package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/holdfast-db/holdfast/internal/config"
)

// whole sets every key that there is.
const whole = `
host: web-1
replica: abs://account@backups/prod
state-dir: /var/lib/holdfast
databases:
  - {path: /var/lib/shop/shop.db}
  - {path: /var/lib/shop/Orders 2.sqlite, replica: "file:///mnt/backup/orders"}
  - {path: /srv/a.db, name: tenants/a}
directories:
  - {dir: /srv/tenants/}
  - {dir: /srv/shops, pattern: "*.db", recursive: true, name: "shops/{path}", replica: "abs://account@shops/{host}/{path}"}
discovery: {rescan: 5s, grace: 1h}
sync: {interval: 2s, window: 0, heartbeat: 30s, scrub: 1h, idle-after: 1m, cold-after: 2h, autonomy: 12h, wal-limit: 1GiB}
metrics: {listen: "127.0.0.1:9464"}
backoff: {cap: 8s}
maintenance: {slots: 7}
tuning: {windows: 9, control: 8, restores: 7, pollers: 6, stop-timeout: 5s, heartbeats-per-second: 4, wakes-per-second: 3}
azure: {endpoint: "", connection-string-file: /run/c, account-key-file: /run/k, sas-file: /run/s, tier: cool}
janitor: {endpoint: "https://j.example", connection-string-file: /run/jc, account-key-file: /run/jk, sas-file: /run/js, tier: cold}
retention: {window: 720h, level0: 2h, store: true}
log: {level: debug, format: json}
`

func mustWrite(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "holdfast.yml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func mustLoad(t *testing.T, src config.Source) config.Config {
	t.Helper()
	c, err := config.Load(src)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustFlags(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return flags
}

func TestLoadReadsEveryKey(t *testing.T) {
	c := mustLoad(t, config.Source{File: mustWrite(t, whole)})
	want := config.Config{
		Host: "web-1", Replica: "abs://account@backups/prod", StateDir: "/var/lib/holdfast",
		Sync:    config.Sync{Interval: 2 * time.Second, Window: 0, Heartbeat: 30 * time.Second, Scrub: time.Hour, WALLimit: 1 << 30, IdleAfter: time.Minute, ColdAfter: 2 * time.Hour, Autonomy: 12 * time.Hour},
		Backoff: config.Backoff{Cap: 8 * time.Second},
		Azure:   config.Azure{ConnectionStringFile: "/run/c", AccountKeyFile: "/run/k", SASFile: "/run/s", Tier: "cool"},
		Janitor: config.Azure{Endpoint: "https://j.example", ConnectionStringFile: "/run/jc", AccountKeyFile: "/run/jk", SASFile: "/run/js", Tier: "cold"},
		Metrics: config.Metrics{Listen: "127.0.0.1:9464"},
		Log:     config.Log{Level: "debug", Format: "json"},

		Maintenance: config.Maintenance{Slots: 7},
		Tuning:      config.Tuning{Windows: 9, Control: 8, Restores: 7, Pollers: 6, StopTimeout: 5 * time.Second, HeartbeatsPerSecond: 4, WakesPerSecond: 3},
	}
	want.Retention = config.Retention{Window: 720 * time.Hour, Level0: 2 * time.Hour, Store: true}
	databases := []config.Database{
		{Path: "/var/lib/shop/shop.db", Name: "shop", Replica: "abs://account@backups/prod/shop"},
		{Path: "/var/lib/shop/Orders 2.sqlite", Name: "orders-2", Replica: "file:///mnt/backup/orders"},
		{Path: "/srv/a.db", Name: "tenants/a", Replica: "abs://account@backups/prod/tenants/a"},
	}
	if len(c.Databases) != len(databases) {
		t.Fatalf("got %d databases, want %d", len(c.Databases), len(databases))
	}
	for i, db := range databases {
		if c.Databases[i] != db {
			t.Errorf("database %d:\ngot  %+v\nwant %+v", i, c.Databases[i], db)
		}
	}
	directories := []config.Directory{
		{Dir: "/srv/tenants", Pattern: "*", Name: "{host}/{path}"},
		{Dir: "/srv/shops", Pattern: "*.db", Recursive: true, Name: "shops/{path}", Replica: "abs://account@shops/{host}/{path}"},
	}
	if !slices.Equal(c.Directories, directories) || c.Discovery != (config.Discovery{Rescan: 5 * time.Second, Grace: time.Hour}) {
		t.Errorf("got  %+v, %+v\nwant %+v, 5s and 1h", c.Directories, c.Discovery, directories)
	}
	if c.Host != want.Host || c.Replica != want.Replica || c.StateDir != want.StateDir || c.Sync != want.Sync ||
		c.Backoff != want.Backoff || c.Azure != want.Azure || c.Janitor != want.Janitor || c.Retention != want.Retention || c.Log != want.Log || c.Metrics != want.Metrics || c.Maintenance != want.Maintenance || c.Tuning != want.Tuning {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestDefaults(t *testing.T) {
	c := mustLoad(t, config.Source{})
	want := config.Sync{Interval: time.Second, Window: 10 * time.Minute, Heartbeat: time.Minute, Scrub: 24 * time.Hour, WALLimit: 64 << 20, IdleAfter: 5 * time.Minute, ColdAfter: time.Hour, Autonomy: 24 * time.Hour}
	if c.Sync != want || c.Backoff.Cap != 5*time.Minute || c.Log != (config.Log{Level: "info", Format: "text"}) || c.Maintenance.Slots != 2 ||
		c.Discovery != (config.Discovery{Rescan: time.Minute, Grace: 10 * time.Minute}) {
		t.Errorf("got %+v", c)
	}
	if c.Retention != (config.Retention{Window: 7 * 24 * time.Hour, Level0: time.Hour}) {
		t.Errorf("got %+v", c.Retention)
	}
}

func TestPrecedence(t *testing.T) {
	const file = "sync: {interval: 2s, window: 3m}\nhost: from-file"
	for _, row := range []struct {
		name         string
		env, args    []string
		wantInterval time.Duration
		wantHost     string
	}{
		{name: "the file wins over the default", wantInterval: 2 * time.Second, wantHost: "from-file"},
		{name: "the environment wins over the file", env: []string{"HOLDFAST_SYNC_INTERVAL=3s", "HOLDFAST_HOST=from-env"}, wantInterval: 3 * time.Second, wantHost: "from-env"},
		{name: "a flag wins over both", env: []string{"HOLDFAST_SYNC_INTERVAL=3s"}, args: []string{"--sync-interval=4s", "--host", "from-flag"}, wantInterval: 4 * time.Second, wantHost: "from-flag"},
		{name: "an empty variable counts as unset", env: []string{"HOLDFAST_SYNC_INTERVAL="}, wantInterval: 2 * time.Second, wantHost: "from-file"},
		{name: "a zero flag wins too", args: []string{"--sync-interval=0"}, wantInterval: 0, wantHost: "from-file"},
		{name: "other variables are nobody's business", env: []string{"HOME=/root", "HOLDFASTER=1", "HOLDFAST_TEST_STACK={}"}, wantInterval: 2 * time.Second, wantHost: "from-file"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := mustLoad(t, config.Source{File: mustWrite(t, file), Environ: row.env, Flags: mustFlags(t, row.args...)})
			if c.Sync.Interval != row.wantInterval || c.Host != row.wantHost || c.Sync.Window != 3*time.Minute {
				t.Errorf("got %v, %s, %v; want %v, %s, 3m", c.Sync.Interval, c.Host, c.Sync.Window, row.wantInterval, row.wantHost)
			}
		})
	}
}

func TestAWorkerIsTunedByVariablesAndFlagsToo(t *testing.T) {
	c := mustLoad(t, config.Source{
		File:    mustWrite(t, "tuning: {windows: 9, heartbeat: 20s}"),
		Environ: []string{"HOLDFAST_TUNING_HEARTBEAT=40s", "HOLDFAST_TUNING_STOP_TIMEOUT=1m"},
		Flags:   mustFlags(t, "--tuning-windows=0", "--tuning-pollers=3"),
	})
	if want := (config.Tuning{Heartbeat: 40 * time.Second, StopTimeout: time.Minute, Pollers: 3}); c.Tuning != want {
		t.Errorf("got  %+v\nwant %+v", c.Tuning, want)
	}
}

func TestWhereTheFileIsLookedFor(t *testing.T) {
	named, inEnv, found := mustWrite(t, "host: named"), mustWrite(t, "host: in-env"), mustWrite(t, "host: found")
	env := []string{"HOLDFAST_CONFIG=" + inEnv}
	missing := filepath.Join(t.TempDir(), "missing.yml")
	for _, row := range []struct {
		name string
		src  config.Source
		want string
	}{
		{"the flag first", config.Source{File: named, Environ: env, Search: []string{found}}, "named"},
		{"then the variable", config.Source{Environ: env, Search: []string{found}}, "in-env"},
		{"then the usual places", config.Source{Search: []string{missing, found}}, "found"},
		{"and none is fine", config.Source{Search: []string{missing}}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := mustLoad(t, row.src).Host; got != row.want {
				t.Errorf("got host %q, want %q", got, row.want)
			}
		})
	}
	if _, err := config.Load(config.Source{File: missing}); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("a named file that is missing: got %v", err)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for _, row := range []struct {
		name, file string
		env, args  []string
		want       []string
	}{
		{name: "an unknown key in a section", file: "sync:\n  intervall: 1s", want: []string{"line 2", "unknown key sync.intervall; did you mean sync.interval?"}},
		{name: "an unknown section", file: "snyc: {interval: 1s}", want: []string{"unknown key snyc; did you mean sync?"}},
		{name: "an unknown key near none", file: "zzzzzzzzzzzz: 1", want: []string{"unknown key zzzzzzzzzzzz; remove it, or write one of azure, backoff, databases, directories, discovery, host, janitor, log, maintenance, metrics, replica, retention, state-dir, sync, tuning"}},
		{name: "a key as long as another", file: "qwertyu: {listen: ':1'}", want: []string{"unknown key qwertyu; remove it"}},
		{name: "a key of a later version", file: "sync: {of-the-future: 5m}", want: []string{"unknown key sync.of-the-future"}},
		{name: "an unknown key of a database", file: "databases: [{file: /a.db}]", want: []string{"unknown key databases[0].file; remove it, or write one of name, path, replica"}},
		{name: "a dotted key", file: "sync.interval: 1s", want: []string{"nested", "sync: {interval: …}"}},
		{name: "a key twice", file: "host: a\nhost: b", want: []string{"line 2: host is there twice"}},
		{name: "a list for a value", file: "host: [a]", want: []string{"host has more than one value; write one"}},
		{name: "a value for a section", file: "sync: 1s", want: []string{"sync is no mapping; write names and values, such as sync: {interval: …}"}},
		{name: "a value for the databases", file: "databases: /a.db", want: []string{"databases is no list; write - {path"}},
		{name: "a text for a database", file: "databases: [/a.db]", want: []string{"databases[0] is no mapping; write {path: "}},
		{name: "a list for a file", file: "- a", want: []string{"the file is no mapping; write names and values, such as host: web-1"}},
		{name: "not YAML", file: "a: [", want: []string{"holdfast.yml: ", "line 1", "; correct the YAML there"}},
		{name: "an unknown variable", env: []string{"HOLDFAST_SYNC_INTERVALL=1s"}, want: []string{"unknown environment variable HOLDFAST_SYNC_INTERVALL; did you mean HOLDFAST_SYNC_INTERVAL?"}},
		{name: "the list in a variable", env: []string{"HOLDFAST_DATABASES=/a.db"}, want: []string{"HOLDFAST_DATABASES is not read; list databases in the file"}},
		{name: "the directories in a variable", env: []string{"HOLDFAST_DIRECTORIES=/srv"}, want: []string{"HOLDFAST_DIRECTORIES is not read; list directories in the file"}},
		{name: "a value for the directories", file: "directories: /srv", want: []string{"line 1: directories is no list; write - {dir: /path/to/directory"}},
		{name: "a text for a directory", file: "directories: [/srv]", want: []string{"directories[0] is no mapping; write {dir: "}},
		{name: "an unknown key of a directory", file: "directories:\n  - {path: /srv}", want: []string{"line 2: unknown key directories[0].path; remove it, or write one of dir, name, pattern, recursive, replica"}},
		{name: "a word for a flag", file: "directories:\n  - dir: /srv\n    recursive: always", want: []string{`line 3: directories[0].recursive: got "always"; write true or false`}},
		{name: "a directory without a path", file: "directories: [{pattern: '*.db'}]", want: []string{"directories[0]: dir is missing"}},
		{name: "a relative directory", file: "directories: [{dir: srv}]", want: []string{`directories[0]: dir "srv" is relative`}},
		{name: "a pattern of paths", file: "replica: file:///r\ndirectories: [{dir: /a, pattern: 'b/*.db'}]", want: []string{`directories[0]: pattern "b/*.db" has a '/'`}},
		{name: "a pattern that is none", file: "replica: file:///r\ndirectories: [{dir: /a, pattern: '[.db'}]", want: []string{`directories[0]: pattern "[.db" cannot be read`}},
		{name: "a directory without a replica", file: "directories: [{dir: /a}]", want: []string{"directories[0]: /a has no replica"}},
		{name: "one name for all", file: "replica: file:///r\ndirectories: [{dir: /a, name: tenants}]", want: []string{`directories[0]: name "tenants" is the same for all; write {path} into it`}},
		{name: "a bad name for all", file: "replica: file:///r\ndirectories: [{dir: /a, name: 'Tenants/{path}'}]", want: []string{"directories[0]", `the part "Tenants"`}},
		{name: "an unknown part of a name", file: "replica: file:///r\ndirectories: [{dir: /a, name: '{dir}/{path}'}]", want: []string{`directories[0]: name "{dir}/{path}"`, "only {host} and {path}"}},
		{name: "one replica for all", file: "directories: [{dir: /a, replica: 'file:///r'}]", want: []string{`directories[0]: replica "file:///r" is the same for all; write {path} into it`}},
		{name: "a replica for all that is no URL", file: "directories: [{dir: /a, replica: '/r/{path}'}]", want: []string{"directories[0]", "no scheme"}},
		{name: "a rescan without a pause", file: "discovery: {rescan: 0}", want: []string{"discovery.rescan: got 0s; write at least 1s"}},
		{name: "no grace", file: "discovery: {grace: 10ms}", want: []string{"discovery.grace: got 10ms; write at least 1s"}},
		{name: "a duration without a unit", file: "sync: {interval: 5}", want: []string{`holdfast.yml: sync.interval: got "5"; write a duration such as 1s`}},
		{name: "a negative duration", args: []string{"--sync-window=-1s"}, want: []string{`--sync-window: got "-1s"`}},
		{name: "a bad duration in a variable", env: []string{"HOLDFAST_BACKOFF_CAP=soon"}, want: []string{`HOLDFAST_BACKOFF_CAP: got "soon"`}},
		{name: "a bad size", file: "sync: {wal-limit: 64 mibs}", want: []string{`sync.wal-limit: got "64 mibs"; write a size such as 64MiB`}},
		{name: "a log limit that is too small", file: "sync: {wal-limit: 1KiB}", want: []string{"sync.wal-limit: got 1KiB; write at least 64KiB"}},
		{name: "a heartbeat that is too short", file: "sync: {heartbeat: 10ms}", want: []string{"sync.heartbeat: got 10ms; write at least 1s"}},
		{name: "a cap below the interval", file: "backoff: {cap: 1s}\nsync: {interval: 2s}", want: []string{"backoff.cap: got 1s", "sync.interval, 2s"}},
		{name: "no number of slots", file: "maintenance: {slots: two}", want: []string{`maintenance.slots: got "two"; write a number from 0 to 1000`}},
		{name: "a negative number of slots", args: []string{"--maintenance-slots=-1"}, want: []string{`--maintenance-slots: got "-1"; write a number`}},
		{name: "more slots than make sense", env: []string{"HOLDFAST_MAINTENANCE_SLOTS=1001"}, want: []string{`HOLDFAST_MAINTENANCE_SLOTS: got "1001"; write a number`}},
		{name: "no number of windows", file: "tuning: {windows: many}", want: []string{`tuning.windows: got "many"; write a number from 0 to 1000000`}},
		{name: "more pollers than the SDK has", env: []string{"HOLDFAST_TUNING_POLLERS=101"}, want: []string{`HOLDFAST_TUNING_POLLERS: got "101"; write a number from 0 to 100`}},
		{name: "a negative number of wakes", args: []string{"--tuning-wakes-per-second=-1"}, want: []string{`--tuning-wakes-per-second: got "-1"; write a number from 0`}},
		{name: "fewer windows than databases", file: "tuning: {windows: 1}\nreplica: file:///r\ndatabases: [{path: /a.db}, {path: /b.db}]", want: []string{"tuning.windows: got 1 for 2 listed databases", "write at least that, or 0"}},
		{name: "heartbeats that let a window die", file: "tuning: {heartbeat: 41s}", want: []string{"tuning.heartbeat: got 41s", "sync.heartbeat, 1m0s", "no more than 40s"}},
		{name: "heartbeats that follow each other", file: "tuning: {heartbeat: 10ms}", want: []string{"tuning.heartbeat: got 10ms; write at least 1s"}},
		{name: "two words on heartbeats", file: "tuning: {heartbeat: 20s, heartbeats-per-second: 5}", want: []string{"tuning: heartbeat, 20s,", "heartbeats-per-second, 5,", "write one of them"}},
		{name: "no time to stop", file: "tuning: {stop-timeout: 10ms}", want: []string{"tuning.stop-timeout: got 10ms; write 1s to 10m0s"}},
		{name: "a stop that does not end", file: "tuning: {stop-timeout: 1h}", want: []string{"tuning.stop-timeout: got 1h0m0s; write 1s to 10m0s"}},
		{name: "an unknown level", file: "log: {level: loud}", want: []string{`log.level: got "loud"; write one of debug, info, warn, error`}},
		{name: "an unknown tier of the janitor's", file: "janitor: {tier: archive}", want: []string{`janitor.tier: got "archive"; write one of`}},
		{name: "puts that go too early", file: "retention: {level0: 59m}", want: []string{"retention.level0: got 59m0s; write at least 1h0m0s"}},
		{name: "a window that is shorter", file: "retention: {level0: 3h, window: 2h}", want: []string{"retention.window: got 2h0m0s; write no less than retention.level0, 3h0m0s"}},
		{name: "neither true nor false", file: "retention: {store: perhaps}", want: []string{`retention.store: got "perhaps"; write true or false`}},
		{name: "an unknown tier", file: "azure: {tier: archive}", want: []string{`azure.tier: got "archive"; write one of hot, cool, cold`}},
		{name: "a host with a slash", file: "host: a/b", want: []string{`host name "a/b"`}},
		{name: "a relative state directory", file: "state-dir: state", want: []string{"state-dir", "absolute"}},
		{name: "a replica that is no URL", file: "replica: /mnt/x", want: []string{"replica URL: no scheme; write abs://"}},
		{name: "a database without a path", file: "databases: [{name: a}]", want: []string{"databases[0]: path is missing"}},
		{name: "a database with a relative path", file: "databases: [{path: a.db}]", want: []string{`databases[0]: path "a.db" is relative`}},
		{name: "a database with a bad name", file: "replica: file:///r\ndatabases: [{path: /a.db, name: A b}]", want: []string{"databases[0]", `database name "A b"`}},
		{name: "a database without a replica", file: "databases: [{path: /a.db}]", want: []string{"databases[0]: a has no replica"}},
		{name: "two databases of one name", file: "replica: file:///r\ndatabases: [{path: /x/a.db}, {path: /y/a.db}]", want: []string{"/x/a.db and /y/a.db are both named a"}},
		{name: "two databases of one path", file: "replica: file:///r\ndatabases: [{path: /x/a.db}, {path: /x/./a.db, name: b}]", want: []string{"a and b are both the file /x/a.db"}},
		{name: "two databases of one replica", file: "databases: [{path: /a.db, replica: 'file:///r'}, {path: /b.db, replica: 'file:///r'}]", want: []string{"a and b both have the replica file:///r"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := config.Load(config.Source{File: mustWrite(t, row.file), Environ: row.env, Flags: mustFlags(t, row.args...)})
			if err == nil {
				t.Fatal("got no error")
			}
			for _, want := range row.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got  %v\nwant %q in it", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("got more than one line: %v", err)
			}
			if !strings.Contains(err.Error(), "; ") {
				t.Errorf("does not say what to do: %v", err)
			}
		})
	}
}

func TestTwoPathsThatAreOneFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a.db", filepath.Join(dir, "b.db")); err != nil {
		t.Fatal(err)
	}
	file := mustWrite(t, "replica: file:///r\ndatabases: [{path: "+dir+"/a.db}, {path: "+dir+"/b.db}]")
	if _, err := config.Load(config.Source{File: file}); err == nil || !strings.Contains(err.Error(), "a and b are both the file") {
		t.Errorf("got %v", err)
	}
}

func TestEmptySectionsAreFine(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "sync:\ndatabases:\ndirectories:\nhost:\n", "sync: {}\ndatabases: []\ndirectories: []"} {
		if c := mustLoad(t, config.Source{File: mustWrite(t, text)}); c.Sync.Interval != time.Second {
			t.Errorf("%q: got interval %v, want the default", text, c.Sync.Interval)
		}
	}
}

func TestEveryKeyHasAVariableAndAFlag(t *testing.T) {
	flags := mustFlags(t)
	for _, name := range config.Keys() {
		if name == "databases" || name == "directories" {
			continue
		}
		if flags.Lookup(config.FlagName(name)) == nil {
			t.Errorf("%s has no flag", name)
		}
		_, err := config.Load(config.Source{Environ: []string{config.EnvName(name) + "="}})
		if err != nil {
			t.Errorf("%s: %v", config.EnvName(name), err)
		}
	}
	if got := config.EnvName("azure.connection-string-file"); got != "HOLDFAST_AZURE_CONNECTION_STRING_FILE" {
		t.Errorf("got %s", got)
	}
}
