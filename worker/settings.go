package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/holdfast-db/holdfast/internal/blob/driver"
	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/workflows"
)

// settings are the configuration and all that follows from it.
type settings struct {
	config.Config
	credentials driver.Credentials
	janitor     driver.Credentials // with which replicas are maintained: they have to be allowed to delete
	secrets     []string           // must not be printed
	processDir  string             // of this worker: its lock, and which databases it has had
	databaseDir string             // of the databases' state; empty for beside each
	scratch     string             // of verifications
}

// settle loads the configuration and completes it with what the system says.
func settle(w world, src config.Source) (s settings, err error) {
	if s.Config, err = config.Load(src); err != nil {
		return s, err
	}
	if s.credentials, err = s.Azure.Credentials(lookup(w.environ)); err != nil {
		return s, err
	}
	if s.janitor, err = s.JanitorCredentials(lookup(w.environ)); err != nil {
		return s, err
	}
	s.secrets = append(config.Secrets(s.credentials), config.Secrets(s.janitor)...)
	if key, _ := lookup(w.environ)("TEMPORAL_API_KEY"); key != "" {
		s.secrets = append(s.secrets, key)
	}
	if s.Host == "" {
		if s.Host, err = hostName(w); err != nil {
			return s, err
		}
	}
	root, err := stateRoot(w, s.StateDir)
	s.processDir = filepath.Join(root, "hosts", s.Host)
	if s.scratch = s.Maintenance.Scratch; s.scratch == "" {
		s.scratch = filepath.Join(s.processDir, "scratch")
	}
	if s.StateDir != "" {
		s.databaseDir = filepath.Join(s.StateDir, "databases")
	}
	return s, err
}

// hostName is the name of a host that was given none.
func hostName(w world) (string, error) {
	if w.contained() {
		return "", errors.New("host is not set, and a container's host name does not last; set host, HOLDFAST_HOST or --host")
	}
	name, err := w.hostname()
	if err != nil {
		return "", fmt.Errorf("%w; set host, HOLDFAST_HOST or --host", err)
	}
	return config.DefaultHost(name)
}

// stateRoot is where a worker keeps what is its own and no database's.
func stateRoot(w world, configured string) (string, error) {
	find := lookup(w.environ)
	state, _ := find("XDG_STATE_HOME")
	home, _ := find("HOME")
	switch {
	case configured != "":
		return configured, nil
	case filepath.IsAbs(state):
		return filepath.Join(state, "holdfast"), nil
	case w.uid == 0:
		return "/var/lib/holdfast", nil
	case filepath.IsAbs(home):
		return filepath.Join(home, ".local", "state", "holdfast"), nil
	}
	return "", errors.New("no place for the worker's state: there is no home directory; set state-dir")
}

// following is how the configuration says that databases are followed, and what is kept
// of their past.
func following(c config.Config) workflows.Settings {
	return workflows.Settings{
		Interval: c.Sync.Interval, Window: c.Sync.Window, Heartbeat: c.Sync.Heartbeat,
		BackoffCap: c.Backoff.Cap, WALLimit: int64(c.Sync.WALLimit), Scrub: config.OrNever(c.Sync.Scrub),
		IdleAfter: config.OrNever(c.Sync.IdleAfter), ColdAfter: config.OrNever(c.Sync.ColdAfter), Autonomy: config.OrNever(c.Sync.Autonomy),
		Retention: c.Retention.Window, Level0: c.Retention.Level0, StoreExpires: c.Retention.Store,
	}
}

// lookup is os.LookupEnv over a list.
func lookup(environ []string) func(string) (string, bool) {
	return func(name string) (value string, ok bool) {
		for _, entry := range environ {
			if v, is := strings.CutPrefix(entry, name+"="); is {
				value, ok = v, true
			}
		}
		return value, ok
	}
}
