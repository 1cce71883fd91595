package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/superfly/ltx"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/workflows"
)

// verifier answers what a verification asks for.
type verifier struct {
	known    activities.Known
	finds    []activities.VerifyResult // one after the other
	snapshot ltx.TXID                  // that the database puts; 0: it refuses
	mending  activities.Mending

	done   []string // what was asked for, in order
	inputs []activities.VerifyInput
	told   workflows.Verified
}

func sound() activities.VerifyResult {
	return activities.VerifyResult{
		Worker: "web-2", Elsewhere: true, Read: 100,
		Proven:  &activities.Proven{TXID: 20, At: time.Unix(1000, 0).UTC(), Worker: "web-2", Elsewhere: true},
		Survey:  activities.Survey{Objects: 9, Read: 9, Through: 20, Newest: 20},
		Mending: activities.Mending{Latest: 20, Newest: 20},
	}
}

// broken has a damaged object; latest says whether a restore of the latest state needs it.
func broken(latest bool) activities.VerifyResult {
	res := sound()
	res.Survey.Damaged = []activities.DamagedObject{{Key: "ltx/0/7", Why: "cut short", Certain: true}}
	res.Survey.Damages = 1
	if latest {
		res.Proven, res.Fault = nil, &activities.Fault{Kind: activities.FaultReplica, Message: "the replica does not restore: ltx/0/7"}
		res.Mending.Snapshot, res.Mending.Newest = true, 6
	}
	return res
}

func (v *verifier) lookUp(context.Context, string) (activities.Known, error) { return v.known, nil }

func (v *verifier) verify(_ context.Context, in activities.VerifyInput) (activities.VerifyResult, error) {
	v.inputs = append(v.inputs, in)
	v.done = append(v.done, fmt.Sprintf("verify %d", in.TXID))
	res := v.finds[0]
	v.finds = v.finds[1:]
	return res, nil
}

func (v *verifier) repair(_ context.Context, in activities.RepairInput) (activities.Mending, error) {
	v.done = append(v.done, fmt.Sprintf("repair %d alone=%v", len(in.Damaged), in.Alone))
	return v.mending, nil
}

func (v *verifier) put(_ context.Context, in activities.SnapshotInput) (activities.Progress, error) {
	v.done = append(v.done, fmt.Sprintf("snapshot after %d", in.After))
	if v.snapshot == 0 {
		return activities.Progress{}, temporal.NewNonRetryableApplicationError("host web-1 does not answer", activities.Internal, nil)
	}
	return activities.Progress{TXID: v.snapshot}, nil
}

// run verifies shop and returns the answer, also from the error's details.
func (v *verifier) run(t *testing.T, in workflows.VerifyRequest) (answer workflows.VerifyAnswer, err error) {
	t.Helper()
	in.Name = "shop"
	v.known.Host, v.known.Replica = "web-1", "file:///replica"
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(newLog(t))
	env := suite.NewTestWorkflowEnvironment()
	workflows.RegisterWorkflows(env)
	for name, do := range map[string]any{
		activities.NameLookUp: v.lookUp, activities.NameVerify: v.verify, activities.NameRepair: v.repair, activities.NameSnapshot: v.put,
	} {
		env.RegisterActivityWithOptions(do, activity.RegisterOptions{Name: name})
	}
	env.OnSignalExternalWorkflow(anything, workflows.WorkflowID("shop"), anything, workflows.SignalVerified, anything).Return(
		func(_, _, _, _ string, arg any) error { v.told = arg.(workflows.Verified); return nil })
	env.ExecuteWorkflow(workflows.TypeVerifyReplica, in)
	err = env.GetWorkflowError()
	var app *temporal.ApplicationError
	switch {
	case err == nil:
		err = env.GetWorkflowResult(&answer)
	case errors.As(err, &app) && app.Type() == workflows.ErrNotProven:
		if e := app.Details(&answer); e != nil {
			t.Fatal(e)
		}
	}
	return answer, err
}

