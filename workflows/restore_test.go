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
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/workflows"
)

// nobody is what the server says of an activity that no worker took.
var nobody = temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)

// restoreRig is one restore, with a host and databases that do as they are told, and
// notes all that happens.
type restoreRig struct {
	t        *testing.T
	env      *testsuite.TestWorkflowEnvironment
	in       workflows.RestoreRequest
	events   []string
	occupant string  // that the host finds at the path
	gone     string  // name of a database that is not registered any more
	checks   []error // ends of checks
	restores []error // ends of restores
	looks    func()  // called by each check
	during   func()  // called by each restore
	pinned   workflows.Pin
	started  time.Time
}

const restoreID = "holdfast/restore/shop/1"

func newRestoreRig(t *testing.T) *restoreRig {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(newLog(t))
	r := &restoreRig{t: t, env: suite.NewTestWorkflowEnvironment(), looks: func() {}, during: func() {}}
	r.env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: restoreID, TaskQueue: workflows.TaskQueue})
	r.env.SetTestTimeout(20 * time.Second)
	r.started = r.env.Now()
	r.in = workflows.RestoreRequest{
		Name: "shop", Host: "web-1", Path: "/srv/shop.db", Replica: "file:///replica", Database: "shop", TXID: 7,
	}
	workflows.RegisterWorkflows(r.env)
	workflows.RegisterRestoreActivities(r.env, &activities.RestoreActivities{})
	r.env.OnActivity(activities.NameRestore, mock.Anything, mock.Anything).Return(r.activity)
	r.env.OnSignalExternalWorkflow(mock.Anything, mock.Anything, mock.Anything, mock.Anything, mock.Anything).Return(r.signal)
	return r
}

func (r *restoreRig) note(format string, args ...any) {
	r.events = append(r.events, fmt.Sprintf(format, args...))
}

func (r *restoreRig) activity(_ context.Context, in activities.RestoreInput) (activities.RestoreResult, error) {
	switch {
	case in.Check:
		r.note("check")
		r.looks()
		return activities.RestoreResult{Occupant: r.occupant}, pop(&r.checks)
	case in.Discard:
		r.note("discard")
		return activities.RestoreResult{}, nil
	}
	r.note("restore replacing %q", in.Replace)
	r.during()
	if err := pop(&r.restores); err != nil {
		return activities.RestoreResult{}, err
	}
	return activities.RestoreResult{TXID: in.TXID, Bytes: 4096, Objects: 2, Digested: true}, nil
}

func (r *restoreRig) signal(_, id, _, name string, arg any) error {
	r.note("%s %s", name, strings.TrimPrefix(id, workflows.WorkflowID("")))
	if id == workflows.WorkflowID(r.gone) {
		return &temporal.UnknownExternalWorkflowExecutionError{}
	}
	switch a := arg.(type) {
	case workflows.Pin:
		if a.ID != restoreID {
			r.t.Errorf("%s of %q", name, a.ID)
		}
		if name == workflows.SignalPin {
			r.pinned = a
		}
	case workflows.Message:
		if a.By != restoreID {
			r.t.Errorf("%s by %q", name, a.By)
		}
	}
	return nil
}

func (r *restoreRig) run() (res workflows.Restored, err error) {
	r.t.Helper()
	r.env.ExecuteWorkflow(workflows.TypeRestoreDatabase, r.in)
	if err := r.env.GetWorkflowError(); err != nil {
		return res, err
	}
	return res, r.env.GetWorkflowResult(&res)
}

func (r *restoreRig) mustRun() workflows.Restored {
	r.t.Helper()
	res, err := r.run()
	if err != nil {
		r.t.Fatal(err)
	}
	return res
}

// mustFail runs and returns the message.
func (r *restoreRig) mustFail(typ string) string {
	r.t.Helper()
	_, err := r.run()
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || app.Type() != typ {
		r.t.Fatalf("got %v, want an error of type %s", err, typ)
	}
	if s := r.status(); s.Phase != workflows.RestoreFailed || s.Problem == nil || s.Problem.Type != typ || s.Problem.Message != app.Message() {
		r.t.Errorf("the status says %s, %+v", s.Phase, s.Problem)
	}
	return app.Message()
}

