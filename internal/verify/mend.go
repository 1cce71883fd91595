package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// Mended is what was done about damage, and what is left of it.
type Mended struct {
	Aside  []string  // objects that were set aside, as they were called
	Later  []string  // damaged objects that stay for now, as their names are still needed
	When   time.Time // from when on none of them is needed; zero where that cannot be told
	Merged string    // snapshot that was made of what is sound; empty for none

	Latest   ltx.TXID     // state that a restore of the latest means
	Newest   ltx.TXID     // state that sound objects lead to; 0 for none
	Snapshot bool         // a restore of the latest state fails all the same: the database itself has to help
	Lost     []plan.Range // states that were kept and cannot be restored any more
}

// MendOptions say what is damaged.
type MendOptions struct {
	Replica *replica.Replica
	URL     string   // of the replica, as it is shown
	Damaged []Damage // those that are not certain are left alone
	Alone   bool     // the database cannot help: protect the newest state that there is
	Scratch string   // directory for the index of a large snapshot; empty for the system's

	Now func() time.Time // nil is time.Now
}

// Assess tells what can be done about damage, and changes nothing.
func Assess(ctx context.Context, o MendOptions) (Mended, error) {
	m, err := o.assess(ctx)
	if err != nil {
		return Mended{}, fmt.Errorf("verify %s: %w", o.URL, err)
	}
	return m.told(), nil
}

// Mend sets damaged objects aside that restores can do without, so that these go other
// ways. It can be cut off anywhere and made again. What it cannot help, a snapshot of the
// database does, which its host has to put before: that needs none of the older objects.
func Mend(ctx context.Context, o MendOptions) (Mended, error) {
	m, err := o.mend(ctx)
	if err != nil {
		return m, fmt.Errorf("repair %s: %w", o.URL, err)
	}
	return m, nil
}

func (o MendOptions) mend(ctx context.Context) (Mended, error) {
	m, err := o.assess(ctx)
	if err != nil {
		return Mended{}, err
	}
	told := m.told()
	for _, f := range m.Aside {
		object := m.objects[f]
		_, err := o.Replica.SetAside(ctx, object, m.sums[f])
		switch {
		case errors.Is(err, blob.ErrDenied): // these credentials may not remove anything
			told.Later = append(told.Later, object.Key())
		case err != nil && !errors.Is(err, blob.ErrNotFound):
			return told, err
		default:
			told.Aside = append(told.Aside, object.Key())
		}
	}
	if o.Alone {
		told.Merged, err = o.protect(ctx, m)
	}
	return told, err
}

// assessment is a plan.Mending with what it is about.
type assessment struct {
	plan.Mending
	objects map[plan.File]replica.Object
	files   []plan.File
	damaged []plan.File // of them, for certain
	sums    map[plan.File]uint64
}

func (o MendOptions) assess(ctx context.Context) (a assessment, err error) {
	all, err := o.Replica.All(ctx)
	if err != nil {
		return a, err
	}
	a.files, a.objects, a.sums = replica.Files(all), make(map[plan.File]replica.Object, len(all)), map[plan.File]uint64{}
	for _, each := range all {
		a.objects[each.File] = each
		i := slices.IndexFunc(o.Damaged, func(d Damage) bool { return d.Certain && d.Key == each.Key() })
		if i >= 0 {
			a.damaged = append(a.damaged, each.File)
			a.sums[each.File] = o.Damaged[i].Sum
		}
	}
	now := time.Now
	if o.Now != nil {
		now = o.Now
	}
	a.Mending = plan.Mend(a.files, a.damaged, now())
	return a, nil
}

// told is m as others see it, before anything was done.
func (m assessment) told() Mended {
	t := Mended{Latest: m.Latest, Newest: m.Newest, Snapshot: m.Snapshot, Lost: m.Lost}
	for _, f := range m.Later {
		t.Later = append(t.Later, replica.Key(f.Level, f.Min, f.Max))
		if free := f.Created.Add(plan.NameHeld); free.After(t.When) && f.Max < m.Latest {
			t.When = free
		}
	}
	return t
}

// protect makes a snapshot of the newest state that sound objects lead to, unless it has
// one: it is all that is left of the database, and hangs on each object of its chain.
func (o MendOptions) protect(ctx context.Context, m assessment) (made string, err error) {
	sound := slices.DeleteFunc(slices.Clone(m.files), func(f plan.File) bool { return slices.Contains(m.damaged, f) })
	chain, err := plan.Restore(sound, plan.Target{TXID: m.Newest})
	if err != nil || len(chain) < 2 {
		return "", nil //nolint:nilerr // there is nothing to protect
	}
	from := make([]replica.Object, len(chain))
	for i, f := range chain {
		from[i] = m.objects[f]
	}
	snapshot, err := o.Replica.Merge(ctx, plan.SnapshotLevel, from, o.Scratch)
	if errors.Is(err, blob.ErrExists) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return snapshot.Key(), nil
}
