package control_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/holdfast-db/holdfast/test/stack"
	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

// crowd is databases on two hosts, and a workflow that is none of them, in a Temporal
// of their own: a batch for all would reach other tests' databases.
type crowd struct {
	*testing.T
	c        *control.Connection
	ctl      *control.Control
	a1, a2   string // names of databases on one host
	b        string // and on another
	host     string // of a1 and a2
	stranger client.WorkflowRun
}

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real Temporal")
	}
	c := mustDialAt(t, stack.StartOwn(t, stack.Options{Only: stack.Temporal}).Temporal)
	w := &crowd{T: t, c: c, ctl: control.New(c, c.Namespace), a1: "a1", a2: "a2", b: "b", host: "host-a"}
	work(t, c, w.host, &data{})
	work(t, c, "host-b", &data{})
	w.register(w.a1, w.host)
	w.register(w.a2, w.host)
	w.register(w.b, "host-b")
	var err error
	w.stranger, err = c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "stranger", TaskQueue: "nobody"}, "Stranger")
	if err != nil {
		t.Fatal(err)
	}
	w.listed("WorkflowType = 'Stranger'", 1)
	w.listed("HoldfastHost = 'host-a' OR HoldfastHost = 'host-b'", 3)
	return w
}

// register has a window that is a pass, so that none has to be ended.
func (w *crowd) register(name, host string) {
	w.Helper()
	s := workflows.Spec{Name: name, Host: host, Path: "/srv/" + name + ".db", Replica: "file:///r/" + name}
	s.Settings = workflows.Settings{Interval: time.Minute, Window: time.Minute}
	if _, err := w.ctl.Register(w.Context(), workflows.Registration{Spec: s, Wait: true}); err != nil {
		w.Fatal(err)
	}
}

// listed waits until n workflows meet a query.
func (w *crowd) listed(query string, n int64) {
	w.Helper()
	eventually(w.T, query, func() bool {
		res, err := w.c.CountWorkflow(w.Context(), &workflowservice.CountWorkflowExecutionsRequest{Query: query})
		return err == nil && res.Count == n
	})
}

// mustReach checks that a batch signalled n databases.
func (w *crowd) mustReach(n int64, b control.Batch, err error) {
	w.Helper()
	if err != nil || b.Matched != n || b.Signalled != n || b.Failed != 0 || (b.ID == "") != (n == 0) {
		w.Errorf("got %+v, %v; want %d signalled", b, err, n)
	}
}

// mustBePaused waits for names to be paused, and checks that the others are not.
func (w *crowd) mustBePaused(reason string, names ...string) {
	w.Helper()
	want := " " + strings.Join(names, " ") + " "
	for _, name := range []string{w.a1, w.a2, w.b} {
		paused := strings.Contains(want, " "+name+" ")
		eventually(w.T, name+" is as it should be", func() bool {
			st, err := w.ctl.Status(w.Context(), name)
			return err == nil && st.Answering && st.Paused == paused && (!paused || st.PauseReason == reason)
		})
	}
}

// mustNotReachStranger looks for signals in the history of the workflow that is no
// database.
func (w *crowd) mustNotReachStranger() {
	w.Helper()
	events := w.c.GetWorkflowHistory(w.Context(), w.stranger.GetID(), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			w.Fatal(err)
		}
		if e.GetWorkflowExecutionSignaledEventAttributes() != nil {
			w.Error("a workflow of another type was signalled")
		}
	}
}

func TestBatchesReachWhatTheyShould(t *testing.T) {
	w := newCrowd(t)
	t.Run("those of a host", func(t *testing.T) {
		b, err := w.ctl.PauseMany(t.Context(), control.Selection{Host: w.host}, "moving")
		w.mustReach(2, b, err)
		w.mustBePaused("moving", w.a1, w.a2)
	})
	t.Run("all, right after another batch", func(t *testing.T) {
		b, err := w.ctl.ResumeMany(t.Context(), control.Selection{})
		w.mustReach(3, b, err)
		w.mustBePaused("")
	})
	t.Run("no other workflow by an alternative", func(t *testing.T) {
		b, err := w.ctl.PauseMany(t.Context(), control.Selection{Query: "WorkflowType = 'Stranger' OR HoldfastDatabase = 'b'"}, "")
		w.mustReach(1, b, err)
		w.mustBePaused("", w.b)
	})
	t.Run("none, by a host whose name is a query", func(t *testing.T) {
		for _, host := range []string{"nobody", "x' OR WorkflowType = 'Stranger", `x\' OR WorkflowType = 'Stranger`, `\`} {
			b, err := w.ctl.PauseMany(t.Context(), control.Selection{Host: host}, "")
			w.mustReach(0, b, err)
		}
	})
	t.Run("none, by what is no query", func(t *testing.T) {
		for _, query := range []string{
			"HoldfastDatabase = 'a1') OR (WorkflowType = 'Stranger'", "nonsense", "NoSuch = 1", "WorkflowType = 'Stranger' ORDER BY StartTime", "a = 1 --",
		} {
			b, err := w.ctl.PauseMany(t.Context(), control.Selection{Query: query}, "")
			if !errors.Is(err, control.ErrQuery) || !strings.Contains(err.Error(), query) || b != (control.Batch{}) {
				t.Errorf("%s: got %+v, %v", query, b, err)
			}
		}
		w.mustBePaused("", w.b)
	})
	w.mustNotReachStranger()
}

// TestARunThatABatchMissedIsSignalled has a database register after what is said to be
// a batch's begin, as a run that continues another does.
func TestARunThatABatchMissedIsSignalled(t *testing.T) {
	w := newCrowd(t)
	time.Sleep(3 * time.Second) // longer than a list may be old
	begun := time.Now()
	w.b = "late"
	w.register(w.b, "host-b")
	m := workflows.Message{ID: uuid.NewString(), Reason: "late"}
	if failed, err := w.ctl.TellSuccessors(t.Context(), begun, workflows.SignalPause, m); err != nil || failed != 0 {
		t.Fatalf("got %d, %v", failed, err)
	}
	w.mustBePaused("late", w.b)
	if _, err := w.ctl.Resume(t.Context(), w.b); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ctl.TellSuccessors(t.Context(), begun, workflows.SignalPause, m); err != nil {
		t.Fatal(err)
	}
	w.mustBePaused("")
}

func TestHostsNeedSearchAttributes(t *testing.T) {
	c := mustDial(t)
	bare := "bare-" + uuid.NewString()
	_, err := c.WorkflowService().RegisterNamespace(t.Context(), &workflowservice.RegisterNamespaceRequest{
		Namespace: bare, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctl := control.New(mustDialNamespace(t, c.Address, bare), bare)
	eventually(t, "the namespace can be used", func() bool {
		b, err := ctl.PauseMany(t.Context(), control.Selection{}, "")
		return err == nil && b == (control.Batch{})
	})
	_, err = ctl.PauseMany(t.Context(), control.Selection{Host: "web-1"}, "")
	if !errors.Is(err, control.ErrSettings) || !strings.HasSuffix(err.Error(), "no search attribute HoldfastHost; run holdfast setup") {
		t.Errorf("got %v", err)
	}
}

func mustDialNamespace(t *testing.T, address, namespace string) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: address, Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
