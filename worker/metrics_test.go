package main

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/telemetry"
)

func TestMetricsAreServed(t *testing.T) {
	var log strings.Builder
	m := telemetry.NewMetrics()
	stop, err := serveMetrics(slog.New(slog.NewTextHandler(&log, nil)), "127.0.0.1:0", m)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	o := observer{m}
	o.Passed("shop", ship.Outcome{TXID: 9, Puts: 1, Resyncs: []source.Rule{source.RuleScrub}}, nil)
	o.Passed("gone", ship.Outcome{}, errors.New("no route to host"))
	o.Released("gone")
	o.Maintained("shop", activities.MaintainResult{Done: activities.Maintained{Merged: 3}, Damage: "an object"}, nil)
	o.Verified("shop", activities.VerifyResult{Proven: &activities.Proven{TXID: 8, At: time.Unix(1700000000, 0)}, Survey: activities.Survey{Damages: 1}})
	_, after, _ := strings.Cut(log.String(), "address=")
	answer, err := http.Get(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`holdfast_replica_txid{database="shop"} 9`, `holdfast_resyncs_total{database="shop",rule="scrub"} 1`, `holdfast_merged_objects_total{database="shop"} 3`, `holdfast_maintenance_runs_total{database="shop",outcome="failed"} 1`,
		`holdfast_proven_txid{database="shop"} 8`, `holdfast_verifications_total{database="shop",outcome="failed"} 1`, "process_open_fds"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	if strings.Contains(string(body), "gone") {
		t.Error("a released database is still told of")
	}
}

func TestAnAddressForMetricsThatIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // only held
	w, stderr := machine(t, "TEMPORAL_ADDRESS="+unreachable(t), "HOLDFAST_METRICS_LISTEN="+taken.Addr().String())
	mustFail(t, stderr, run(t.Context(), w, nil), statusUsage, "metrics.listen: listen tcp "+taken.Addr().String()+": bind: address already in use; choose another address, or leave it out")
}
