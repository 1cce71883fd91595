package main

import (
	"context"
	"errors"
	"fmt"
)

// memoryLimit is how much a worker may ever have, in MiB.
const memoryLimit = 256

// memory measures the most memory that each had while it had much to ship. It is
// one turn: a process's peak hardly varies. The peer takes minutes for 4 GiB, and
// the target says nothing of it, so it is left out there.
func (b *bench) memory(ctx context.Context) error {
	b.results.begin("Peak memory of the process (VmHWM, GOMEMLIMIT unset)")
	var one [2][]float64
	for i, p := range b.products {
		peak, err := b.memoryOfOne(ctx, p)
		if err != nil {
			return err
		}
		one[i] = []float64{peak}
	}
	b.results.add(line{Row: "memory", What: "a single transaction of " + size(b.bytes(1)), Unit: "MiB", Worst: true, Holdfast: one[0], Peer: one[1]},
		below(memoryLimit, fmt.Sprintf("< %d MiB", memoryLimit)))
	template, err := b.template(ctx, 4)
	if err != nil {
		return err
	}
	peak, err := b.memoryOfSnapshot(ctx, b.products[0], template)
	b.results.add(line{Row: "memory", What: "first snapshot of " + size(b.bytes(4)), Unit: "MiB", Worst: true, Holdfast: []float64{peak}},
		below(memoryLimit, fmt.Sprintf("< %d MiB", memoryLimit)))
	return err
}

func (b *bench) memoryOfOne(ctx context.Context, p product) (peak float64, err error) {
	b.progress("memory: %s, one large transaction", p.name())
	s, err := b.newSite(ctx, "", 0)
	if err != nil {
		return 0, err
	}
	defer s.remove()
	run, _, err := s.replicate(ctx, p, byDefault)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, run.end()) }()
	done, err := s.run(ctx, order{Work: fill, Bytes: b.bytes(1), One: true})
	if err != nil {
		return 0, err
	}
	if _, err := s.watch.durable(ctx, run, done.Last, patience); err != nil {
		return 0, err
	}
	return run.mebibytes()
}

func (b *bench) memoryOfSnapshot(ctx context.Context, p product, template string) (peak float64, err error) {
	b.progress("memory: %s, first snapshot", p.name())
	s, err := b.newSite(ctx, template, 0)
	if err != nil {
		return 0, err
	}
	defer s.remove()
	run, _, err := s.replicate(ctx, p, byDefault)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, run.end()) }()
	return run.mebibytes()
}

// mebibytes is the most memory that p has had, in MiB.
func (p *process) mebibytes() (float64, error) {
	bytes, err := p.peakMemory()
	return float64(bytes) / (1 << 20), err
}
