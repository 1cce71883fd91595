package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// SurveyOptions say what to look at.
type SurveyOptions struct {
	Replica *replica.Replica
	URL     string   // of the replica, as it is shown
	Since   ltx.TXID // objects that end here or before are not read; 0 reads all
	Reached ltx.TXID // a TXID that is known to have been put; 0 for none
	Budget  int64    // bytes that may be read; 0 for no limit
	Scratch string   // directory for the page digests; empty for the system's

	Policy plan.Policy      // by which the replica is maintained; zero for DefaultPolicy
	Now    func() time.Time // nil is time.Now

	Progress func(read, total int64) // bytes, when it is set, after each object
}

// DefaultPolicy is how a replica is maintained of which nobody says how.
var DefaultPolicy = plan.Policy{Window: 7 * 24 * time.Hour, Level0: time.Hour}

// Look lists a replica and reads its objects, in the order of the states that they lead
// to. Damage is no error of Look.
func Look(ctx context.Context, o SurveyOptions) (Survey, error) {
	s, err := look(ctx, o)
	if err != nil {
		return s, fmt.Errorf("verify %s: %w", o.URL, err)
	}
	return s, nil
}

func look(ctx context.Context, o SurveyOptions) (Survey, error) {
	objects, err := o.Replica.All(ctx)
	if err != nil {
		return Survey{}, err
	}
	s := listed(objects, o)
	scratch, err := openScratch(o.Scratch)
	if err != nil {
		return s, err
	}
	defer scratch.remove()
	w, err := newWalk(o.Replica, filepath.Join(scratch.path, "digests"))
	if err != nil {
		return s, err
	}
	defer w.close()
	err = s.read(ctx, w, inOrder(objects, o.Since), o)
	s.Damaged, s.Digested = w.damaged, w.digested
	s.summarize(objects)
	return s, err
}

// listed is what a listing alone tells.
func listed(objects []replica.Object, o SurveyOptions) Survey {
	s := Survey{Objects: len(objects), Since: o.Since, Through: o.Since}
	var newest ltx.TXID
	foreign := false
	for _, each := range objects {
		s.Bytes += each.Size
		newest = max(newest, each.Max)
		foreign = foreign || each.Format == 0
		if each.Max <= o.Since {
			s.Unread++
			s.UnreadSize += each.Size
		}
	}
	if newest < o.Reached {
		s.Missing = o.Reached
	}
	policy, now := o.Policy, time.Now
	if policy == (plan.Policy{}) {
		policy = DefaultPolicy
	}
	if o.Now != nil {
		now = o.Now
	}
	s.Gaps = plan.Gaps(replica.Files(objects), policy, now())
	if foreign { // Litestream removes parts of a merge one by one
		s.Gaps = slices.DeleteFunc(s.Gaps, func(g plan.Gap) bool { return g.Level >= 0 })
	}
	return s
}

// inOrder returns the objects that end after since in the order in which they are read:
// by the states that they end at, what goes the shortest way there first.
func inOrder(objects []replica.Object, since ltx.TXID) []replica.Object {
	objects = slices.DeleteFunc(slices.Clone(objects), func(o replica.Object) bool { return o.Max <= since })
	slices.SortFunc(objects, func(a, b replica.Object) int {
		return cmp.Or(cmp.Compare(a.Max, b.Max), cmp.Compare(b.Min, a.Min), cmp.Compare(a.Level, b.Level))
	})
	return objects
}

// read reads objects for as long as the budget allows.
func (s *Survey) read(ctx context.Context, w *walk, objects []replica.Object, o SurveyOptions) error {
	for i, each := range objects {
		if o.Budget > 0 && s.ReadBytes+each.Size > o.Budget {
			for _, rest := range objects[i:] {
				s.Unread++
				s.UnreadSize += rest.Size
			}
			s.Through = min(s.Through, each.Max-1)
			return nil
		}
		err := w.step(ctx, each)
		if errors.Is(err, blob.ErrNotFound) {
			continue // removed meanwhile
		}
		if err != nil {
			return err
		}
		s.Read++
		s.ReadBytes += each.Size
		s.Through = each.Max
		if o.Progress != nil {
			o.Progress(s.ReadBytes, s.Bytes-s.UnreadSize)
		}
	}
	return nil
}

// summarize tells what sound objects lead to.
func (s *Survey) summarize(objects []replica.Object) {
	damaged := s.Files()
	sound := slices.DeleteFunc(replica.Files(objects), func(f plan.File) bool { return slices.Contains(damaged, f) })
	points, _ := plan.Points(sound)
	if s.Points = len(points); s.Points > 0 {
		s.Oldest, s.Newest = points[0], points[len(points)-1]
	}
}
