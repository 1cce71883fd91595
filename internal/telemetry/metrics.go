package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are what a worker tells Prometheus of its databases. All but the numbers of
// databases have a label with the database's name.
type Metrics struct {
	Registry *prometheus.Registry

	passes, objects, bytes, transactions, resyncs *prometheus.CounterVec
	txid, synced, behind, spooled                 *prometheus.GaugeVec

	maintained, merged, written, expired, freed *prometheus.CounterVec
	oldest                                      *prometheus.GaugeVec

	verified, verifiedBytes                           *prometheus.CounterVec
	provenTXID, provenAt, provenState, damagedObjects *prometheus.GaugeVec

	discovered prometheus.Gauge
	refused    *prometheus.GaugeVec // by whom
}

// PassNumbers are what one pass adds and where it leaves a database.
type PassNumbers struct {
	Failed       bool
	Objects      int
	Bytes        int64 // of the objects
	Transactions int64
	Resyncs      []string // rules
	TXID         uint64
	SyncedAt     time.Time // zero: not reached
	BehindBytes  int64
	SpoolBytes   int64
}

// NewMetrics returns metrics of no database, with those of the process.
func NewMetrics() *Metrics {
	m := &Metrics{
		Registry:     prometheus.NewRegistry(),
		passes:       counter("passes_total", "Passes over the database, by outcome: ok or failed.", "outcome"),
		objects:      counter("objects_total", "Objects put into the replica."),
		bytes:        counter("object_bytes_total", "Bytes of the objects put into the replica."),
		transactions: counter("transactions_total", "Transactions of the application that were shipped."),
		resyncs:      counter("resyncs_total", "Times that all pages were compared, by the rule for which the log was not enough.", "rule"),
		txid:         gauge("replica_txid", "Highest TXID in the replica."),
		synced:       gauge("synced_timestamp_seconds", "When database and replica were last known to be equal; lag is now minus this."),
		behind:       gauge("log_behind_bytes", "Bytes of log that are not shipped."),
		spooled:      gauge("spool_bytes", "Bytes that wait in the spool."),

		maintained: counter("maintenance_runs_total", "Runs of maintenance by this worker, by outcome: ok or failed.", "outcome"),
		merged:     counter("merged_objects_total", "Objects that this worker made of others."),
		written:    counter("merged_object_bytes_total", "Bytes of the objects that this worker made of others."),
		expired:    counter("expired_objects_total", "Objects that this worker removed."),
		freed:      counter("expired_object_bytes_total", "Bytes of the objects that this worker removed."),
		oldest:     gauge("oldest_state_timestamp_seconds", "Time of the first state that can be restored, as this worker saw it last; of several workers the highest holds."),

		verified:       counter("verifications_total", "Verifications by this worker, by outcome: ok or failed.", "outcome"),
		verifiedBytes:  counter("verified_bytes_total", "Bytes of objects that this worker read to verify them."),
		provenTXID:     gauge("proven_txid", "TXID that this worker last restored and found to be what was shipped; of several workers the one of the latest proven_timestamp_seconds holds."),
		provenAt:       gauge("proven_timestamp_seconds", "When this worker last restored a state and found it to be what was shipped; of several workers the highest holds."),
		provenState:    gauge("proven_state_timestamp_seconds", "Time of the state that this worker last restored."),
		damagedObjects: gauge("damaged_objects", "Damaged objects that this worker found in its last verification."),

		discovered: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "holdfast", Name: "discovered_databases", Help: "Databases found in the configured directories.",
		}),
		refused: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "holdfast", Name: "refused_databases",
			Help: "Databases that are wanted and not registered: by discovery, for the file or its name, or by registration.",
		}, []string{"by"}),
	}
	for _, c := range []prometheus.Collector{
		m.passes, m.objects, m.bytes, m.transactions, m.resyncs, m.txid, m.synced, m.behind, m.spooled,
		m.maintained, m.merged, m.written, m.expired, m.freed, m.oldest,
		m.verified, m.verifiedBytes, m.provenTXID, m.provenAt, m.provenState, m.damagedObjects,
		m.discovered, m.refused,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		m.Registry.MustRegister(c)
	}
	return m
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "holdfast", Name: name, Help: help}, append([]string{"database"}, labels...))
}

