package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
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
	template, err := b.template(ctx, 5)
	if err != nil {
		return err
	}
	snapshot, restored, err := b.memoryOfSnapshot(ctx, holdfast{b}, template)
	if err != nil {
		return err
	}
	limit := below(memoryLimit, fmt.Sprintf("< %d MiB", memoryLimit))
	b.results.add(line{Row: "memory", What: "first snapshot of " + size(b.bytes(5)), Unit: "MiB", Worst: true, Holdfast: []float64{snapshot}}, limit)
	b.results.add(line{Row: "memory", What: "restore of it", Unit: "MiB", Worst: true, Holdfast: []float64{restored}}, limit)
	return nil
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

// memoryOfSnapshot returns the most memory that the worker had until all was in the
// store, and the command line until it was back.
func (b *bench) memoryOfSnapshot(ctx context.Context, h holdfast, template string) (snapshot, restored float64, err error) {
	b.progress("memory: %s, first snapshot and restore", h.name())
	s, err := b.newSite(ctx, template, 0)
	if err != nil {
		return 0, 0, err
	}
	defer s.remove()
	run, _, err := s.replicate(ctx, h, byDefault)
	if err != nil {
		return 0, 0, err
	}
	snapshot, err = run.mebibytes()
	if err = errors.Join(err, run.end()); err != nil {
		return 0, 0, err
	}
	out := filepath.Join(s.dir, "restored.db")
	p, err := start(h.environ(s), filepath.Join(s.dir, "restore.log"), filepath.Join(h.bin, "holdfast"), h.restoreArguments(s, b.at.Blob, out)...)
	if err != nil {
		return 0, 0, err
	}
	<-p.done
	if p.err != nil {
		return 0, 0, p.ended()
	}
	used, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, 0, errors.New("the system does not tell the memory of a process that has ended")
	}
	return snapshot, float64(used.Maxrss) / 1024, os.Remove(out)
}

// mebibytes is the most memory that p has had, in MiB.
func (p *process) mebibytes() (float64, error) {
	bytes, err := p.peakMemory()
	return float64(bytes) / (1 << 20), err
}
