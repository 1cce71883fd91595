package e2e_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/test/stack"
)

// TestTemporalAwayDoesNotStopReplication takes the control plane away in the
// middle of a window, for longer than a heartbeat may take, and gives it back.
func TestTemporalAwayDoesNotStopReplication(t *testing.T) {
	t.Parallel()
	own := stack.StartOwn(t, stack.Options{Only: stack.Temporal})
	s := newSite(t, "", "sync: {interval: 200ms, heartbeat: 5s}").with("TEMPORAL_ADDRESS=" + own.Temporal)
	path, journal := filepath.Join(s.dir, "orders.db"), filepath.Join(s.dir, "journal")
	app := s.start(nil, "orders", "-db", path, "-journal", journal, "-rate", "50")
	s.worker()
	eventually(t, 10*time.Second, func() bool { return exists(path) }, func() string { return "the application made no database" })
	s.run("register", path, "--name", "orders", "--host", s.host, "--config", s.config)
	s.waitPhase("orders", "Replicating", 20*time.Second)
	own.Stop()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		s.mustShip(t, "orders", 3*time.Second)
	}
	own.Start(t)
	s.waitPhase("orders", "Replicating", 60*time.Second)
	for range 10 {
		s.mustShip(t, "orders", 3*time.Second)
	}
	if code := app.interrupt(t, 10*time.Second); code != 0 {
		t.Errorf("the application ended with status %d", code)
	}
	// Its pollers may wait a while before they ask again.
	eventually(t, 90*time.Second, func() bool { return s.try("sync", "orders").code == 0 }, func() string { return "no worker answers" })
	s.mustHoldPrefixes(t, "orders", journal)
}
