package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/holdfast-db/holdfast/workflows"
)

// fleet is all that the rows have in common.
type fleet struct {
	options
	at       endpoints
	dir      string
	temporal client.Client
	front    *httptest.Server // before the store
	requests atomic.Int64
	mu       sync.Mutex
	puts     map[string]object // by path in the container
	failed   error             // a figure that is not what it has to be
	crowds   int
}

func open(ctx context.Context, o options) (*fleet, error) {
	f := &fleet{options: o, puts: map[string]object{}}
	var err error
	if f.at, err = readEndpoints(); err != nil {
		return nil, err
	}
	if f.bin, err = filepath.Abs(f.bin); err != nil {
		return nil, err
	}
	if f.dir, err = os.MkdirTemp(f.bin, "fleet-"); err != nil {
		return nil, err
	}
	store, err := url.Parse(f.at.Blob)
	if err != nil {
		return nil, err
	}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = store.Scheme, store.Host, store.Host
			r.Out = r.Out.WithContext(context.WithoutCancel(r.Out.Context())) // what was put is noted, though nobody waits for the answer
		},
		Transport:      &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
		ModifyResponse: f.noted,
	}
	f.front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.requests.Add(1)
		forward.ServeHTTP(w, r)
	}))
	if f.temporal, err = client.DialContext(ctx, client.Options{HostPort: f.at.Temporal, Logger: silent{}}); err != nil {
		return nil, err
	}
	setup := exec.CommandContext(ctx, filepath.Join(f.bin, "holdfast"), "setup")
	setup.Env = append(os.Environ(), "TEMPORAL_ADDRESS="+f.at.Temporal)
	if out, err := setup.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("holdfast setup: %w: %s", err, out)
	}
	return f, nil
}

func (f *fleet) close() {
	f.temporal.Close()
	f.front.Close()
	if !f.keep {
		_ = os.RemoveAll(f.dir)
	}
}

// say prints a line of the table. A figure that misses its target fails the whole.
func (f *fleet) say(row, what, figure string, met bool, target string) {
	verdict := ""
	switch {
	case target == "":
	case met:
		verdict = "met (" + target + ")"
	default:
		verdict = "NOT MET (" + target + ")"
		f.failed = errors.New("not all is met")
	}
	fmt.Printf("%-9s %-60s %14s  %s\n", row, what, figure, verdict)
}

// metricsAddress is where a worker that is asked for its metrics serves them.
const metricsAddress = "127.0.0.1:19464"

// crowd is a worker with many databases.
type crowd struct {
	*fleet
	temporal client.Client // the fleet's, or one of the row's own
	address  string        // of its server
	name     string
	dir      string
	paths    []string
	names    []string
	memory   bool // the store is a directory in memory
	root     string
	config   string
	worker   *exec.Cmd
	log      *os.File
	begun    time.Time // of the worker
}

// newCrowd makes n small databases. settings are the worker's.
func (f *fleet) newCrowd(n int, memory bool, settings string) (*crowd, error) {
	return f.newCrowdOf(200, n, memory, settings)
}

// newCrowdOf makes n databases of so many rows each.
func (f *fleet) newCrowdOf(rows, n int, memory bool, settings string) (*crowd, error) {
	f.crowds++
	c := &crowd{fleet: f, temporal: f.temporal, address: f.at.Temporal, name: fmt.Sprintf("fleet-%d-%d", os.Getpid(), f.crowds), memory: memory}
	c.dir = filepath.Join(f.dir, c.name)
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		return nil, err
	}
	template := filepath.Join(c.dir, "template")
	if err := newDatabase(template, rows); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(template)
	if err != nil {
		return nil, err
	}
	c.root = fmt.Sprintf("abs://%s@%s/%s?endpoint=%s", f.at.Account, f.at.Container, c.name, url.QueryEscape(f.front.URL+"/"+f.at.Account))
	if memory {
		c.root = "file:///dev/shm/holdfast-" + c.name
	}
	var text strings.Builder
	fmt.Fprintf(&text, "host: %s\nreplica: %q\n%s\nlog: {level: warn}\ndatabases:\n", c.name, c.root, settings)
	for i := range n {
		name := fmt.Sprintf("%s/%04d", c.name, i)
		path := filepath.Join(c.dir, fmt.Sprintf("%04d.db", i))
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return nil, err
		}
		c.names, c.paths = append(c.names, name), append(c.paths, path)
		fmt.Fprintf(&text, "  - {path: %q, name: %s}\n", path, name)
	}
	c.config = filepath.Join(c.dir, "holdfast.yml")
	return c, os.WriteFile(c.config, []byte(text.String()), 0o600)
}

var accountKey = regexp.MustCompile(`(?:^|;)AccountKey=([^;]*)`)

func (c *crowd) start() (err error) {
	if c.log, err = os.OpenFile(filepath.Join(c.dir, "worker.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	key := accountKey.FindStringSubmatch(c.at.ConnectionString)
	if key == nil {
		return errors.New("the stack names no account key")
	}
	c.worker = exec.Command(filepath.Join(c.bin, "holdfast-worker"), "--config", c.config)
	c.worker.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "XDG_STATE_HOME=" + c.dir,
		"TEMPORAL_ADDRESS=" + c.address, "AZURE_STORAGE_ACCOUNT=" + c.at.Account, "AZURE_STORAGE_KEY=" + key[1],
	}
	c.worker.Stdout, c.worker.Stderr = c.log, c.log
	c.begun = time.Now()
	return c.worker.Start()
}

func (c *crowd) stop() error {
	_ = c.worker.Process.Signal(os.Interrupt)
	_ = c.worker.Wait() // 130, as it was interrupted
	return c.log.Close()
}

// end ends the worker and all workflows.
func (c *crowd) end(ctx context.Context) {
	_ = c.stop()
	for _, name := range c.names {
		_ = c.temporal.TerminateWorkflow(ctx, workflows.WorkflowID(name), "", "measured")
	}
	if c.memory {
		_ = os.RemoveAll(strings.TrimPrefix(c.root, "file://"))
	}
}

// until waits for all of the databases to be counted and returns since when they are,
// from the worker's start.
func (c *crowd) until(ctx context.Context, what string, within time.Duration, count func(context.Context) (int, error)) (time.Duration, error) {
	for begun := time.Now(); ; {
		n, err := count(ctx)
		if err != nil {
			return 0, err
		}
		if n == len(c.names) {
			return time.Since(c.begun), nil
		}
		if time.Since(begun) > within {
			return 0, fmt.Errorf("%s: %d of %d databases within %v; see %s", what, n, len(c.names), within, c.log.Name())
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(500 * time.Millisecond): // counting costs some of the same processors
		}
	}
}

// parked counts the databases that are idle, as the service lists them.
func (c *crowd) parked(ctx context.Context) (int, error) {
	r, err := c.temporal.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{
		Query: fmt.Sprintf("HoldfastHost = '%s' AND HoldfastPhase = 'Idle' AND ExecutionStatus = 'Running'", c.name),
	})
	if err != nil {
		return 0, err
	}
	return int(r.Count), nil
}

// write runs the applications and returns their commits.
func (c *crowd) write(ctx context.Context, o order) (commits, error) {
	o.Report = filepath.Join(c.dir, "commits.json")
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, writerCommand, string(text))
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("applications: %w: %s", err, out)
	}
	b, err := os.ReadFile(o.Report)
	if err != nil {
		return nil, err
	}
	var done commits
	return done, json.Unmarshal(b, &done)
}

// silent drops what the Temporal SDK has to say.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
