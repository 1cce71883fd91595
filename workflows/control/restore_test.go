package control_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/worker"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/test/stack"
	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

// restorer tells that it is half done, and then does what end says.
type restorer struct {
	occupant string
	asked    chan host.Restoring
	end      func(context.Context) error
}

func (r *restorer) CheckRestore(context.Context, host.Restoring) (string, error) {
	return r.occupant, nil
}

func (r *restorer) Restore(ctx context.Context, in host.Restoring) (restore.Result, error) {
	r.asked <- in
	in.Progress(restore.Progress{Objects: 1, ObjectsTotal: 2, Bytes: 5, BytesTotal: 10})
	return restore.Result{TXID: 7, Bytes: 4096}, r.end(ctx)
}

func (r *restorer) DiscardRestore(context.Context, host.Restoring) error { return nil }

// mustListen runs the workers of a host that restores, and no others.
func mustListen(t *testing.T, c *control.Connection, hostName string, end func(context.Context) error) *restorer {
	t.Helper()
	r := &restorer{asked: make(chan host.Restoring, 10), end: end}
	for _, queue := range []string{workflows.ControlQueue(hostName), workflows.RestoreQueue(hostName)} {
		w := worker.New(c.Client, queue, worker.Options{DisableWorkflowWorker: true, MaxHeartbeatThrottleInterval: 50 * time.Millisecond})
		workflows.RegisterRestoreActivities(w, &activities.RestoreActivities{Host: r})
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.Stop)
	}
	return r
}

func untilCancelled(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func mustStart(t *testing.T, ctl *control.Control, r workflows.RestoreRequest) string {
	t.Helper()
	id, err := ctl.StartRestore(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(id, "holdfast/restore/"+r.Database) {
		t.Errorf("got the id %q", id)
	}
	return id
}

// mustList waits until the database is in the list.
func mustList(t *testing.T, ctl *control.Control, name string) {
	t.Helper()
	eventually(t, name+" in the list", func() bool {
		all, err := ctl.List(t.Context())
		return err == nil && slices.ContainsFunc(all, func(e control.Entry) bool { return e.Name == name })
	})
}

func TestTheLifeOfARestore(t *testing.T) {
	c := mustDial(t)
	ctl := control.New(c, c.Namespace)
	s := spec("restored")
	work(t, c, s.Host, &data{})
	if _, err := ctl.Register(t.Context(), workflows.Registration{Spec: s, Wait: true}); err != nil {
		t.Fatal(err)
	}
	mustList(t, ctl, s.Name)
	goOn := make(chan struct{})
	elsewhere := "host-of-" + s.Name
	r := mustListen(t, c, elsewhere, func(context.Context) error { <-goOn; return nil })
	id := mustStart(t, ctl, workflows.RestoreRequest{Name: "unknown", Host: elsewhere, Path: "/srv/copy.db", Replica: s.Replica})
	if !strings.HasPrefix(id, "holdfast/restore/"+s.Name+"/") {
		t.Errorf("the replica's database was not found: got the id %q", id)
	}
	var seen control.RestoreView
	res, err := ctl.FollowRestore(t.Context(), id, func(v control.RestoreView) {
		if v.Beat != nil && v.Beat.Bytes == 5 && seen.Beat == nil {
			seen = v
			close(goOn)
		}
	})
	if err != nil || res.TXID != 7 || res.Path != "/srv/copy.db" || res.Host != elsewhere {
		t.Errorf("got %+v, %v", res, err)
	}
	if in := <-r.asked; in.ID != id || in.Replica != s.Replica || in.Replace != "" {
		t.Errorf("asked for %+v", in)
	}
	if !seen.Answering || seen.Phase != workflows.RestoreRestoring || !seen.Pinned || seen.Attempt == nil || seen.Attempt.Number != 1 || seen.Beat.BytesTotal != 10 {
		t.Errorf("on the way: %+v", seen)
	}
}

func TestARestoreIsCancelled(t *testing.T) {
	c := mustDial(t)
	ctl := control.New(c, c.Namespace)
	s := spec("cancelled")
	work(t, c, s.Host, &data{})
	r := mustListen(t, c, "host-of-"+s.Name, untilCancelled)
	id := mustStart(t, ctl, workflows.RestoreRequest{Name: s.Name, Host: "host-of-" + s.Name, Path: "/srv/copy.db", Replica: s.Replica})
	<-r.asked
	if err := ctl.CancelRestore(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	_, err := ctl.FollowRestore(t.Context(), id, func(control.RestoreView) {})
	var refused *control.Refused
	if !errors.As(err, &refused) || refused.Type != control.RestoreCancelled {
		t.Errorf("got %v", err)
	}
}

func TestARestoreFindsWhatIsRegisteredForItsPath(t *testing.T) {
	c := mustDial(t)
	ctl := control.New(c, c.Namespace)
	s := spec("occupied")
	work(t, c, s.Host, &data{})
	if _, err := ctl.Register(t.Context(), workflows.Registration{Spec: s, Wait: true}); err != nil {
		t.Fatal(err)
	}
	mustList(t, ctl, s.Name)
	id := mustStart(t, ctl, workflows.RestoreRequest{Database: s.Name, Host: s.Host, Path: s.Path})
	_, err := ctl.FollowRestore(t.Context(), id, func(control.RestoreView) {})
	var refused *control.Refused
	if !errors.As(err, &refused) || refused.Type != activities.Registered || !strings.Contains(err.Error(), s.Name) {
		t.Errorf("got %v, want that %s is in the way", err, s.Name)
	}
	if _, err := ctl.StartRestore(t.Context(), workflows.RestoreRequest{Database: "nobody", Host: s.Host, Path: s.Path}); !errors.Is(err, control.ErrNotRegistered) {
		t.Errorf("of a database that nobody knows: %v", err)
	}
}

func TestARestoreThatNoWorkerBegins(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real Temporal")
	}
	c := mustDialAt(t, stack.StartOwn(t, stack.Options{Only: stack.Temporal}).Temporal)
	ctl := control.New(c, c.Namespace)
	id := mustStart(t, ctl, workflows.RestoreRequest{Name: "shop", Host: "web-1", Path: "/srv/copy.db", Replica: "file:///r"})
	_, err := ctl.FollowRestore(t.Context(), id, func(control.RestoreView) {})
	if !errors.Is(err, control.ErrNoAnswer) || !strings.Contains(err.Error(), "; start holdfast-worker") {
		t.Errorf("got %v", err)
	}
	mustBegin(t, c, id)
	within, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := ctl.FollowRestore(within, id, func(control.RestoreView) {}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("of one that has begun, while no worker is there: got %v, want that it is waited for", err)
	}
}

// mustBegin has a worker begin with a restore, and end.
func mustBegin(t *testing.T, c *control.Connection, id string) {
	t.Helper()
	w := worker.New(c.Client, workflows.TaskQueue, worker.Options{LocalActivityWorkerOnly: true})
	workflows.RegisterWorkflows(w)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	eventually(t, "that it begins", func() bool {
		d, err := c.DescribeWorkflowExecution(t.Context(), id, "")
		return err == nil && len(d.GetPendingActivities()) > 0
	})
}