func TestWhatAVerificationDoes(t *testing.T) {
	gap := sound()
	gap.Survey.Gaps, gap.Survey.GapCount = []string{"TXID 5 is missing"}, 1
	missing := sound()
	missing.Survey.Missing = 25
	unsure := broken(true)
	unsure.Survey.Damaged[0].Certain, unsure.Mending.Snapshot = false, false
	check := sound()
	check.Proven, check.Fault = nil, &activities.Fault{Kind: activities.FaultCheck, Message: "the check did not pass: it gave \"0\""}
	for _, row := range []struct {
		name     string
		finds    []activities.VerifyResult
		repair   bool
		snapshot ltx.TXID
		mending  activities.Mending
		want     []string
		problem  string // in what the workflow fails with; empty: it does not
	}{
		{name: "nothing is wrong", finds: []activities.VerifyResult{sound()}, repair: true, want: []string{"verify 0"}},
		{name: "damage is told", finds: []activities.VerifyResult{broken(false)}, want: []string{"verify 0"}, problem: "damaged objects: 1, the first is ltx/0/7: cut short"},
		{name: "what others stand in for is set aside", finds: []activities.VerifyResult{broken(false), sound()}, repair: true,
			mending: activities.Mending{Aside: []string{"ltx/0/7"}}, want: []string{"verify 0", "repair 1 alone=false", "verify 0"}},
		{name: "the database puts a snapshot first", finds: []activities.VerifyResult{broken(true), sound()}, repair: true, snapshot: 21,
			want: []string{"verify 0", "snapshot after 20", "repair 1 alone=false", "verify 0"}},
		{name: "it does not help", finds: []activities.VerifyResult{broken(true), sound()}, repair: true, mending: activities.Mending{Newest: 6},
			want: []string{"verify 0", "snapshot after 20", "repair 1 alone=true", "verify 6"}, problem: "the database did not help: host web-1 does not answer"},
		{name: "it did not help enough", finds: []activities.VerifyResult{broken(true), broken(true)}, repair: true, snapshot: 21,
			want: []string{"verify 0", "snapshot after 20", "repair 1 alone=false", "verify 0"}, problem: "does not restore"},
		{name: "a gap is told", finds: []activities.VerifyResult{gap}, want: []string{"verify 0"}, problem: "gaps: 1, the first is that TXID 5 is missing"},
		{name: "a gap is told once by a repair", finds: []activities.VerifyResult{gap, gap}, repair: true, want: []string{"verify 0", "repair 0 alone=false", "verify 0"}},
		{name: "the newest is gone", finds: []activities.VerifyResult{missing, sound()}, repair: true, snapshot: 26,
			want: []string{"verify 0", "snapshot after 20", "repair 0 alone=false", "verify 0"}},
		{name: "one of two is damaged", finds: []activities.VerifyResult{unsure, sound()}, repair: true, snapshot: 21,
			want: []string{"verify 0", "snapshot after 20", "repair 1 alone=false", "verify 0"}},
		{name: "the user's check fails", finds: []activities.VerifyResult{check}, repair: true, want: []string{"verify 0"}, problem: "the check did not pass"},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := &verifier{finds: row.finds, snapshot: row.snapshot, mending: row.mending}
			answer, err := v.run(t, workflows.VerifyRequest{Repair: row.repair})
			if (err != nil) != (row.problem != "") || answer.OK != (err == nil) || err != nil && !strings.Contains(err.Error(), row.problem) {
				t.Errorf("got %v, %+v; want %q", err, answer, row.problem)
			}
			if !slices.Equal(v.done, row.want) {
				t.Errorf("did %q, want %q", v.done, row.want)
			}
			if v.told.At.IsZero() || (v.told.Problem == "") != answer.OK {
				t.Errorf("the database was told %+v", v.told)
			}
		})
	}
}

func TestTheLastProofIsRemembered(t *testing.T) {
	v := &verifier{finds: []activities.VerifyResult{sound()}}
	if _, err := v.run(t, workflows.VerifyRequest{UseAttribute: true}); err != nil || v.told.Proven == nil || v.told.Proven.TXID != 20 || !v.told.UseAttribute {
		t.Fatalf("told %+v, %v", v.told, err)
	}
	before := v.told.Verification
	v = &verifier{finds: []activities.VerifyResult{broken(true)}, known: activities.Known{Verified: before}}
	if _, err := v.run(t, workflows.VerifyRequest{}); err == nil || v.told.Proven == nil || v.told.Proven.TXID != 20 || v.told.Damaged != 1 {
		t.Errorf("after a failed one it was told %+v, %v", v.told, err)
	}
}

