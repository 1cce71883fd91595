package workflows

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast-db/holdfast/activities"
)

// VerifyReplica proves that the replica of a registered database restores, on another
// worker than the database's host where there is one. When it does not, and it may repair
// it, it asks the database for a snapshot, sets damaged objects aside, and verifies again.
// The database's workflow is told of the end. A fault that is left fails it.
func VerifyReplica(ctx workflow.Context, in VerifyRequest) (VerifyAnswer, error) {
	v := &verification{in: in, answer: VerifyAnswer{Name: in.Name}}
	err := v.run(ctx)
	if err != nil {
		return v.answer, err
	}
	if !v.answer.OK {
		return v.answer, temporal.NewNonRetryableApplicationError(v.answer.Remember.Problem, ErrNotProven, nil, v.answer)
	}
	return v.answer, nil
}

// verification is one run of VerifyReplica.
type verification struct {
	in     VerifyRequest
	known  activities.Known
	left   int64 // bytes that may still be read today; unused without a budget
	answer VerifyAnswer
}

// run is the story of a verification.
func (v *verification) run(ctx workflow.Context) error {
	if err := workflow.ExecuteActivity(lookUpOptions(ctx), activities.NameLookUp, v.in.Name).Get(ctx, &v.known); err != nil {
		return err
	}
	v.answer.Replica = v.known.Replica
	if v.left = v.budget(ctx); v.in.Budget > 0 && v.left <= 0 {
		v.answer.OK = true
		v.answer.Remember = v.known.Verified
		v.answer.Remember.Left = fmt.Sprintf("all, as the %d bytes of the day have been read", v.in.Budget)
		v.tell(ctx)
		return nil
	}
	if err := v.verify(ctx, v.input(), &v.answer.Found); err != nil {
		return err
	}
	v.answer.Fresh = v.fresh()
	if v.answer.Broken() && v.in.Repair {
		if err := v.repair(ctx); err != nil {
			return err
		}
	}
	v.conclude(ctx)
	v.tell(ctx)
	return nil
}

// budget is what may still be read on this day.
func (v *verification) budget(ctx workflow.Context) int64 {
	left := v.in.Budget
	if v.known.Verified.Day == today(ctx) {
		left -= v.known.Verified.Spent
	}
	return left
}

func today(ctx workflow.Context) string { return workflow.Now(ctx).UTC().Format(time.DateOnly) }

func (v *verification) input() activities.VerifyInput {
	in := activities.VerifyInput{
		Name: v.in.Name, Host: v.known.Host, Replica: v.known.Replica, Cheap: v.in.Cheap,
		Check: v.in.Check, CheckWithin: v.in.CheckWithin, Reached: v.known.TXID,
		Window: v.known.Window, Level0: v.known.Level0,
	}
	if v.in.Budget > 0 { // what was left out the last time has its turn
		in.Budget, in.Since = v.left, v.known.Verified.Through
	}
	if p := v.known.Verified.Proven; v.in.Cheap && p != nil {
		in.Since = max(in.Since, p.TXID)
	}
	return in
}

func (v *verification) verify(ctx workflow.Context, in activities.VerifyInput, res *activities.VerifyResult) error {
	what := "restore the latest state, and read the objects"
	switch {
	case in.Cheap:
		what = "read the objects"
	case in.TXID != 0:
		what = fmt.Sprintf("restore TXID %s, and read the objects", in.TXID)
	}
	err := workflow.ExecuteActivity(verifyOptions(ctx, what), activities.NameVerify, in).Get(ctx, res)
	v.left -= res.Read
	return err
}

// fresh returns the gaps that no repair has told of.
func (v *verification) fresh() []string {
	return slices.DeleteFunc(slices.Clone(v.answer.Found.Survey.Gaps), func(g string) bool {
		return slices.Contains(v.known.Verified.Told, g)
	})
}

// repair takes a snapshot of the database if it needs to, and only then sets aside what
// that makes needless: the newest object says where the host goes on. Without the
// database's help, what is left is proven instead.
func (v *verification) repair(ctx workflow.Context) error {
	r := &RepairAnswer{}
	v.answer.Repair = r
	alone := false
	if v.answer.NeedsSnapshot() {
		p, err := v.snapshot(ctx)
		if alone = err != nil; alone {
			r.Refused = message(err)
		}
		r.Snapshot = p.TXID
	}
	in := activities.RepairInput{Name: v.in.Name, Replica: v.known.Replica, Damaged: v.answer.Found.Survey.Damaged, Alone: alone}
	if err := workflow.ExecuteActivity(repairOptions(ctx), activities.NameRepair, in).Get(ctx, &r.Mending); err != nil {
		return err
	}
	again := v.input()
	again.Cheap, again.Reached = false, max(again.Reached, r.Snapshot)
	if again.Budget > 0 {
		again.Budget = max(1, v.left) // 0 would be no limit
	}
	if v.answer.Found.Survey.Missing != 0 {
		again.Reached = r.Snapshot // what is gone stays gone, and was told
	}
	if alone {
		again.TXID = r.Mending.Newest
	}
	v.answer.Again = &activities.VerifyResult{}
	return v.verify(ctx, again, v.answer.Again)
}

// snapshot asks the database for one of a later state than all that was found.
func (v *verification) snapshot(ctx workflow.Context) (p activities.Progress, err error) {
	in := activities.SnapshotInput{Name: v.in.Name, After: max(v.answer.Found.Mending.Latest, v.answer.Found.Survey.Newest)}
	err = workflow.ExecuteActivity(snapshotOptions(ctx), activities.NameSnapshot, in).Get(ctx, &p)
	return p, err
}

// conclude says how it ended, and what of it is to be remembered.
func (v *verification) conclude(ctx workflow.Context) {
	last := v.answer.Last()
	problems := v.answer.Problems()
	v.answer.OK = len(problems) == 0
	m := activities.Verification{
		Proven: v.known.Verified.Proven, At: workflow.Now(ctx).UTC(), Cheap: v.in.Cheap && v.answer.Again == nil,
		Problem: strings.Join(problems, "; "), Repair: v.answer.Repair.String(), Told: v.known.Verified.Told,
		Lost:    last.Mending.Lost[:min(len(last.Mending.Lost), mostTold)],
		Damaged: last.Survey.Damages, Gaps: last.Survey.GapCount, Left: LeftOut(last),
	}
	if last.Proven != nil {
		m.Proven = last.Proven
	}
	if v.answer.Repair != nil {
		m.Told = last.Survey.Gaps[:min(len(last.Survey.Gaps), mostTold)]
	}
	if last.Survey.Through < last.Mending.Latest {
		m.Through = last.Survey.Through
	}
	if v.in.Budget > 0 {
		m.Day, m.Spent = today(ctx), v.in.Budget-v.left
	}
	v.answer.Remember = m
}

// mostTold is how many gaps, and runs of lost states, are remembered: they are in each run
// of the database's workflow. Gaps beyond are told of again.
const mostTold = 50

// tell lets the database's workflow know. One that has ended meanwhile need not.
func (v *verification) tell(ctx workflow.Context) {
	m := Verified{Verification: v.answer.Remember, UseAttribute: v.in.UseAttribute}
	err := workflow.SignalExternalWorkflow(ctx, WorkflowID(v.in.Name), "", SignalVerified, m).Get(ctx, nil)
	if err != nil {
		workflow.GetLogger(ctx).Warn("the database's workflow was not told", "db", v.in.Name, "error", err)
	}
	workflow.SetCurrentDetails(ctx, v.answer.Markdown())
}
