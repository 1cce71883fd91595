package stack

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// endWithin bounds an orderly end; holdfast-dev itself gives up earlier.
const endWithin = 15 * time.Second

// program is a running holdfast-dev.
type program struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	stderr *bytes.Buffer // read it only after done is closed
	done   chan struct{}
	stack  Stack
}

// start runs holdfast-dev on free ports, or on those given, and returns when
// the stack is ready.
func start(o Options, ports []string) (*program, error) {
	path, err := build()
	if err != nil {
		return nil, err
	}
	args := []string{"up", "--json", "--until-stdin-closes", "--dir", o.Dir, "--only", string(o.Only)}
	if ports == nil {
		ports = []string{"--temporal-port", "0", "--ui-port", "0", "--blob-port", "0"}
	}
	p := &program{cmd: exec.Command(path, append(args, ports...)...), stderr: new(bytes.Buffer), done: make(chan struct{})}
	p.cmd.Stderr = p.stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, readErr := bufio.NewReader(stdout).ReadBytes('\n')
	go func() {
		_ = p.cmd.Wait() // by exit status or signal; both are an end
		close(p.done)
	}()
	if readErr != nil {
		<-p.done
		return nil, errors.New(strings.TrimSpace(p.stderr.String()))
	}
	return p, json.Unmarshal(line, &p.stack)
}

// stop ends the stack in order.
func (p *program) stop() {
	_ = p.stdin.Close()
	select {
	case <-p.done:
	case <-time.After(endWithin):
		p.kill()
	}
}

// kill ends holdfast-dev as kill -9 does.
func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// signal sends a signal to holdfast-dev and the programs that it has started.
func (p *program) signal(s syscall.Signal) error {
	own := p.cmd.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", own, own))
	if err != nil {
		return err
	}
	errs := []error{p.cmd.Process.Signal(s)}
	for _, field := range strings.Fields(string(children)) {
		pid, err := strconv.Atoi(field)
		if err == nil {
			err = syscall.Kill(pid, s)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// build makes .build/holdfast-dev, which takes minutes on a machine that has
// never done it. Test binaries that run side by side wait for each other.
func build() (string, error) {
	root, err := workTree()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, ".build")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "holdfast-dev.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	out, err := exec.Command("make", "--no-print-directory", "-C", root, ".build/holdfast-dev").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build holdfast-dev: %w\n%s", err, out)
	}
	return filepath.Join(dir, "holdfast-dev"), nil
}

// workTree is the directory above this one that holds dev/.
func workTree() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "dev", "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no work tree of Holdfast around the tests")
		}
	}
}
