package ship

import (
	"context"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/source"
)

// Snapshot is a pass that puts all pages of the database as a snapshot: whatever is
// damaged of the objects before it, states from there on restore. It goes on after a
// newest object that cannot be read, and after one that was lost. Where there is a
// snapshot of a later state than after already, of an attempt that got through, it is a
// pass like any other.
func (s *Shipper) Snapshot(ctx context.Context, after ltx.TXID) (Outcome, error) {
	done, err := s.hasSnapshot(ctx, after)
	if err != nil {
		return Outcome{TXID: s.head.Max}, err
	}
	if done {
		return s.Pass(ctx)
	}
	before := s.demand
	s.anew, s.demand, s.settled = true, source.RuleRepair, false
	defer func() { s.anew = false }()
	out, err := s.Pass(ctx)
	if err != nil && s.demand == source.RuleRepair {
		s.demand = before
	}
	return out, err
}

func (s *Shipper) hasSnapshot(ctx context.Context, after ltx.TXID) (bool, error) {
	snapshots, err := s.opts.Replica.Objects(ctx, plan.SnapshotLevel)
	if err != nil || len(snapshots) == 0 {
		return false, err
	}
	return snapshots[len(snapshots)-1].Max > after, nil
}

// lost tells whether head is what is left where the newest object, which was ours, was
// lost, and not another's.
func (s *Shipper) lost(head replica.Object) bool {
	merged := head.Level > 0 && head.Level < plan.SnapshotLevel
	return s.anew && (head.Max < s.head.Max || merged)
}
