package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	namespacepb "go.temporal.io/api/namespace/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/config"
)

// quiet logs nothing.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}

// counter is a service that counts the polls that are open. It has no task; a busy one
// has many for the host's own queues, and the advice to poll for more.
type counter struct {
	busy bool

	mu   sync.Mutex
	open map[string]int // by kind and queue
	most map[string]int // that were open at one time
}

func (c *counter) answer(ctx context.Context, _ string, req, reply any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption) error {
	switch req := req.(type) {
	case *workflowservice.DescribeNamespaceRequest:
		proto.Merge(reply.(proto.Message), &workflowservice.DescribeNamespaceResponse{NamespaceInfo: &namespacepb.NamespaceInfo{
			Name: "default", Capabilities: &namespacepb.NamespaceInfo_Capabilities{PollerAutoscaling: true},
		}})
	case *workflowservice.PollActivityTaskQueueRequest:
		if c.poll(ctx, "activities of "+req.TaskQueue.Name, c.busy && strings.HasSuffix(req.TaskQueue.Name, "/web-1")) {
			task := reply.(*workflowservice.PollActivityTaskQueueResponse)
			task.TaskToken, task.ActivityType = []byte("one that nobody knows"), &commonpb.ActivityType{Name: "Unknown"}
			task.PollerScalingDecision = &taskqueuepb.PollerScalingDecision{PollRequestDeltaSuggestion: 1}
		}
	case *workflowservice.PollWorkflowTaskQueueRequest:
		c.poll(ctx, fmt.Sprint("workflows, ", req.TaskQueue.Kind), false)
	}
	return nil
}

// poll waits for a task, and tells whether one came.
func (c *counter) poll(ctx context.Context, queue string, comes bool) bool {
	c.mu.Lock()
	c.open[queue]++
	c.most[queue] = max(c.most[queue], c.open[queue])
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.open[queue]--
		c.mu.Unlock()
	}()
	var task <-chan time.Time
	if comes {
		task = time.After(20 * time.Millisecond)
	}
	select {
	case <-task:
		return true
	case <-ctx.Done():
		return false
	}
}

// lines says which polls were open at one time.
func (c *counter) lines() (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, queue := range slices.Sorted(maps.Keys(c.most)) {
		all = append(all, fmt.Sprintf("%s: %d", queue, c.most[queue]))
	}
	return all
}

// TestOpenPolls counts those of one process, which are what it costs of the 20,000 that a
// namespace may have of each kind: few are open all the time, many as tasks come.
func TestOpenPolls(t *testing.T) {
	few := []string{
		"activities of holdfast-control/web-1: 5", "activities of holdfast-maintenance: 2", "activities of holdfast-restore/web-1: 2",
		"activities of holdfast-sync/web-1: 5", "workflows, Normal: 5", "workflows, Sticky: 5",
	}
	for _, row := range []struct {
		name    string
		pollers int
		busy    bool
		want    []string
	}{
		{"few, while nothing comes", 0, false, few},
		{"few, at most", 0, true, few},
		{"many, while nothing comes", 12, false, []string{
			"activities of holdfast-control/web-1: 2", "activities of holdfast-maintenance: 2", "activities of holdfast-restore/web-1: 2",
			"activities of holdfast-sync/web-1: 2", "workflows, Normal: 2", "workflows, Sticky: 2",
		}},
		{"many, at most", 12, true, []string{
			"activities of holdfast-control/web-1: 12", "activities of holdfast-maintenance: 2", "activities of holdfast-restore/web-1: 2",
			"activities of holdfast-sync/web-1: 12", "workflows, Normal: 2", "workflows, Sticky: 2",
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			service := &counter{busy: row.busy, open: map[string]int{}, most: map[string]int{}}
			c, err := client.NewLazyClient(client.Options{Logger: quiet{}, WorkerHeartbeatInterval: -1, ConnectionOptions: client.ConnectionOptions{
				DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(service.answer)},
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			s := settings{Config: config.Config{Host: "web-1", Maintenance: config.Maintenance{Slots: 2}}}
			fleet := newWorkers(c, s, tune(1000, config.Tuning{StopTimeout: time.Second, Pollers: row.pollers}), abilities{&activities.HostActivities{}, &activities.RestoreActivities{}, &activities.ReplicaActivities{}})
			if err := fleet.start(); err != nil {
				t.Fatal(err)
			}
			defer fleet.stop()
			for end := time.Now().Add(20 * time.Second); !slices.Equal(service.lines(), row.want); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("open are %q\nwant     %q", service.lines(), row.want)
				}
			}
			time.Sleep(time.Second)
			if got := service.lines(); !slices.Equal(got, row.want) {
				t.Errorf("open are %q\nwant     %q", got, row.want)
			}
		})
	}
}
