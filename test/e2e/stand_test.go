package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/holdfast-db/holdfast/test/proxy"
	"github.com/holdfast-db/holdfast/workflows"
)

// stand is one database of one host, an application that writes into it, and a
// worker that replicates it through a proxy. It has a Temporal namespace of its
// own, where no other test's worker can take its tasks and then be killed.
type stand struct {
	*site
	client  client.Client
	front   *proxy.Proxy
	puts    *puts
	name    string // of the database
	path    string
	journal string
	app     *process
	work    *process // the worker
}

// newStand makes all of a stand but its worker and the registration. yaml is
// added to the host's configuration; rate is the application's, in transactions
// per second.
func newStand(t *testing.T, yaml, rate string) *stand {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Temporal and Azurite")
	}
	s := &stand{site: newSite(t, "", yaml)}
	s.client = s.apart()
	s.name, s.path, s.journal = s.host, filepath.Join(s.dir, "orders.db"), filepath.Join(s.dir, "journal")
	t.Cleanup(func() {
		_ = s.client.TerminateWorkflow(context.Background(), workflows.WorkflowID(s.name), "", "the test is over")
	})
	s.front, s.puts = proxy.Start(t, s.stack.Blob), &puts{}
	s.front.After(s.puts.answered)
	s.useEndpoint(s.front.URL)
	s.app = s.start(nil, "orders", "-db", s.path, "-journal", s.journal, "-rate", rate)
	eventually(t, 10*time.Second, func() bool { return exists(s.path) }, func() string { return "the application made no database" })
	return s
}

// replicate starts the worker and registers the database with it.
func (s *stand) replicate(flags ...string) {
	s.t.Helper()
	s.work = s.worker()
	s.run(append([]string{"register", s.path, "--name", s.name, "--host", s.host}, flags...)...)
	s.waitPhase(s.name, "Replicating", 20*time.Second)
}

// apart gives the site a Temporal namespace of its own and returns a client in
// it.
func (s *site) apart() client.Client {
	s.t.Helper()
	s.namespace = s.host
	c := s.temporal()
	_, err := c.WorkflowService().RegisterNamespace(s.t.Context(), &workflowservice.RegisterNamespaceRequest{
		Namespace: s.namespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, 20*time.Second, func() bool { err = labels(s.t.Context(), c, s.namespace); return err == nil },
		func() string { return "the namespace is not ready: " + err.Error() })
	s.env = append(s.env, "TEMPORAL_NAMESPACE="+s.namespace)
	return c
}

// labels gives a namespace the search attributes, and tells whether they can be
// used already.
func labels(ctx context.Context, c client.Client, namespace string) error {
	want := map[string]enumspb.IndexedValueType{
		"HoldfastPhase": enumspb.INDEXED_VALUE_TYPE_KEYWORD, "HoldfastHost": enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		"HoldfastDatabase": enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	}
	have, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return err
	}
	maps.DeleteFunc(want, func(name string, _ enumspb.IndexedValueType) bool { return have.GetCustomAttributes()[name] != 0 })
	if len(want) > 0 {
		add := &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: want}
		if _, err := c.OperatorService().AddSearchAttributes(ctx, add); err != nil {
			return err
		}
	}
	query := "HoldfastPhase = 'none' OR HoldfastHost = 'none' OR HoldfastDatabase = 'none'"
	_, err = c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: query})
	return err
}

// mustLoseNothing ends the application, syncs, and compares restored states with
// the application's journal.
func (s *stand) mustLoseNothing() {
	s.t.Helper()
	if code := s.app.interrupt(s.t, 10*time.Second); code != 0 {
		s.t.Errorf("the application ended with status %d", code)
	}
	s.run("sync", s.name)
	s.mustHoldPrefixes(s.t, s.name, s.journal)
}

// resyncs counts the times that the worker of a log had more than the log to go by, the
// first pass over a new database included.
func resyncs(log string) int { return strings.Count(log, "INFO  resyncing ") }

// mustNotHaveResynced fails if any of the workers that ran compared all pages after
// the first time.
func (s *stand) mustNotHaveResynced(workers ...*process) {
	s.t.Helper()
	for i, w := range workers {
		allowed := 0
		if i == 0 {
			allowed = 1
		}
		if n := resyncs(w.out.String()); n != allowed {
			s.t.Errorf("worker %d resynced %d times, want %d", i, n, allowed)
		}
	}
}

// puts notes when the store answered puts.
type puts struct {
	mu   sync.Mutex
	last time.Time
	hold proxy.Hook // called before the answer goes on, if not nil
}

func (p *puts) answered(r *http.Request) bool {
	if !isPut(r) {
		return true
	}
	p.mu.Lock()
	p.last = time.Now()
	hold := p.hold
	p.mu.Unlock()
	return hold == nil || hold(r)
}

// lastAnswered is when the store answered a put last.
func (p *puts) lastAnswered() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// holdAnswers calls hook before the answer to a put goes on; nil ends that.
func (p *puts) holdAnswers(hook proxy.Hook) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold = hook
}

// away makes the store unreachable.
func (s *stand) away() { s.front.Before(func(*http.Request) bool { return false }) }

// back makes the store reachable again.
func (s *stand) back() { s.front.Before(nil) }

// waitLabel waits until a search attribute of the workflow has a value.
func (s *stand) waitLabel(name, want string) {
	s.t.Helper()
	var got string
	eventually(s.t, 10*time.Second, func() bool {
		d, err := s.client.DescribeWorkflowExecution(s.t.Context(), workflows.WorkflowID(s.name), "")
		if err != nil {
			s.t.Fatal(err)
		}
		got = ""
		if p := d.WorkflowExecutionInfo.GetSearchAttributes().GetIndexedFields()[name]; p != nil {
			if err := converter.GetDefaultDataConverter().FromPayload(p, &got); err != nil {
				s.t.Fatal(err)
			}
		}
		return got == want
	}, func() string { return fmt.Sprintf("%s is %q, want %q", name, got, want) })
}
