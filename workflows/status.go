package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/holdfast-db/holdfast/activities"
)

// phase says what the replication is doing, from the state alone.
func (r *replication) phase() Phase {
	problem := r.problem()
	switch {
	case r.ending():
		return Stopping
	case r.paused() && r.window == 0:
		return Paused
	case r.st.HostOffline:
		return HostOffline
	case problem != nil:
		return phaseOf(problem.Type)
	case !r.st.Synced:
		return Starting
	case r.st.Parked:
		return Idle
	}
	return Replicating
}

// phaseOf is the phase in which an error of typ leaves a database.
func phaseOf(typ string) Phase {
	switch typ {
	case activities.DiskFull:
		return DiskFull
	case activities.StoreUnavailable, activities.StoreThrottled:
		return StoreUnavailable
	case activities.Fenced:
		return Fenced
	case activities.Misconfigured, activities.ReplicaDamaged:
		return Misconfigured
	case activities.DatabaseMissing:
		return DatabaseMissing
	}
	return BackingOff
}

// problem is what keeps the replication from going well: what the window under
// way has met, else what stands since the one before.
func (r *replication) problem() *Problem {
	switch {
	case r.reported != nil:
		return &r.reported.problem
	case r.st.Failures > 0 && r.st.Problem == nil:
		return &Problem{Type: activities.Internal}
	}
	return r.st.Problem
}

func (r *replication) failures() int {
	if r.reported != nil {
		return r.reported.count
	}
	return r.st.Failures
}

// status answers the query.
func (r *replication) status() Status {
	return Status{
		Name: r.st.Spec.Name, Host: r.st.Spec.Host, Path: r.st.Spec.Path, Replica: r.st.Spec.Replica,
		Writer: r.st.Writer, Settings: r.st.Spec.Settings,
		Phase: r.phase(), Since: r.st.Since, Paused: r.paused(), PauseReason: r.pauseReason(),
		Failures: r.failures(), Problem: r.problem(), NextAttempt: r.nextAttempt(),
		Progress: r.st.Progress, CleanUps: r.st.CleanUps,
		Windows: r.st.Windows, Runs: r.st.Runs, Handled: r.st.Handled,
		Verified: r.st.Verified, Maintenance: r.st.Maintenance, Maintaining: r.maintainingSince(), Pins: r.st.Pins,
	}
}

func (r *replication) maintainingSince() time.Time {
	if r.keeping == nil {
		return time.Time{}
	}
	return r.keeping.since
}

// nextAttempt is when the workflow's own timer ends, zero when none runs.
func (r *replication) nextAttempt() time.Time {
	if r.window != 0 || r.blocked() || r.ending() {
		return time.Time{}
	}
	return r.st.NotBefore
}

// refresh brings the UI up to date: the details always, as they cost no event,
// the search attributes when the phase is another one.
func (r *replication) refresh(ctx workflow.Context) {
	if p := r.phase(); p != r.st.Phase {
		r.st.Phase, r.st.Since = p, workflow.Now(ctx)
		r.log.Info("phase", "db", r.st.Spec.Name, "phase", string(p))
		if r.in.UseSearchAttributes {
			err := workflow.UpsertTypedSearchAttributes(ctx, AttributePhase.ValueSet(string(p)),
				AttributeHost.ValueSet(r.st.Spec.Host), AttributeDatabase.ValueSet(r.st.Spec.Name))
			if err != nil {
				r.log.Error("search attributes not written", "error", err)
			}
		}
	}
	workflow.SetCurrentDetails(ctx, r.status().Markdown())
}

// Markdown is the status for people, as the Temporal UI shows it. It says what
// and where, too: a run after the first has no static details.
func (s Status) Markdown() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("### %s since %s", s.Phase, stamp(s.Since))
	line("")
	line("%s *What to do:* %s", s.Phase.Meaning().What, s.Phase.Meaning().Do)
	line("")
	if s.Paused && s.PauseReason != "" {
		line("- paused: %s", oneLine(s.PauseReason))
	}
	line("- replica holds TXID **%s**, equal to the database at **%s**", s.TXID, stamp(s.SyncedAt))
	line("- not yet shipped: %d bytes of log, %d bytes spooled", s.BehindBytes, s.SpoolBytes)
	line("- shipped: %d transactions in %d objects, %d bytes; %d resyncs%s", s.Transactions, s.Puts, s.Bytes, s.Resyncs, because(s.ResyncReason))
	if s.Problem != nil {
		line("- **%d consecutive failures**, last %s: %s", s.Failures, s.Problem.Type, oneLine(s.Problem.Message))
	}
	if s.CleanUps.Count+s.CleanUps.Failed > 0 {
		line("- clean-ups: %d, %d files, %d bytes removed; %d failed", s.CleanUps.Count, s.CleanUps.Files, s.CleanUps.Bytes, s.CleanUps.Failed)
	}
	if f := s.CleanUps.Folded; f != nil {
		line("- given up for want of disk space: the states from **%s** until **%s** one by one; what they led to is kept", stamp(f.From), stamp(f.Until))
	}
	s.maintenance(line)
	for _, each := range s.Verified.Lines() {
		line("- %s", oneLine(each))
	}
	line("- windows: %d; the numbers are those of the last one's end, a running one's heartbeat knows more", s.Windows)
	line("- database: %s on host %s", s.Path, s.Host)
	line("- replica: %s; `holdfast restore %s -o FILE` puts it back", s.Replica, s.Replica)
	return b.String()
}

// maintenance says what is kept, and how the last run went.
func (s Status) maintenance(line func(format string, args ...any)) {
	m := s.Maintenance
	if m.Runs > 0 {
		line("- restorable from **%s** on; the window is %s, and each put of the last %s is a state", stamp(m.Oldest), s.Settings.Retention, s.Settings.Level0)
		line("- maintained at %s: %d objects made of others, %d removed; %d objects, %d bytes are there", stamp(m.Ended), m.Last.Merged, m.Last.Expired, m.Objects, m.Bytes)
	}
	if m.Problem != nil {
		line("- **maintenance**: %s at %s: %s", m.Problem.Type, stamp(m.Problem.At), oneLine(m.Problem.Message))
	}
	if !s.Maintaining.IsZero() {
		line("- maintenance is under way, or waits for a worker, since %s", stamp(s.Maintaining))
	}
	if len(s.Pins) > 0 {
		line("- %d restores under way keep what they read", len(s.Pins))
	}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "no time yet"
	}
	return t.UTC().Format(time.RFC3339)
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ", last because " + oneLine(reason)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
