package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/plan"
)

// The least that makes sense.
const (
	leastHeartbeat = time.Second // the service counts in seconds
	leastWALLimit  = 64 << 10
	leastRescan    = time.Second
	leastGrace     = time.Second // a file that is replaced is gone for a moment
)

// validate fills in what follows from the rest and checks everything.
func (c *Config) validate() error {
	if c.Host != "" {
		c.Host = strings.ToLower(c.Host)
		if err := CheckHost(c.Host); err != nil {
			return err
		}
	}
	if c.StateDir != "" && !filepath.IsAbs(c.StateDir) {
		return fmt.Errorf("state-dir: %q is relative; write the absolute path", c.StateDir)
	}
	if c.Replica != "" {
		if _, err := blob.ParseURL(c.Replica); err != nil {
			return err
		}
	}
	for name, endpoint := range map[string]string{"azure.endpoint": c.Azure.Endpoint, "janitor.endpoint": c.Janitor.Endpoint} {
		if endpoint == "" {
			continue
		}
		if _, err := blob.ParseEndpoint(endpoint); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, check := range []func() error{c.checkTimes, c.checkTuning, c.Retention.check, c.checkChoices, c.fillDatabases, c.checkTwice, c.fillDirectories} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkTimes() error {
	switch {
	case c.Sync.Heartbeat < leastHeartbeat:
		return fmt.Errorf("sync.heartbeat: got %v; write at least %v", c.Sync.Heartbeat, leastHeartbeat)
	case c.Sync.WALLimit < leastWALLimit:
		return fmt.Errorf("sync.wal-limit: got %v; write at least %v", c.Sync.WALLimit, Size(leastWALLimit))
	case c.Discovery.Rescan < leastRescan:
		return fmt.Errorf("discovery.rescan: got %v; write at least %v", c.Discovery.Rescan, leastRescan)
	case c.Discovery.Grace < leastGrace:
		return fmt.Errorf("discovery.grace: got %v; write at least %v", c.Discovery.Grace, leastGrace)
	case c.Backoff.Cap <= 0 || c.Backoff.Cap < c.Sync.Interval:
		return fmt.Errorf("backoff.cap: got %v; write more than zero and no less than sync.interval, %v",
			c.Backoff.Cap, c.Sync.Interval)
	}
	return nil
}

// What a tuned worker needs at least.
const (
	leastBeat = time.Second // the status is no fresher than what is asked for by the second
	leastStop = time.Second // a put that is under way, and the word that it was the last
	mostStop  = 10 * time.Minute
)

func (c *Config) checkTuning() error {
	t := c.Tuning
	switch most := LeastOften(c.Sync.Heartbeat); {
	case t.Heartbeat != 0 && t.Heartbeat < min(leastBeat, most):
		return fmt.Errorf("tuning.heartbeat: got %v; write at least %v, or 0 for what follows from the number of databases", t.Heartbeat, min(leastBeat, most))
	case t.Heartbeat > most:
		return fmt.Errorf("tuning.heartbeat: got %v, and a window that is silent for sync.heartbeat, %v, counts as dead; write no more than %v, two thirds of it",
			t.Heartbeat, c.Sync.Heartbeat, most)
	case t.Heartbeat != 0 && t.HeartbeatsPerSecond != 0:
		return fmt.Errorf("tuning: heartbeat, %v, says how often each window sends one, so heartbeats-per-second, %d, would say nothing; write one of them", t.Heartbeat, t.HeartbeatsPerSecond)
	case t.Windows != 0 && t.Windows < len(c.Databases):
		return fmt.Errorf("tuning.windows: got %d for %d listed databases, and each needs one; write at least that, or 0", t.Windows, len(c.Databases))
	case t.StopTimeout != 0 && (t.StopTimeout < leastStop || t.StopTimeout > mostStop):
		return fmt.Errorf("tuning.stop-timeout: got %v; write %v to %v, or 0 for what follows from the number of databases", t.StopTimeout, leastStop, mostStop)
	}
	return nil
}

func (r Retention) check() error {
	switch {
	case r.Level0 < plan.LeastLevel0:
		return fmt.Errorf("retention.level0: got %v; write at least %v: a host that was away must find its newest objects", r.Level0, plan.LeastLevel0)
	case r.Window < r.Level0:
		return fmt.Errorf("retention.window: got %v; write no less than retention.level0, %v", r.Window, r.Level0)
	}
	return nil
}

func (c *Config) checkChoices() error {
	for _, choice := range []struct {
		name, got string
		want      []string
	}{
		{"log.level", c.Log.Level, []string{"debug", "info", "warn", "error"}},
		{"log.format", c.Log.Format, []string{"text", "json"}},
		{"azure.tier", c.Azure.Tier, []string{"", "hot", "cool", "cold"}},
		{"janitor.tier", c.Janitor.Tier, []string{"", "hot", "cool", "cold"}},
	} {
		if !slices.Contains(choice.want, choice.got) {
			list := strings.Join(slices.DeleteFunc(choice.want, func(s string) bool { return s == "" }), ", ")
			return fmt.Errorf("%s: got %q; write one of %s", choice.name, choice.got, list)
		}
	}
	return nil
}

func (c *Config) fillDatabases() error {
	for i := range c.Databases {
		if err := c.fill(&c.Databases[i]); err != nil {
			return fmt.Errorf("databases[%d]: %w", i, err)
		}
	}
	return nil
}

func (c *Config) fill(db *Database) (err error) {
	switch {
	case db.Path == "":
		return fmt.Errorf("path is missing; write {path: /path/to/file.db}")
	case !filepath.IsAbs(db.Path):
		return fmt.Errorf("path %q is relative; write the absolute path", db.Path)
	}
	db.Path = filepath.Clean(db.Path)
	if db.Name == "" {
		if db.Name, err = DefaultName(db.Path); err != nil {
			return err
		}
	}
	if err := CheckName(db.Name); err != nil {
		return err
	}
	db.Replica, err = c.ReplicaOf(db.Name, db.Replica)
	if err == nil && db.Replica == "" {
		err = fmt.Errorf("%s has no replica; set replica for all or its own", db.Name)
	}
	return err
}

// ReplicaOf returns the URL of a database's replica: its own when that is not
// empty, else the one below the replica root, else none.
func (c *Config) ReplicaOf(name, own string) (string, error) {
	if own == "" && c.Replica == "" {
		return "", nil
	}
	text := own
	if text == "" {
		text = c.Replica
	}
	u, err := blob.ParseURL(text)
	if err != nil {
		return "", err
	}
	if own == "" {
		u = u.Join(name)
	}
	return u.String(), nil
}

// checkTwice refuses two databases that would be one.
func (c *Config) checkTwice() error {
	names, paths, replicas := map[string]Database{}, map[string]Database{}, map[string]Database{}
	for _, db := range c.Databases {
		if other, ok := names[db.Name]; ok {
			return fmt.Errorf("databases: %s and %s are both named %s; name one of them", other.Path, db.Path, db.Name)
		}
		path := resolve(db.Path)
		if other, ok := paths[path]; ok {
			return fmt.Errorf("databases: %s and %s are both the file %s; remove one", other.Name, db.Name, path)
		}
		if other, ok := replicas[db.Replica]; ok {
			return fmt.Errorf("databases: %s and %s both have the replica %s; give one of them another",
				other.Name, db.Name, db.Replica)
		}
		names[db.Name], paths[path], replicas[db.Replica] = db, db, db
	}
	return nil
}

// resolve follows symbolic links where they lead somewhere.
func resolve(path string) string {
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		return resolved
	}
	return path
}
