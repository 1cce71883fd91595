// Package maintain keeps a replica small and quick to restore: it carries out what
// package plan decides. It never touches the database or its host, and any number of
// runs may be under way at once, be killed anywhere, and be made again: merges are
// create-only and a function of what they are made of.
package maintain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// DefaultPolicy keeps a week, and each put of the last hour.
var DefaultPolicy = plan.Policy{Window: 7 * 24 * time.Hour, Level0: time.Hour}

// Options say what to maintain.
type Options struct {
	Replica *replica.Replica
	URL     string // of the replica, as it is shown
	Policy  plan.Policy
	DryRun  bool // only say what would be done
	Keep    bool // remove nothing: the store's own rules do, or the credentials may not
	Log     *slog.Logger

	Pins     []plan.Target // restores under way: nothing goes that one of them may read
	Progress func(Report)  // is told after each merge what was done so far; nil for nobody

	Now func() time.Time // nil is time.Now
}

// Report is what a run has done or, in a dry run, would do.
type Report struct {
	Objects int // in the replica when the run began
	Bytes   int64

	Expired      []plan.File // that nothing inside the window needs, removed unless Keep
	ExpiredBytes int64

	Merged  []plan.File // made of others; in a dry run with the size of all that
	Read    int64       // bytes of what they were made of
	Written int64

	Oldest time.Time // of the first state that can be restored; zero for none
}

// Run removes what has expired, and then makes the merges and the snapshot that are due:
// what takes another's place is seen in a listing, by a later run, before that goes. What
// was done when it fails stays done.
func Run(ctx context.Context, o Options) (Report, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &run{Options: o}
	err := r.run(ctx)
	if err != nil {
		err = fmt.Errorf("maintain %s: %w", o.URL, err)
	}
	return r.report, err
}

func (r *run) run(ctx context.Context) error {
	if err := r.list(ctx); err != nil {
		return err
	}
	r.report.Objects = len(r.files)
	for _, f := range r.files {
		r.report.Bytes += f.Size
	}
	damage := r.expire(ctx)
	if damage != nil && !errors.Is(damage, replica.ErrDamaged) {
		return damage
	}
	if points, _ := plan.Points(r.files); len(points) > 0 {
		r.report.Oldest = points[0].Created
	}
	if err := r.compact(ctx); err != nil {
		return errors.Join(damage, err)
	}
	if m, due := plan.Snapshot(r.files); due {
		return errors.Join(damage, r.merge(ctx, m))
	}
	return damage
}

type run struct {
	Options
	files   []plan.File
	objects map[plan.File]replica.Object
	listed  time.Time
	report  Report
}

func (r *run) list(ctx context.Context) error {
	r.listed, r.files, r.objects = r.wallClock(), nil, make(map[plan.File]replica.Object)
	all, err := r.Replica.All(ctx)
	for _, o := range all {
		r.add(o)
	}
	return err
}

// wallClock is now without its monotonic part, which stands still while the machine
// sleeps.
func (r *run) wallClock() time.Time { return r.Now().Round(0) }

func (r *run) add(o replica.Object) {
	r.files = append(r.files, o.File)
	r.objects[o.File] = o
}

// compact makes merges until none is due. A merge whose part is damaged is left out,
// with all that would be made of it.
func (r *run) compact(ctx context.Context) error {
	failed := make(map[string]error)
	for progress := true; progress; {
		progress = false
		for _, m := range plan.Compaction(r.files) {
			key := replica.Key(m.Level, m.Min, m.Max)
			if failed[key] != nil {
				continue
			}
			err := r.merge(ctx, m)
			if errors.Is(err, replica.ErrDamaged) {
				r.Log.Error("an object is damaged and was not merged", "replica", r.URL, "merge", key, "err", err)
				failed[key] = err
				continue
			}
			if err != nil {
				return err
			}
			progress = true
		}
	}
	for _, err := range failed {
		return err
	}
	return nil
}

// merge makes one file. That it is there already is as good: what it holds follows from
// its name.
func (r *run) merge(ctx context.Context, m plan.Merge) error {
	from := make([]replica.Object, len(m.From))
	var size int64
	for i, f := range m.From {
		from[i] = r.objects[f]
		size += f.Size
	}
	r.report.Read += size
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
	r.report.Merged = append(r.report.Merged, made.File)
	r.report.Written += made.Size
	r.add(made)
	if r.Progress != nil {
		r.Progress(r.report)
	}
	return nil
}

// pinned are the files that restores under way may read.
func (r *run) pinned() []plan.File { return plan.Pinned(r.files, r.Pins) }