func gauge(name, help string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "holdfast", Name: name, Help: help}, []string{"database"})
}

// Discovered takes up what a look into the directories has come to.
func (m *Metrics) Discovered(found, refused int) {
	m.discovered.Set(float64(found))
	m.refused.WithLabelValues("discovery").Set(float64(refused))
}

// Refused takes up how many databases a registration has refused so far.
func (m *Metrics) Refused(n int) { m.refused.WithLabelValues("registration").Set(float64(n)) }

// Pass takes up one pass over database.
func (m *Metrics) Pass(database string, p PassNumbers) {
	outcome := "ok"
	if p.Failed {
		outcome = "failed"
	}
	m.passes.WithLabelValues(database, outcome).Inc()
	m.objects.WithLabelValues(database).Add(float64(p.Objects))
	m.bytes.WithLabelValues(database).Add(float64(p.Bytes))
	m.transactions.WithLabelValues(database).Add(float64(p.Transactions))
	for _, rule := range p.Resyncs {
		m.resyncs.WithLabelValues(database, rule).Inc()
	}
	m.txid.WithLabelValues(database).Set(float64(p.TXID))
	m.behind.WithLabelValues(database).Set(float64(p.BehindBytes))
	m.spooled.WithLabelValues(database).Set(float64(p.SpoolBytes))
	if !p.SyncedAt.IsZero() {
		m.synced.WithLabelValues(database).Set(float64(p.SyncedAt.UnixNano()) / 1e9)
	}
}

// MaintenanceNumbers are what one run of maintenance has done.
type MaintenanceNumbers struct {
	Failed  bool
	Merged  int
	Written int64 // bytes of what was merged
	Expired int
	Freed   int64     // bytes of what has expired
	Oldest  time.Time // of the first state that can be restored; zero: not known
}

// Maintained takes up one run of maintenance on database's replica. Forget does not drop
// it: it is no matter of the host's.
func (m *Metrics) Maintained(database string, n MaintenanceNumbers) {
	outcome := "ok"
	if n.Failed {
		outcome = "failed"
	}
	m.maintained.WithLabelValues(database, outcome).Inc()
	m.merged.WithLabelValues(database).Add(float64(n.Merged))
	m.written.WithLabelValues(database).Add(float64(n.Written))
	m.expired.WithLabelValues(database).Add(float64(n.Expired))
	m.freed.WithLabelValues(database).Add(float64(n.Freed))
	if !n.Oldest.IsZero() {
		m.oldest.WithLabelValues(database).Set(float64(n.Oldest.UnixNano()) / 1e9)
	}
}

// VerificationNumbers are what one verification has found.
type VerificationNumbers struct {
	Failed  bool // something is wrong
	Read    int64
	Damaged int

	TXID    uint64    // that was proven; the rest counts only if At is not zero
	Created time.Time // of the state
	At      time.Time // of the proof
}

// Verified takes up one verification of database's replica. Forget does not drop it.
func (m *Metrics) Verified(database string, n VerificationNumbers) {
	outcome := "ok"
	if n.Failed {
		outcome = "failed"
	}
	m.verified.WithLabelValues(database, outcome).Inc()
	m.verifiedBytes.WithLabelValues(database).Add(float64(n.Read))
	m.damagedObjects.WithLabelValues(database).Set(float64(n.Damaged))
	if n.At.IsZero() {
		return
	}
	m.provenTXID.WithLabelValues(database).Set(float64(n.TXID))
	m.provenAt.WithLabelValues(database).Set(float64(n.At.UnixNano()) / 1e9)
	m.provenState.WithLabelValues(database).Set(float64(n.Created.UnixNano()) / 1e9)
}

// Forget drops all that was told of database by its host.
func (m *Metrics) Forget(database string) {
	of := prometheus.Labels{"database": database}
	for _, c := range []*prometheus.CounterVec{m.passes, m.objects, m.bytes, m.transactions, m.resyncs} {
		c.DeletePartialMatch(of)
	}
	for _, g := range []*prometheus.GaugeVec{m.txid, m.synced, m.behind, m.spooled} {
		g.DeletePartialMatch(of)
	}
}