func (r *restoreRig) status() (s workflows.RestoreStatus) {
	r.t.Helper()
	value, err := r.env.QueryWorkflow(workflows.QueryStatus)
	if err == nil {
		err = value.Get(&s)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *restoreRig) mustHave(events ...string) {
	r.t.Helper()
	if !slices.Equal(r.events, events) {
		r.t.Errorf("what happened:\n%s\nwant:\n%s", strings.Join(r.events, "\n"), strings.Join(events, "\n"))
	}
}

func TestARestoreIsPinnedWhileItReads(t *testing.T) {
	r := newRestoreRig(t)
	var during workflows.RestoreStatus
	r.during = func() { during = r.status() }
	res := r.mustRun()
	r.mustHave("pin shop", "check", `restore replacing ""`, "unpin shop")
	if r.pinned.ID != restoreID || r.pinned.TXID != 7 || r.pinned.Until.Sub(r.started) < 48*time.Hour {
		t.Errorf("got %+v", r.pinned)
	}
	if res.Path != "/srv/shop.db" || res.TXID != 7 || res.Bytes != 4096 || !res.Digested || res.Replaced != "" {
		t.Errorf("got %+v", res)
	}
	if during.Phase != workflows.RestoreRestoring || !during.Pinned {
		t.Errorf("during it: %+v", during)
	}
	if s := r.status(); s.Phase != workflows.RestoreDone || s.Pinned || s.Result == nil || s.Result.TXID != 7 {
		t.Errorf("after it: %+v", s)
	}
}

func TestARestoreOfAReplicaThatNobodyHas(t *testing.T) {
	r := newRestoreRig(t)
	r.in.Database = ""
	r.mustRun()
	r.mustHave("check", `restore replacing ""`)
}

func TestAWorkflowThatDoesNotExistIsNoError(t *testing.T) {
	r := newRestoreRig(t)
	r.gone = "shop"
	r.mustRun()
	r.mustHave("pin shop", "check", `restore replacing ""`)
}

func TestARegisteredDatabaseIsPausedWhileItsFileIsReplaced(t *testing.T) {
	r := newRestoreRig(t)
	r.in.Force, r.occupant = true, "orders"
	var during workflows.RestoreStatus
	r.during = func() { during = r.status() }
	res := r.mustRun()
	r.mustHave("pin shop", "check", "pause orders", `restore replacing "orders"`, "resume orders", "unpin shop")
	if during.Held != "orders" || res.Replaced != "orders" || r.status().Held != "" {
		t.Errorf("held %q, replaced %q", during.Held, res.Replaced)
	}
	if text := r.status().Markdown(); !strings.Contains(text, "orders goes on from it") {
		t.Errorf("got %s", text)
	}
}

func TestARegisteredDatabaseIsNotReplacedUnasked(t *testing.T) {
	for _, row := range []struct {
		name           string
		found, request string
	}{{"that the host knows", "orders", ""}, {"that only a listing knows", "", "orders"}} {
		t.Run(row.name, func(t *testing.T) {
			r := newRestoreRig(t)
			r.occupant, r.in.Occupant = row.found, row.request
			if m := r.mustFail(activities.Registered); !strings.Contains(m, "orders") || !strings.Contains(m, "--force") {
				t.Errorf("got %q", m)
			}
			r.mustHave("pin shop", "check", "unpin orders", "unpin shop")
		})
	}
}

func TestADatabaseThatIsNotRegisteredAnyMoreIsNotInTheWay(t *testing.T) {
	for force, first := range map[bool]string{false: "unpin orders", true: "pause orders"} {
		r := newRestoreRig(t)
		r.in.Force, r.occupant, r.gone = force, "orders", "orders"
		r.mustRun()
		r.mustHave("pin shop", "check", first, `restore replacing "orders"`, "unpin shop")
	}
}

func TestWhatCannotBeRestoredIsSaidBeforeAnythingIsPaused(t *testing.T) {
	r := newRestoreRig(t)
	r.in.Force, r.occupant = true, "orders"
	r.checks = []error{temporal.NewNonRetryableApplicationError("no such state", activities.NoSuchState, plan.ErrTarget)}
	if m := r.mustFail(activities.NoSuchState); m != "no such state" {
		t.Errorf("got %q", m)
	}
	r.mustHave("pin shop", "check", "unpin shop")
}

func TestARestoreThatFailsLeavesNothing(t *testing.T) {
	r := newRestoreRig(t)
	r.in.Force, r.occupant = true, "orders"
	r.restores = []error{
		temporal.NewApplicationErrorWithOptions("away", activities.StoreUnavailable, temporal.ApplicationErrorOptions{Cause: blob.ErrUnavailable}),
		temporal.NewNonRetryableApplicationError("no room; make some", activities.DiskFull, nil),
	}
	if m := r.mustFail(activities.DiskFull); m != "no room; make some" {
		t.Errorf("got %q", m)
	}
	r.mustHave("pin shop", "check", "pause orders", `restore replacing "orders"`, `restore replacing "orders"`, "discard", "resume orders", "unpin shop")
}

func TestARestoreThatIsCancelledLetsGoOfAll(t *testing.T) {
	r := newRestoreRig(t)
	r.in.Force, r.occupant = true, "orders"
	r.restores = slices.Repeat([]error{temporal.NewApplicationError("away", activities.StoreUnavailable)}, 1000)
	r.env.RegisterDelayedCallback(r.env.CancelWorkflow, 40*time.Second)
	_, err := r.run()
	if !temporal.IsCanceledError(err) {
		t.Errorf("got %v, want a cancellation", err)
	}
	if tail := r.events[len(r.events)-3:]; !slices.Equal(tail, []string{"discard", "resume orders", "unpin shop"}) {
		t.Errorf("in the end %q", tail)
	}
	if s := r.status(); s.Phase != workflows.RestoreCancelled {
		t.Errorf("phase %s", s.Phase)
	}
}

func TestAHostThatDoesNotAnswerIsWaitedFor(t *testing.T) {
	r := newRestoreRig(t)
	r.checks = []error{nobody}
	r.mustRun()
	r.mustHave("pin shop", "check", "check", `restore replacing ""`, "unpin shop")
}

func TestAHostThatStaysAwayEndsTheRestore(t *testing.T) {
	r := newRestoreRig(t)
	r.checks = []error{nobody, nobody}
	var waiting workflows.RestoreStatus
	r.looks = func() { waiting = r.status() }
	if m := r.mustFail(workflows.ErrHostOffline); !strings.Contains(m, "host web-1 does not answer") || !strings.Contains(m, "start holdfast-worker there") {
		t.Errorf("got %q", m)
	}
	r.mustHave("pin shop", "check", "check", "unpin shop")
	if waiting.Phase != workflows.RestoreHostOffline || waiting.Until.IsZero() || !strings.Contains(waiting.Markdown(), "does not answer") {
		t.Errorf("while it waited: %+v", waiting)
	}
}

// TestAnAttemptThatNobodyTakesIsMadeAgain is for a host that has no slot for it, or was
// away: it is not the end while the host answers.
func TestAnAttemptThatNobodyTakesIsMadeAgain(t *testing.T) {
	r := newRestoreRig(t)
	r.in.Force, r.occupant = true, "orders"
	r.restores = []error{nobody, nobody}
	r.mustRun()
	r.mustHave("pin shop", "check", "pause orders", `restore replacing "orders"`, "check", `restore replacing "orders"`, "check",
		`restore replacing "orders"`, "resume orders", "unpin shop")
}

func TestARequestThatLacksSomethingIsRefused(t *testing.T) {
	for want, spoil := range map[string]func(*workflows.RestoreRequest){
		"host is missing":    func(r *workflows.RestoreRequest) { r.Host = "" },
		"replica is missing": func(r *workflows.RestoreRequest) { r.Replica = "" },
		"not absolute":       func(r *workflows.RestoreRequest) { r.Path = "shop.db" },
		"name one of them":   func(r *workflows.RestoreRequest) { r.At = time.Unix(1, 0) },
	} {
		r := newRestoreRig(t)
		spoil(&r.in)
		_, err := r.run()
		if err == nil || !strings.Contains(err.Error(), want) || len(r.events) != 0 {
			t.Errorf("got %v after %q, want %q", err, r.events, want)
		}
	}
}
