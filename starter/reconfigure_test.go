package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast/workflows"
)

func TestReconfigureNamesWhatChangesAlone(t *testing.T) {
	for _, row := range []struct{ args, asked string }{
		{"shop --interval 5s", `reconfigure shop {"interval":"5s"}`},
		{"shop --interval 0", `reconfigure shop {"interval":"0s"}`},
		{"shop --retention 720h --wal-limit 1GiB", `reconfigure shop {"retention_window":"720h0m0s","wal_limit_bytes":1073741824}`},
	} {
		f := &fakeFleet{reconfigured: workflows.Reconfigured{Status: healthy().Status, Changed: true}}
		out := mustSucceed(t, invoke(t, f, nil, strings.Fields("reconfigure "+row.args)...))
		if !slices.Equal(f.asked, []string{row.asked}) {
			t.Errorf("%s: asked %q, want %q", row.args, f.asked, row.asked)
		}
		if !strings.Contains(out, "shop: changed") {
			t.Errorf("%s: got %q", row.args, out)
		}
	}
	f := &fakeFleet{reconfigured: workflows.Reconfigured{Status: healthy().Status}}
	if out := mustSucceed(t, invoke(t, f, nil, "reconfigure", "shop", "--interval", "1s")); !strings.Contains(out, "shop: nothing has changed") {
		t.Errorf("got %q", out)
	}
}
