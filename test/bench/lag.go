package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// patience is how long something is waited for that takes seconds.
const patience = 10 * time.Minute

// lag measures how long it takes from the return of a commit until it is in the
// store, for small transactions, 100 a second.
func (b *bench) lag(ctx context.Context) error {
	b.results.begin("Lag at 100 transactions a second, from commit to durable")
	for _, away := range []time.Duration{0, 20 * time.Millisecond} {
		for _, speed := range []speed{fastest, byDefault} {
			var p50, p99 [2][]float64
			for range b.rounds {
				for i, p := range b.products {
					lags, err := b.lagOf(ctx, p, speed, away)
					if err != nil {
						return err
					}
					p50[i] = append(p50[i], quantile(lags, 0.5))
					p99[i] = append(p99[i], quantile(lags, 0.99))
				}
			}
			wanted := faster
			if speed == byDefault {
				wanted = notSlower
			}
			what := fmt.Sprintf("%s setting", speed)
			if away > 0 {
				what += fmt.Sprintf(", store %d ms away", away.Milliseconds())
			}
			b.results.add(line{Row: "lag", What: what + ", p50", Unit: "ms", Holdfast: p50[0], Peer: p50[1]}, wanted)
			b.results.add(line{Row: "lag", What: what + ", p99", Unit: "ms", Holdfast: p99[0], Peer: p99[1]}, wanted)
		}
	}
	return nil
}

// lagOf returns the lag of each transaction, in ms.
func (b *bench) lagOf(ctx context.Context, p product, speed speed, away time.Duration) (lags []float64, err error) {
	b.progress("lag: %s, %s setting, store %v away", p.name(), speed, away)
	s, err := b.newSite(ctx, "", away)
	if err != nil {
		return nil, err
	}
	defer s.remove()
	run, _, err := s.replicate(ctx, p, speed)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, run.end()) }()
	done, err := s.run(ctx, order{Work: insert, Rate: 100, Number: true, Span: b.span(20 * time.Second)})
	if err != nil {
		return nil, err
	}
	if _, err := s.watch.durable(ctx, run, done.Last, patience); err != nil {
		return nil, err
	}
	puts, _ := s.watch.all()
	return lagsOf(done, puts)
}

// lagsOf tells, in ms, for each transaction of r how long after its commit the
// first put was that holds it.
func lagsOf(r report, puts []put) ([]float64, error) {
	lags := make([]float64, 0, len(r.Ended))
	next := 0
	for i, ended := range r.Ended {
		number := r.First + uint64(i)
		for next < len(puts) && puts[next].mark < number {
			next++
		}
		if next == len(puts) {
			return nil, fmt.Errorf("transaction %d was never put", number)
		}
		lags = append(lags, float64(puts[next].at.UnixNano()-ended)/1e6)
	}
	return lags, nil
}

// replicate makes the site's database if there is none, starts p and waits for
// the first snapshot. It returns how long that took from the start.
func (s *site) replicate(ctx context.Context, p product, speed speed) (run *process, took time.Duration, err error) {
	if _, err := s.run(ctx, order{Work: insert, Span: 0}); err != nil {
		return nil, 0, err
	}
	if run, err = p.start(s, speed); err != nil {
		return nil, 0, err
	}
	at, err := s.watch.snapshot(ctx, run, patience)
	if err != nil {
		return nil, 0, errors.Join(err, run.end())
	}
	return run, at.Sub(run.begun), nil
}
