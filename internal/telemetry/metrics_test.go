package telemetry_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/holdfast-db/holdfast/internal/telemetry"
)

func TestMetricsAddUpPasses(t *testing.T) {
	m := telemetry.NewMetrics()
	at := time.Unix(1700000000, 500_000_000)
	m.Pass("shop", telemetry.PassNumbers{Objects: 2, Bytes: 300, Transactions: 5, Resyncs: []string{"chain"}, TXID: 7, SyncedAt: at})
	m.Pass("shop", telemetry.PassNumbers{Failed: true, TXID: 7, BehindBytes: 4096, SpoolBytes: 10})
	m.Pass("gone", telemetry.PassNumbers{Objects: 1, Resyncs: []string{"scrub"}})
	m.Forget("gone")
	want := `
# HELP holdfast_log_behind_bytes Bytes of log that are not shipped.
# TYPE holdfast_log_behind_bytes gauge
holdfast_log_behind_bytes{database="shop"} 4096
# HELP holdfast_objects_total Objects put into the replica.
# TYPE holdfast_objects_total counter
holdfast_objects_total{database="shop"} 2
# HELP holdfast_passes_total Passes over the database, by outcome: ok or failed.
# TYPE holdfast_passes_total counter
holdfast_passes_total{database="shop",outcome="failed"} 1
holdfast_passes_total{database="shop",outcome="ok"} 1
# HELP holdfast_resyncs_total Times that all pages were compared, by the rule for which the log was not enough.
# TYPE holdfast_resyncs_total counter
holdfast_resyncs_total{database="shop",rule="chain"} 1
# HELP holdfast_synced_timestamp_seconds When database and replica were last known to be equal; lag is now minus this.
# TYPE holdfast_synced_timestamp_seconds gauge
holdfast_synced_timestamp_seconds{database="shop"} 1.7000000005e+09
`
	err := testutil.GatherAndCompare(m.Registry, strings.NewReader(want),
		"holdfast_objects_total", "holdfast_passes_total", "holdfast_resyncs_total", "holdfast_synced_timestamp_seconds", "holdfast_log_behind_bytes")
	if err != nil {
		t.Error(err)
	}
}
