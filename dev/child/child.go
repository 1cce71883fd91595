// Package child runs a server as a child process that cannot outlive the
// program: not when the program stops it, not when the program is killed.
//
// A child leads a process group of its own, so that Ctrl-C in a terminal
// reaches only the program, which then ends its children in order. On Linux
// the kernel signals a child whose parent has died; elsewhere a child has to
// notice the end of its standard input, a pipe that this package holds open.
package child

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Command describes a child.
type Command struct {
	Path  string         // program to run
	Args  []string       // without the program's name
	Env   []string       // whole environment; nil: the program's own
	Log   string         // file that receives its output, emptied at the start
	Grace time.Duration  // between asking it to end and killing it
	Death syscall.Signal // sent to it when the program dies (Linux)
}

// Process is a running child.
type Process struct {
	cmd   *exec.Cmd
	log   string
	grace time.Duration
	stdin io.Closer
	done  chan struct{}
	err   error // set before done is closed
}

// Start runs c.
func Start(c Command) (*Process, error) {
	log, err := os.Create(c.Log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()

	cmd := exec.Command(c.Path, c.Args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = c.Env, log, log
	cmd.SysProcAttr = attributes(c.Death)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, log: c.Log, grace: c.Grace, stdin: stdin, done: make(chan struct{})}
	started := make(chan error)
	go p.run(started)
	return p, <-started
}

// run keeps its thread for the child's whole life: the kernel takes the death
// of the thread that started a child for the death of the parent.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	err := p.cmd.Start()
	started <- err
	if err == nil {
		err = p.cmd.Wait()
	}
	p.err = err
	close(p.done)
}

// Done is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Success tells whether the child has ended with exit status 0; call it after
// Done is closed.
func (p *Process) Success() bool { return p.err == nil }

// Err says how the child ended and quotes the last line that it wrote. It is
// for a child that ended by itself; call it after Done is closed.
func (p *Process) Err() error {
	how := "exit status 0"
	if p.err != nil {
		how = p.err.Error()
	}
	if last := p.lastLine(); last != "" {
		how += ": " + last
	}
	return fmt.Errorf("%s; its output is in %s", how, p.log)
}

// Stop asks the child to end, kills it and all of its group when it has not
// done so within its grace, and returns when it is gone.
func (p *Process) Stop() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(p.grace):
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
	_ = p.stdin.Close()
}

func (p *Process) lastLine() string {
	const enough = 64 << 10
	b, err := os.ReadFile(p.log)
	if err != nil {
		return ""
	}
	text := strings.TrimSpace(string(b[max(0, len(b)-enough):]))
	return text[strings.LastIndexByte(text, '\n')+1:]
}
