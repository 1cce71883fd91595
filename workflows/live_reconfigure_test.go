package workflows_test

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/workflows"
)

// TestLiveReconfigureTogether has several people change a setting each while a window is
// under way, which has to end first: none undoes what another has changed.
func TestLiveReconfigureTogether(t *testing.T) {
	s := newSite(t, &liveHost{})
	s.in.Settings = workflows.Settings{Interval: 100 * time.Millisecond, Window: 10 * time.Minute}
	s.syncWorker()
	if _, err := s.register(workflows.Registration{Spec: s.in.Spec, Wait: true}); err != nil {
		t.Fatal(err)
	}
	s.windows(2) // the first is a pass
	var all sync.WaitGroup
	for _, change := range []string{
		`{"interval": "200ms"}`, `{"idle_after": "1h0m0s"}`, `{"cold_after": "2h0m0s"}`, `{"autonomy": "3h0m0s"}`, `{"backoff_cap": "10s"}`,
	} {
		all.Go(func() {
			if err := s.update(workflows.UpdateReconfigure, "", workflows.Reconfiguration{Settings: json.RawMessage(change)}); err != nil {
				t.Errorf("%s: %v", change, err)
			}
		})
	}
	all.Wait()
	got := s.status().Settings
	if got.Interval != 200*time.Millisecond || got.IdleAfter != time.Hour || got.ColdAfter != 2*time.Hour || got.Autonomy != 3*time.Hour || got.BackoffCap != 10*time.Second {
		t.Errorf("in force: %+v", got)
	}
	if got.Window != 10*time.Minute {
		t.Errorf("window: got %v, want what it was", got.Window)
	}
}