// A gap that a repair has told of does not fail the verifications after it; another does.
func TestAGapIsAcknowledged(t *testing.T) {
	gap := sound()
	gap.Survey.Gaps, gap.Survey.GapCount = []string{"TXID 5 is missing"}, 1
	known := activities.Known{Verified: activities.Verification{Told: []string{"TXID 5 is missing"}}}
	v := &verifier{finds: []activities.VerifyResult{gap}, known: known}
	if _, err := v.run(t, workflows.VerifyRequest{}); err != nil || !slices.Equal(v.told.Told, known.Verified.Told) {
		t.Errorf("got %v, told %+v", err, v.told)
	}
	gap.Survey.Gaps = append(gap.Survey.Gaps, "TXID 9 is missing")
	v = &verifier{finds: []activities.VerifyResult{gap}, known: known}
	if _, err := v.run(t, workflows.VerifyRequest{}); err == nil || !strings.Contains(err.Error(), "gaps: 1, the first is that TXID 9") {
		t.Errorf("got %v", err)
	}
}

func TestACheapOneReadsWhatCameAfterTheLastProof(t *testing.T) {
	v := &verifier{finds: []activities.VerifyResult{sound(), sound()}, known: activities.Known{TXID: 30, Verified: activities.Verification{Proven: &activities.Proven{TXID: 12}}}}
	if _, err := v.run(t, workflows.VerifyRequest{Cheap: true}); err != nil {
		t.Fatal(err)
	}
	v.finds = []activities.VerifyResult{broken(false), sound()}
	if _, err := v.run(t, workflows.VerifyRequest{Cheap: true, Repair: true}); err != nil || len(v.inputs) != 3 || !v.inputs[1].Cheap || v.inputs[2].Cheap || v.told.Cheap {
		t.Errorf("after a repair it was not proven in full: %+v, %v", v.inputs, err)
	}
	if in := v.inputs[0]; !in.Cheap || in.Since != 12 || in.Reached != 30 || in.Host != "web-1" || in.Replica != "file:///replica" {
		t.Errorf("got %+v", in)
	}
}

// The budget of a day is kept over several verifications, each of which goes on where
// the one before had to stop.
func TestABudgetOfADayIsKept(t *testing.T) {
	part := sound()
	part.Survey.Through, part.Survey.Unread, part.Read = 8, 4, 100
	v := &verifier{finds: []activities.VerifyResult{part}}
	request := workflows.VerifyRequest{Budget: 150}
	if _, err := v.run(t, request); err != nil || v.inputs[0].Budget != 150 || v.inputs[0].Since != 0 {
		t.Fatalf("got %+v, %v", v.inputs, err)
	}
	if m := v.told; m.Spent != 100 || m.Day == "" || m.Through != 8 || !strings.Contains(m.Left, "4 objects") {
		t.Errorf("told %+v", m)
	}
	v = &verifier{finds: []activities.VerifyResult{sound()}, known: activities.Known{Verified: v.told.Verification}}
	if _, err := v.run(t, request); err != nil || v.inputs[0].Budget != 50 || v.inputs[0].Since != 8 {
		t.Fatalf("the second: %+v, %v", v.inputs, err)
	}
	if m := v.told; m.Spent != 200 || m.Through != 0 {
		t.Errorf("told %+v, want that the next begins anew", m)
	}
	v = &verifier{known: activities.Known{Verified: v.told.Verification}}
	if answer, err := v.run(t, request); err != nil || !answer.OK || len(v.inputs) > 0 || !strings.Contains(v.told.Left, "150 bytes of the day") {
		t.Errorf("the third: %+v, %v, told %+v", answer, err, v.told)
	}
	v.known.Verified.Day, v.finds = "2000-01-01", []activities.VerifyResult{sound()}
	if _, err := v.run(t, request); err != nil || len(v.inputs) != 1 || v.inputs[0].Budget != 150 {
		t.Errorf("on another day: %+v, %v", v.inputs, err)
	}
}

