package workflows_test

import (
	"context"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/test/stack"
	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

// read is the bill of a history, but for the heartbeats, which leave no event.
func read(events []*historypb.HistoryEvent) (b bill) {
	for _, e := range events {
		switch {
		case e.GetActivityTaskScheduledEventAttributes() != nil:
			b.activities++
		case e.GetTimerStartedEventAttributes() != nil:
			b.timers++
		case e.GetTimerFiredEventAttributes() != nil:
			b.fired++
		case e.GetWorkflowExecutionSignaledEventAttributes() != nil:
			b.signals++
		case e.GetUpsertWorkflowSearchAttributesEventAttributes() != nil:
			b.phases++
		case e.GetWorkflowExecutionStartedEventAttributes() != nil:
			b.runs++
		}
	}
	return b
}

// TestLiveEventsAreCountedRight compares the events of a server's history with those that
// a bill of the same activities, timers, signals and changes of phase comes to: so many
// are in the table of docs/operations.md. Whole runs of the workflow are looked at, after
// the first, which has a database checked. It also holds what an event takes there to
// what docs/operations.md says.
func TestLiveEventsAreCountedRight(t *testing.T) {
	size := mustTable(t, "| an event of a database that ")
	for _, row := range []struct {
		name string
		set  func(s *site)
		live func(s *site)
	}{
		{daily[0].name, func(s *site) {
			s.in.Settings.Interval, s.in.Settings.Window = 50*time.Millisecond, time.Second
		}, func(*site) {}},
		{daily[1].name, func(s *site) { s.h.become(nil, true) }, func(s *site) {
			s.eventually(20*time.Second, "rest", func() bool { return s.status().Phase == workflows.Idle })
			time.Sleep(300 * time.Millisecond) // or the signal shares a task with what came before it
			s.signal(workflows.SignalWake, nil)
		}},
		{daily[3].name, func(s *site) { s.in.Settings.Interval, s.in.Settings.Window = 300*time.Millisecond, 0 }, func(*site) {}},
	} {
		t.Run(row.name, func(t *testing.T) {
			namespace := uuid.NewString()
			s := newSiteIn(t, &liveHost{}, namespace)
			if _, err := control.New(s.c, namespace).Setup(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.maintain(&liveMaintainer{end: func(_ context.Context, n int) (activities.MaintainResult, error) {
				time.Sleep(100 * time.Millisecond) // so that it does not end with a window
				return activities.MaintainResult{Objects: n}, nil
			}})
			s.in.Settings = workflows.DefaultSettings()
			row.set(s)
			s.in.UseSearchAttributes, s.in.MaxWindows = true, 12
			s.syncWorker()
			s.start()
			s.eventually(2*time.Minute, "the third run", func() bool {
				row.live(s)
				time.Sleep(100 * time.Millisecond)
				return s.status().Runs >= 3
			})
			h := s.history(s.runs()[1])
			b := read(h.Events)
			bytes := proto.Size(h) / len(h.Events)
			t.Logf("%d events, by the bill %.0f: %+v; %d bytes an event", len(h.Events), b.events(), b, bytes)
			if off := math.Abs(b.events() - float64(len(h.Events))); b.activities < 10 || off > float64(len(h.Events))/7 { // what comes within moments of each other here shares a task
				t.Errorf("%d events, by the bill %.0f", len(h.Events), b.events())
			}
			if want := size[row.name]; len(want) != 1 || math.Abs(want[0]-float64(bytes)) > want[0]/4 {
				t.Errorf("an event takes %d bytes, documented are %v", bytes, want)
			}
		})
	}
}

// TestLiveHeartbeatsAreCountedRight counts the heartbeats that reach a server.
func TestLiveHeartbeatsAreCountedRight(t *testing.T) {
	t.Parallel()
	const window, every = 6500 * time.Millisecond, 2 * time.Second
	s := newSite(t, &liveHost{})
	var sent atomic.Int32
	counting, err := client.Dial(client.Options{
		HostPort: stack.Start(t).Temporal, Logger: newLog(t),
		ConnectionOptions: client.ConnectionOptions{DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(
			func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				if strings.HasSuffix(method, "/RecordActivityTaskHeartbeat") {
					sent.Add(1)
				}
				return invoke(ctx, method, req, reply, cc, opts...)
			})}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(counting.Close)
	s.in.Settings.Interval, s.in.Settings.Window = 100*time.Millisecond, window
	s.acts.BeatEvery = func(int, time.Duration) time.Duration { return every }
	w := worker.New(counting, workflows.SyncQueue(s.in.Host), worker.Options{DisableWorkflowWorker: true, MaxHeartbeatThrottleInterval: time.Second})
	w.RegisterActivityWithOptions(s.acts.Sync, activity.RegisterOptions{Name: activities.NameSync})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	s.start()
	s.eventually(time.Minute, "the fourth window", func() bool { _, n := s.h.count(); return n == 4 })
	got := sent.Load() // of one pass, and of two windows
	if want := 2 * beatsIn(window, every); math.Abs(float64(got)-want) > 2 {
		t.Errorf("%d heartbeats were sent, want %.0f", got, want)
	}
}
