package telemetry_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/holdfast-db/holdfast/internal/telemetry"
)

func TestMetricsAddUpMaintenance(t *testing.T) {
	m := telemetry.NewMetrics()
	m.Maintained("shop", telemetry.MaintenanceNumbers{Merged: 3, Written: 500, Expired: 20, Freed: 7000, Oldest: time.Unix(1700000000, 0)})
	m.Maintained("shop", telemetry.MaintenanceNumbers{Failed: true, Merged: 1, Written: 50})
	m.Forget("shop")
	want := `
# HELP holdfast_expired_object_bytes_total Bytes of the objects that this worker removed.
# TYPE holdfast_expired_object_bytes_total counter
holdfast_expired_object_bytes_total{database="shop"} 7000
# HELP holdfast_expired_objects_total Objects that this worker removed.
# TYPE holdfast_expired_objects_total counter
holdfast_expired_objects_total{database="shop"} 20
# HELP holdfast_maintenance_runs_total Runs of maintenance by this worker, by outcome: ok or failed.
# TYPE holdfast_maintenance_runs_total counter
holdfast_maintenance_runs_total{database="shop",outcome="failed"} 1
holdfast_maintenance_runs_total{database="shop",outcome="ok"} 1
# HELP holdfast_merged_object_bytes_total Bytes of the objects that this worker made of others.
# TYPE holdfast_merged_object_bytes_total counter
holdfast_merged_object_bytes_total{database="shop"} 550
# HELP holdfast_merged_objects_total Objects that this worker made of others.
# TYPE holdfast_merged_objects_total counter
holdfast_merged_objects_total{database="shop"} 4
# HELP holdfast_oldest_state_timestamp_seconds Time of the first state that can be restored, as this worker saw it last; of several workers the highest holds.
# TYPE holdfast_oldest_state_timestamp_seconds gauge
holdfast_oldest_state_timestamp_seconds{database="shop"} 1.7e+09
`
	err := testutil.GatherAndCompare(m.Registry, strings.NewReader(want), "holdfast_expired_object_bytes_total", "holdfast_expired_objects_total",
		"holdfast_maintenance_runs_total", "holdfast_merged_object_bytes_total", "holdfast_merged_objects_total", "holdfast_oldest_state_timestamp_seconds")
	if err != nil {
		t.Error(err)
	}
}

func TestMetricsAddUpPasses(t *testing.T) {
	m := telemetry.NewMetrics()
	at := time.Unix(1700000000, 500_000_000)
	m.Pass("shop", telemetry.PassNumbers{Objects: 2, Bytes: 300, Transactions: 5, Resyncs: []string{"chain"}, TXID: 7, SyncedAt: at})
	m.Pass("shop", telemetry.PassNumbers{Failed: true, TXID: 7, BehindBytes: 4096, SpoolBytes: 10})
	m.Pass("gone", telemetry.PassNumbers{Objects: 1, Resyncs: []string{"scrub"}})
	m.Forget("gone")
	m.Discovered(12, 2)
	m.Refused(3)
	want := `
# HELP holdfast_discovered_databases Databases found in the configured directories.
# TYPE holdfast_discovered_databases gauge
holdfast_discovered_databases 12
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
# HELP holdfast_refused_databases Databases that are wanted and not registered: by discovery, for the file or its name, or by registration.
# TYPE holdfast_refused_databases gauge
holdfast_refused_databases{by="discovery"} 2
holdfast_refused_databases{by="registration"} 3
# HELP holdfast_resyncs_total Times that all pages were compared, by the rule for which the log was not enough.
# TYPE holdfast_resyncs_total counter
holdfast_resyncs_total{database="shop",rule="chain"} 1
# HELP holdfast_synced_timestamp_seconds When database and replica were last known to be equal; lag is now minus this.
# TYPE holdfast_synced_timestamp_seconds gauge
holdfast_synced_timestamp_seconds{database="shop"} 1.7000000005e+09
`
	err := testutil.GatherAndCompare(m.Registry, strings.NewReader(want),
		"holdfast_objects_total", "holdfast_passes_total", "holdfast_resyncs_total", "holdfast_synced_timestamp_seconds", "holdfast_log_behind_bytes",
		"holdfast_discovered_databases", "holdfast_refused_databases")
	if err != nil {
		t.Error(err)
	}
}

func TestMetricsTellOfTheLastProof(t *testing.T) {
	m := telemetry.NewMetrics()
	m.Verified("shop", telemetry.VerificationNumbers{Read: 500, TXID: 7, Created: time.Unix(1600000000, 0), At: time.Unix(1700000000, 0)})
	m.Verified("shop", telemetry.VerificationNumbers{Failed: true, Read: 50, Damaged: 2})
	m.Forget("shop")
	want := `
# HELP holdfast_damaged_objects Damaged objects that this worker found in its last verification.
# TYPE holdfast_damaged_objects gauge
holdfast_damaged_objects{database="shop"} 2
# HELP holdfast_proven_state_timestamp_seconds Time of the state that this worker last restored.
# TYPE holdfast_proven_state_timestamp_seconds gauge
holdfast_proven_state_timestamp_seconds{database="shop"} 1.6e+09
# HELP holdfast_proven_timestamp_seconds When this worker last restored a state and found it to be what was shipped; of several workers the highest holds.
# TYPE holdfast_proven_timestamp_seconds gauge
holdfast_proven_timestamp_seconds{database="shop"} 1.7e+09
# HELP holdfast_proven_txid TXID that this worker last restored and found to be what was shipped; of several workers the one of the latest proven_timestamp_seconds holds.
# TYPE holdfast_proven_txid gauge
holdfast_proven_txid{database="shop"} 7
# HELP holdfast_verifications_total Verifications by this worker, by outcome: ok or failed.
# TYPE holdfast_verifications_total counter
holdfast_verifications_total{database="shop",outcome="failed"} 1
holdfast_verifications_total{database="shop",outcome="ok"} 1
# HELP holdfast_verified_bytes_total Bytes of objects that this worker read to verify them.
# TYPE holdfast_verified_bytes_total counter
holdfast_verified_bytes_total{database="shop"} 550
`
	err := testutil.GatherAndCompare(m.Registry, strings.NewReader(want), "holdfast_damaged_objects", "holdfast_proven_state_timestamp_seconds",
		"holdfast_proven_timestamp_seconds", "holdfast_proven_txid", "holdfast_verifications_total", "holdfast_verified_bytes_total")
	if err != nil {
		t.Error(err)
	}
}
