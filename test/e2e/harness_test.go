// Package e2e_test drives the real programs, holdfast-worker and holdfast, on a
// real Temporal and a real Azure emulator.
package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3"
	"go.temporal.io/sdk/client"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/driver"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/test/stack"
)

// programs are built once for all tests of this package.
var programs struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "4") // those that are parallel wait most of the time
	dir, err := os.MkdirTemp("", "holdfast-e2e-")
	if err != nil {
		panic(err)
	}
	programs.dir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// program returns the path of one of ours.
func program(t testing.TB, name string) string {
	t.Helper()
	programs.once.Do(func() {
		lookAtSources(t)
		const module = "github.com/holdfast-db/holdfast/"
		cmd := exec.Command("go", "build", "-o", programs.dir+"/", module+"starter", module+"worker", module+"test/orders")
		if out, err := cmd.CombinedOutput(); err != nil {
			programs.err = fmt.Errorf("build the programs: %w\n%s", err, out)
			return
		}
		programs.err = errors.Join(
			os.Rename(filepath.Join(programs.dir, "starter"), filepath.Join(programs.dir, "holdfast")),
			os.Rename(filepath.Join(programs.dir, "worker"), filepath.Join(programs.dir, "holdfast-worker")),
		)
	})
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	return filepath.Join(programs.dir, name)
}

// lookAtSources opens all directories with sources of the programs. go test notes
// that, and does not show the cached result of a test that older ones passed.
func lookAtSources(t testing.TB) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// site is one host with its configuration.
type site struct {
	t      *testing.T
	stack  *stack.Stack
	host   string
	dir    string
	root   string // replica root
	env    []string
	config string

	namespace string              // of Temporal; empty for the one that all tests share
	as        *syscall.Credential // whom its worker runs as; nil for this user
	programs  string              // directory of its holdfast and holdfast-worker; empty for those of the work tree
}

// newSite makes a host whose databases go to a fresh container, reached at
// endpoint (empty: directly). yaml is added to its configuration.
func newSite(t *testing.T, endpoint, yaml string) *site {
	t.Helper()
	s := &site{t: t, stack: stack.Start(t), dir: t.TempDir()}
	if endpoint == "" {
		endpoint = s.stack.Blob
	}
	container := s.stack.NewContainer(t)
	s.host = container // unique as well
	s.root = fmt.Sprintf("abs://%s@%s/e2e?endpoint=%s", s.stack.Account, container, endpoint)
	s.env = append(os.Environ(),
		"TEMPORAL_ADDRESS="+s.stack.Temporal,
		"AZURE_STORAGE_ACCOUNT="+s.stack.Account,
		"AZURE_STORAGE_KEY="+accountKey(s.stack.ConnectionString),
		"HOME="+s.dir, "XDG_STATE_HOME="+s.dir,
	)
	s.config = filepath.Join(s.dir, "holdfast.yml")
	text := fmt.Sprintf("host: %s\nreplica: %q\n%s\n", s.host, s.root, yaml)
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func accountKey(connection string) string {
	_, after, _ := strings.Cut(connection, "AccountKey=")
	key, _, _ := strings.Cut(after, ";")
	return key
}

// process is a program under way.
type process struct {
	*exec.Cmd
	out  *lockedBuffer
	done chan struct{}
}

// lockedBuffer collects output while it is read.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start starts a program that the test's end kills.
func (s *site) start(env []string, name string, args ...string) *process {
	s.t.Helper()
	p := &process{Cmd: exec.Command(s.program(name), args...), out: &lockedBuffer{}, done: make(chan struct{})}
	p.Env = append(append([]string(nil), s.env...), env...)
	p.Stdout, p.Stderr = p.out, p.out
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: s.as}
	if err := p.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		_ = p.Wait()
		close(p.done)
	}()
	s.t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.done
		if s.t.Failed() {
			s.t.Logf("%s printed:\n%s", name, tail(p.out.String(), 4000))
		}
	})
	return p
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// program is the site's own, where it has one, else the work tree's.
func (s *site) program(name string) string {
	s.t.Helper()
	if own := filepath.Join(s.programs, name); s.programs != "" && exists(own) {
		return own
	}
	return program(s.t, name)
}

func (s *site) worker(env ...string) *process {
	s.t.Helper()
	return s.start(env, "holdfast-worker", "--config", s.config)
}

func (p *process) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := p.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// kill ends p as a crash would.
func (p *process) kill() {
	_ = p.Process.Kill()
	<-p.done
}

// interrupt ends p in order and returns its exit status.
func (p *process) interrupt(t *testing.T, within time.Duration) int {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(within):
		t.Fatalf("%s is still there %v after SIGTERM", p.Path, within)
	}
	return p.ProcessState.ExitCode()
}

// result is what a command came to.
type result struct {
	code           int
	stdout, stderr string
}

// try runs the holdfast command to its end.
func (s *site) try(args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.program("holdfast"), args...)
	cmd.Env, cmd.Dir = s.env, s.dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// run is try for a command that must succeed.
func (s *site) run(args ...string) string {
	s.t.Helper()
	r := s.try(args...)
	if r.code != 0 {
		s.t.Fatalf("holdfast %s: exit status %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// status is the part of `holdfast status -o json` that tests look at.
type status map[string]any

func (s *site) status(name string) status {
	s.t.Helper()
	out := s.run("status", name, "-o", "json")
	st := status{}
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		s.t.Fatalf("status: %v in %s", err, out)
	}
	return st
}

// waitPhase waits until the database is in a phase.
func (s *site) waitPhase(name, phase string, within time.Duration) {
	s.t.Helper()
	var last any
	eventually(s.t, within, func() bool {
		last = s.status(name)["phase"]
		return last == phase
	}, func() string { return fmt.Sprintf("%s is %v, want %s", name, last, phase) })
}

func eventually(t testing.TB, within time.Duration, ok func() bool, what func() string) {
	t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %v: %s", within, what())
		}
	}
}

// replicaOf opens the replica of a database directly.
func (s *site) replicaOf(name string) *replica.Replica {
	s.t.Helper()
	u, err := blob.ParseURL(s.root)
	if err != nil {
		s.t.Fatal(err)
	}
	store, err := driver.Open(s.t.Context(), u.Join(name), driver.Credentials{ConnectionString: s.stack.ConnectionString})
	if err != nil {
		s.t.Fatal(err)
	}
	return replica.New(store)
}

// temporal connects to the stack's Temporal.
func (s *site) temporal() client.Client {
	s.t.Helper()
	c, err := client.Dial(client.Options{HostPort: s.stack.Temporal, Namespace: s.namespace, Logger: silent{}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
