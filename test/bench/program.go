package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// endWithin bounds an orderly end, last pass included.
const endWithin = 2 * time.Minute

// process is a program under way.
type process struct {
	cmd   *exec.Cmd
	log   string // file with what it printed
	begun time.Time
	done  chan struct{}
	err   error // what it ended with, once done is closed
}

// start starts a program whose output goes to the file log.
func start(env []string, log, path string, args ...string) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // the program has its own
	p := &process{cmd: exec.Command(path, args...), log: log, begun: time.Now(), done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, f, f
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL} // Ctrl-C is for this program alone
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(path), err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// end ends p in order.
func (p *process) end() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(endWithin):
		p.kill()
		return fmt.Errorf("%s did not end within %v", p.name(), endWithin)
	}
	return nil
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// crash ends p as a crash would.
func (p *process) crash() error {
	p.kill()
	return nil
}

func (p *process) name() string { return filepath.Base(p.cmd.Path) }

// ended is the error for a program that ended while it was needed.
func (p *process) ended() error {
	printed, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s ended by itself: %w: %s", p.name(), p.err, bytes.TrimSpace(printed[max(0, len(printed)-2000):]))
}

// peakMemory is the most memory that p has had, in bytes.
func (p *process) peakMemory() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kibibytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kibibytes << 10, err
		}
	}
	return 0, errors.New("the system does not tell VmHWM")
}

// processor is how long p has kept a core busy.
func (p *process) processor() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), ") ") // the name may hold anything
	fields := strings.Fields(after)
	const user, system, ticks = 11, 12, 100 // a tick is 10 ms on Linux, for programs
	if len(fields) <= system {
		return 0, errors.New("the system does not tell the processor time")
	}
	sum := time.Duration(0)
	for _, field := range []string{fields[user], fields[system]} {
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * time.Second / ticks
	}
	return sum, nil
}

// execute runs a program to its end.
func execute(ctx context.Context, env []string, path string, args ...string) error {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", filepath.Base(path), strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

func copyFile(ctx context.Context, from, to string) error {
	return execute(ctx, nil, "/bin/cp", from, to)
}
