package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/holdfast-db/holdfast/workflows"
)

// name is the database's name in Holdfast.
const name = "orders"

// endpoints are where the stack listens.
type endpoints struct {
	Temporal         string `json:"temporal"`
	UI               string `json:"ui"`
	Blob             string `json:"blob"`
	ConnectionString string `json:"connection_string"`
	Account          string `json:"account"`
	Container        string `json:"container"`
}

// stage is all that takes part.
type stage struct {
	bin, dir      string
	terminal      bool // somebody looks on
	at            endpoints
	temporal      client.Client
	stack, worker *program
	writer        *program
	config        string
	db, journal   string
	replica       string // URL
	env           []string
}

func newStage(bin, dir string) *stage {
	return &stage{
		bin: bin, dir: dir, terminal: isTerminal(os.Stdin),
		config:  filepath.Join(dir, "holdfast.yml"),
		db:      filepath.Join(dir, "orders.db"),
		journal: filepath.Join(dir, "journal"),
	}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull && !isNull(info)
}

// isNull tells whether info is that of the null device, a character device too.
func isNull(info os.FileInfo) bool {
	null, err := os.Stat(os.DevNull)
	return err == nil && os.SameFile(info, null)
}

// strike ends all programs, the stack last.
func (s *stage) strike() {
	for _, p := range []*program{s.writer, s.worker, s.stack} {
		if p != nil {
			_ = p.end()
		}
	}
	if s.temporal != nil {
		s.temporal.Close()
	}
}

// setUp starts the stack, the application and the worker, and registers the
// database.
func (s *stage) setUp(ctx context.Context, db string) error {
	if err := s.startStack(ctx); err != nil {
		return err
	}
	if err := s.copyOf(ctx, db); err != nil {
		return err
	}
	fmt.Printf("Temporal   %s\nWeb UI     %s/namespaces/default/workflows\nAzurite    %s\ndatabase   %s\n", s.at.Temporal, s.at.UI, s.at.Blob, s.db)
	root := fmt.Sprintf("abs://%s@%s/demo-%d?endpoint=%s", s.at.Account, s.at.Container, time.Now().Unix(), url.QueryEscape(s.at.Blob))
	base, query, _ := strings.Cut(root, "?")
	s.replica = base + "/" + name + "?" + query
	text := fmt.Sprintf("host: demo\nreplica: %q\ntuning: {heartbeat: 1s}  # so that the status is a second old at most\n", root)
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		return err
	}
	s.env = append(os.Environ(), "TEMPORAL_ADDRESS="+s.at.Temporal, "XDG_STATE_HOME="+s.dir,
		"AZURE_STORAGE_CONNECTION_STRING="+s.at.ConnectionString)
	var err error
	s.writer, err = start(s.env, filepath.Join(s.dir, "application.log"), filepath.Join(s.bin, "orders"), "-db", s.db, "-journal", s.journal)
	if err != nil {
		return err
	}
	if err := s.startWorker(ctx); err != nil {
		return err
	}
	_, err = s.holdfast(ctx, "register", s.db, "--name", name, "--host", "demo", "--config", s.config)
	return err
}

func (s *stage) startStack(ctx context.Context) error {
	cmd := exec.Command(filepath.Join(s.bin, "holdfast-dev"), "up", "--json", "--until-stdin-closes")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the demo; the stack ends last
	cmd.Stderr = os.Stderr
	hold, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the stack: %w", err)
	}
	s.stack = &program{cmd: cmd, hold: hold, done: make(chan struct{})}
	if err := json.NewDecoder(out).Decode(&s.at); err != nil {
		return fmt.Errorf("the stack did not start: %w", err)
	}
	go s.stack.wait()
	s.temporal, err = client.DialContext(ctx, client.Options{HostPort: s.at.Temporal, Logger: nothing{}})
	return err
}

// copyOf takes a consistent copy of the reader's own database, if there is one.
func (s *stage) copyOf(ctx context.Context, path string) error {
	if path == "" {
		return nil
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("DB=%s: %w; name an existing SQLite database", path, err)
	}
	db, err := sql.Open("sqlite3", "file:"+strings.ReplaceAll(url.PathEscape(path), "%2F", "/")+"?mode=ro")
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // only read
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", s.db); err != nil {
		return fmt.Errorf("DB=%s: cannot be copied: %w; name a SQLite database", path, err)
	}
	return nil
}

func (s *stage) startWorker(ctx context.Context) error {
	log := filepath.Join(s.dir, "worker.log")
	w, err := start(s.env, log, filepath.Join(s.bin, "holdfast-worker"), "--config", s.config)
	if err != nil {
		return err
	}
	s.worker = w
	select {
	case <-w.done:
		b, _ := os.ReadFile(log)
		return fmt.Errorf("the worker ended: %s", bytes.TrimSpace(b))
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(200 * time.Millisecond):
		return nil
	}
}

// holdfast runs the command line and returns what it printed.
func (s *stage) holdfast(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "holdfast"), args...)
	cmd.Env, cmd.Dir = s.env, s.dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("holdfast %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(errs.Bytes()))
	}
	return out.Bytes(), nil
}

func (s *stage) signal(ctx context.Context, signal string) error {
	err := s.temporal.SignalWorkflow(ctx, workflows.WorkflowID(name), "", signal, nil)
	if err != nil {
		return fmt.Errorf("signal %s: %w", signal, err)
	}
	return nil
}

// program is one of ours, running.
type program struct {
	cmd  *exec.Cmd
	hold io.Closer // what keeps it running, if it is not a signal that ends it
	done chan struct{}
	err  error
}

// start starts a program whose output goes to the file log.
func start(env []string, log, path string, args ...string) (*program, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // the program has its own
	p := &program{cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, f, f
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(path), err)
	}
	go p.wait()
	return p, nil
}

func (p *program) wait() {
	p.err = p.cmd.Wait()
	close(p.done)
}

// kill ends p as a crash would.
func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// end asks p to end, and insists after a while.
func (p *program) end() error {
	if p.hold != nil {
		_ = p.hold.Close()
	} else {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	select {
	case <-p.done:
		return p.err
	case <-time.After(20 * time.Second):
		p.kill()
		return errors.New("did not end when asked to")
	}
}

// nothing is a log that nobody reads.
type nothing struct{}

func (nothing) Debug(string, ...any) {}
func (nothing) Info(string, ...any)  {}
func (nothing) Warn(string, ...any)  {}
func (nothing) Error(string, ...any) {}
