package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// patience is how long something is waited for that takes seconds.
const patience = 10 * time.Minute

// lagging is what one turn showed.
type lagging struct {
	p50, p99 float64 // ms
	busy     float64 // of one core, in %
}

// lag measures how long it takes from the return of a commit until it is in the
// store, for small transactions, 100 a second.
func (b *bench) lag(ctx context.Context) error {
	b.results.begin("Lag at 100 transactions a second, from commit to durable")
	for _, away := range []time.Duration{0, 20 * time.Millisecond} {
		for _, speed := range []speed{fastest, byDefault} {
			var seen [2][]lagging
			for range b.rounds {
				for i, p := range b.products {
					one, err := b.lagOf(ctx, p, speed, away)
					if err != nil {
						return err
					}
					seen[i] = append(seen[i], one)
				}
			}
			b.reportLag(speed, away, seen)
		}
	}
	return nil
}

func (b *bench) reportLag(speed speed, away time.Duration, seen [2][]lagging) {
	what, wanted := fmt.Sprintf("%s setting", speed), faster
	if speed == byDefault {
		wanted = notSlower
	}
	if away > 0 {
		what += fmt.Sprintf(", store %d ms away", away.Milliseconds())
	}
	add := func(name, unit string, t target, of func(lagging) float64) {
		l := line{Row: "lag", What: what + ", " + name, Unit: unit}
		for i, values := range []*[]float64{&l.Holdfast, &l.Peer} {
			for _, one := range seen[i] {
				*values = append(*values, of(one))
			}
		}
		b.results.add(l, t)
	}
	add("p50", "ms", wanted, func(l lagging) float64 { return l.p50 })
	add("p99", "ms", wanted, func(l lagging) float64 { return l.p99 })
	if away == 0 {
		add("of one core", "%", noTarget, func(l lagging) float64 { return l.busy })
	}
}

// lagOf makes one turn.
func (b *bench) lagOf(ctx context.Context, p product, speed speed, away time.Duration) (one lagging, err error) {
	b.progress("lag: %s, %s setting, store %v away", p.name(), speed, away)
	s, err := b.newSite(ctx, "", away)
	if err != nil {
		return one, err
	}
	defer s.remove()
	run, _, err := s.replicate(ctx, p, speed)
	if err != nil {
		return one, err
	}
	defer func() { err = errors.Join(err, run.end()) }()
	before, err := run.processor()
	if err != nil {
		return one, err
	}
	done, err := s.run(ctx, order{Work: insert, Rate: 100, Number: true, Span: b.span(20 * time.Second)})
	if err != nil {
		return one, err
	}
	after, err := run.processor()
	if err != nil {
		return one, err
	}
	if _, err := s.watch.durable(ctx, run, done.Last, patience); err != nil {
		return one, err
	}
	puts, _ := s.watch.all()
	lags, err := lagsOf(done, puts)
	if err != nil {
		return one, err
	}
	b.progress("        %d transactions in %d objects", len(lags), len(puts))
	busy := 100 * float64(after-before) / float64(done.End-done.Start)
	return lagging{p50: quantile(lags, 0.5), p99: quantile(lags, 0.99), busy: busy}, nil
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
