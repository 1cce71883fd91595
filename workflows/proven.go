package workflows

import (
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast-db/holdfast/activities"
)

// onVerified takes up what a verification has found.
func (r *replication) onVerified(ctx workflow.Context, payload converter.RawValue) {
	m := decode[Verified](payload)
	if m.At.IsZero() && m.Left == "" {
		r.log.Warn("verification without content ignored", "db", r.st.Spec.Name)
		return
	}
	r.log.Info("signal handled", "signal", SignalVerified, "problem", m.Problem)
	r.st.Verified = m.Verification
	if m.Proven == nil || !m.UseAttribute {
		return
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, AttributeProven.ValueSet(m.Proven.At)); err != nil {
		r.log.Error("search attribute not written", "attribute", AttributeProven.GetName(), "error", err)
	}
}

func (r *replication) maySnapshot(SnapshotRequest) error { return r.maySync(Message{}) }

// onSnapshot has the host put a snapshot beside the windows.
func (r *replication) onSnapshot(ctx workflow.Context, m SnapshotRequest) (Synced, error) {
	r.accept(ctx, m.ID)
	if err := r.running(); err != nil {
		return Synced{}, err
	}
	if err := r.admission(ctx); err != nil {
		return Synced{}, err
	}
	in := activities.SyncOnceInput{Database: r.database(), Head: r.st.Progress.TXID, Snapshot: true, After: m.After}
	p, err := r.passAs(ctx, in, "put a snapshot, to repair the replica")
	if err != nil {
		return Synced{}, err
	}
	r.refresh(ctx)
	return Synced{p}, nil
}
