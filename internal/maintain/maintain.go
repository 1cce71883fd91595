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
	"slices"
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

	Left      []plan.File // that have expired, and are still there though they should not be
	LeftBytes int64
	LeftWhy   string // what kept the first of them

	Merged  []plan.File // made of others; in a dry run with the size of all that
	Read    int64       // bytes of what they were made of
	Written int64

	Oldest time.Time // of the first state that can be restored; zero for none
}

// Run removes what has expired, and then makes the merges and the snapshot that are due:
// what takes another's place is seen in a listing, by a later run, before that goes. An
// object that is damaged, or cannot be had for now, keeps only those that have to do with
// it. What was done when it fails stays done.
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
	expired := r.expire(ctx)
	if points, _ := plan.Points(r.files); len(points) > 0 {
		r.report.Oldest = points[0].Created
	}
	if ctx.Err() != nil || isAny(expired, blob.ErrDenied, blob.ErrNoContainer, blob.ErrThrottled) {
		return expired
	}
	return join(expired, r.compact(ctx))
}

func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

type run struct {
	Options
	files   []plan.File
	objects map[plan.File]replica.Object
	report  Report
}

func (r *run) list(ctx context.Context) error {
	r.files, r.objects = nil, make(map[plan.File]replica.Object)
	all, err := r.Replica.All(ctx)
	for _, o := range all {
		r.add(o)
	}
	return err
}

func (r *run) add(o replica.Object) {
	r.files = append(r.files, o.File)
	r.objects[o.File] = o
}
