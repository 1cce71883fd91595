package maintain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// merging is the merges of one run.
type merging struct {
	*run
	faults *faults
	lost   []plan.Merge // of which something is gone

	// top is up to which level merges are made. Where one could not be made that a later
	// run will make, larger ones would go by a hole that is not there to stay.
	top int
}

// compact makes the merges that are due, level by level, as each is made of the one below
// it, and then the snapshot. One that fails is left out, with all that would be made of it.
func (r *run) compact(ctx context.Context) error {
	g := &merging{run: r, faults: newFaults(ctx), top: plan.SnapshotLevel}
	for level := 1; level < plan.SnapshotLevel && level <= g.top; level++ {
		for _, m := range plan.Compaction(r.files) {
			if m.Level == level {
				g.try(ctx, m)
			}
		}
	}
	if m, due := plan.Snapshot(r.files); due {
		g.try(ctx, m)
	}
	if len(g.lost) > 0 && !g.faults.hopeless() {
		g.faults.add(r.judge(ctx, g.lost))
	}
	return g.faults.err()
}

func (g *merging) try(ctx context.Context, m plan.Merge) {
	if g.faults.hopeless() {
		return
	}
	err := g.merge(ctx, m)
	if err != nil && !errors.Is(err, replica.ErrDamaged) {
		g.top = m.Level
	}
	if errors.Is(err, blob.ErrNotFound) {
		g.lost = append(g.lost, m)
		return
	}
	if g.faults.add(err); err != nil {
		g.Log.Error("objects were not merged", "replica", g.URL, "merge", replica.Key(m.Level, m.Min, m.Max), "err", err)
	}
}

// judge looks at the replica again, where objects were gone that had been listed: another
// run has put something in their place.
func (r *run) judge(ctx context.Context, lost []plan.Merge) error {
	if err := r.list(ctx); err != nil {
		return err
	}
	there := make(map[string]bool)
	for _, o := range r.objects {
		there[o.Key()] = true
	}
	for _, m := range lost {
		if !slices.ContainsFunc(m.From, func(f plan.File) bool { return !there[replica.Key(f.Level, f.Min, f.Max)] }) {
			return fmt.Errorf("%w: one of what %s is made of is listed and cannot be read", blob.ErrNotFound, replica.Key(m.Level, m.Min, m.Max))
		}
	}
	return nil
}

// merge makes one file. That it is there already is as good: what it holds follows from
// its name. So is that it was there a moment ago: another run has made more of it.
func (r *run) merge(ctx context.Context, m plan.Merge) error {
	from := make([]replica.Object, len(m.From))
	var size int64
	for i, f := range m.From {
		from[i] = r.objects[f]
		size += f.Size
	}
	made := replica.Object{File: plan.File{Level: m.Level, Min: m.Min, Max: m.Max, Size: size, Created: from[len(from)-1].Created}}
	if !r.DryRun {
		var err error
		made, err = r.Replica.Merge(ctx, m.Level, from, os.TempDir())
		if errors.Is(err, blob.ErrExists) {
			made, err = r.Replica.Find(ctx, m.Level, m.Min, m.Max)
		}
		if err != nil {
			return err
		}
		r.Log.Debug("merged", "replica", r.URL, "object", made.Key(), "of", len(from), "bytes", made.Size)
	}
	r.report.Read += size
	r.report.Merged = append(r.report.Merged, made.File)
	r.report.Written += made.Size
	r.add(made)
	if r.Progress != nil {
		r.Progress(r.report)
	}
	return nil
}