// What a verification has found is shown in the database's status until the next one.
func TestADatabaseHearsOfItsVerification(t *testing.T) {
	f := &fakeHost{script: []error{ok}}
	env := newEnv(t, f)
	var shown workflows.Status
	at(env, time.Minute, func() {
		env.SignalWorkflow(workflows.SignalVerified, workflows.Verified{Verification: activities.Verification{
			At: time.Unix(2000, 0), Proven: &activities.Proven{TXID: 7, Worker: "web-2"}, Problem: "2 damaged objects",
		}})
		env.SignalWorkflow(workflows.SignalVerified, "what a person typed")
	})
	at(env, 2*time.Minute, func() { shown = mustStatus(t, env) })
	endAfter(env, 3*time.Minute)
	start(env, workflows.Input{Spec: spec()})
	if m := shown.Verified; m.Proven == nil || m.Proven.TXID != 7 || !strings.Contains(shown.Markdown(), "proven restorable at TXID 0000000000000007") ||
		!strings.Contains(shown.Markdown(), "problem: 2 damaged objects") {
		t.Errorf("got %+v in\n%s", m, shown.Markdown())
	}
}

// The attribute is written only where whoever verified has seen that there is one: an
// upsert of an unknown one fails the workflow again and again.
func TestTheProofIsLabelledWhereThereIsALabel(t *testing.T) {
	for _, use := range []bool{false, true} {
		f := &fakeHost{script: []error{ok}}
		env := newEnv(t, f)
		labels := 0
		env.OnUpsertTypedSearchAttributes(anything).Run(func(args mock.Arguments) {
			if a, is := args[0].(temporal.SearchAttributes); is && a.ContainsKey(workflows.AttributeProven) {
				labels++
			}
		}).Return(nil)
		at(env, time.Minute, func() {
			env.SignalWorkflow(workflows.SignalVerified, workflows.Verified{
				Verification: activities.Verification{At: time.Unix(2000, 0), Proven: &activities.Proven{At: time.Unix(2000, 0)}}, UseAttribute: use,
			})
		})
		endAfter(env, 2*time.Minute)
		start(env, workflows.Input{Spec: spec()})
		if want := map[bool]int{true: 1}[use]; labels != want {
			t.Errorf("with a label %v: written %d times", use, labels)
		}
	}
}

func TestASnapshotIsPutUponRequest(t *testing.T) {
	f := &fakeHost{script: []error{ok}}
	env := newEnv(t, f)
	var put, paused *answer
	at(env, time.Minute, func() { put = send(env, workflows.UpdateSnapshot, "u1", workflows.SnapshotRequest{After: 40}) })
	at(env, 2*time.Minute, func() { env.SignalWorkflow(workflows.SignalPause, nil) })
	at(env, 3*time.Minute, func() { paused = send(env, workflows.UpdateSnapshot, "u2", workflows.SnapshotRequest{After: 50}) })
	endAfter(env, 4*time.Minute)
	start(env, workflows.Input{Spec: spec()})
	synced, isSynced := put.value.(workflows.Synced)
	if put.err != nil || !isSynced || synced.TXID != 41 || f.called("Snapshot after 40 after 0") != 1 {
		t.Errorf("got %+v, %q", put, f.events)
	}
	paused.mustType(t, workflows.ErrPaused)
}

func TestSchedulesAreSpreadOverThePeriod(t *testing.T) {
	seen := map[time.Duration]bool{}
	for i := range 100 {
		options := workflows.VerifySchedule(workflows.VerifyRequest{Name: fmt.Sprintf("shop-%d", i)}, 24*time.Hour)
		spec := options.Spec.Intervals[0]
		if spec.Offset < 0 || spec.Offset >= spec.Every || options.Spec.Jitter != 72*time.Minute {
			t.Fatalf("got %+v, jitter %v", spec, options.Spec.Jitter)
		}
		seen[spec.Offset/time.Hour] = true
	}
	if len(seen) < 20 {
		t.Errorf("100 databases begin in %d different hours of the day", len(seen))
	}
}
