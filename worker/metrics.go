package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/telemetry"
)

// observer tells the metrics of what the host does.
type observer struct{ metrics *telemetry.Metrics }

// Passed implements host.Observer.
func (o observer) Passed(database string, out ship.Outcome, err error) {
	numbers := telemetry.PassNumbers{
		Failed: err != nil, Objects: out.Puts, Bytes: out.Bytes, Transactions: out.Transactions, TXID: uint64(out.TXID),
		SyncedAt: out.SyncedAt, BehindBytes: out.BehindBytes, SpoolBytes: out.SpoolBytes,
	}
	for _, rule := range out.Resyncs {
		numbers.Resyncs = append(numbers.Resyncs, string(rule))
	}
	o.metrics.Pass(database, numbers)
}

// Released implements host.Observer.
func (o observer) Released(database string) { o.metrics.Forget(database) }

// Maintained tells of a run of maintenance, of a database of any host.
func (o observer) Maintained(database string, res activities.MaintainResult, err error) {
	o.metrics.Maintained(database, telemetry.MaintenanceNumbers{
		Failed: err != nil || res.Damage != "", Merged: res.Done.Merged, Written: res.Done.WrittenBytes, Expired: res.Done.Expired,
		Freed: res.Done.ExpiredBytes, Oldest: res.Oldest,
	})
}

// Verified tells of a verification, of a database of any host.
func (o observer) Verified(database string, res activities.VerifyResult) {
	n := telemetry.VerificationNumbers{Failed: res.Fault != nil || !res.Survey.Sound(), Read: res.Read, Damaged: res.Survey.Damages}
	if p := res.Proven; p != nil {
		n.TXID, n.Created, n.At = uint64(p.TXID), p.Created, p.At
	}
	o.metrics.Verified(database, n)
}

// serveMetrics answers at address until stop is called; at no address if that is
// empty.
func serveMetrics(logger *slog.Logger, address string, m *telemetry.Metrics) (stop func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, usageError{fmt.Errorf("metrics.listen: %w; choose another address, or leave it out", err)}
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("metrics ended", telemetry.Error, err.Error())
		}
	}()
	logger.Info("metrics served", telemetry.Address, "http://"+listener.Addr().String()+"/metrics")
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
	}, nil
}
