package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// app is an application: a process of its own that has the database open.
type app struct {
	name    string
	shell   bool // the sqlite3 program of the machine; else our own, with the driver's SQLite
	shimmed bool // one of its writes or syncs is going to fail
	reading bool // holds a read transaction open
	cmd     *exec.Cmd
	in      io.WriteCloser
	lines   chan string // closed when the process has ended
	said    int         // sentinels printed so far
}

// Why a statement came to nothing.
var (
	errDied = errors.New("application died")
	errHung = errors.New("application hangs")
)

// sqlError is SQLite's own.
type sqlError struct{ line string }

func (e sqlError) Error() string { return e.line }

func isSQL(err error) bool { return errors.As(err, new(sqlError)) }

// answerWithin is how long statements may take before the application is taken
// to hang.
const answerWithin = 60 * time.Second

// startApp connects a process to the database at path. env goes to its
// environment.
func startApp(name string, shell bool, path string, env ...string) (*app, error) {
	cmd := exec.Command("/proc/self/exe", "app", path)
	if shell {
		cmd = exec.Command("sqlite3", "-batch", path)
	}
	a := &app{name: name, shell: shell, cmd: cmd, lines: make(chan string, 64), shimmed: len(env) > 0}
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = ownGroup()
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start application %s (the sqlite3 program is in Debian's package of that name): %w", name, err)
	}
	a.in = in
	go a.listen(out)
	return a, nil
}

// ownGroup keeps an interrupt at the terminal from children, which are told to
// end in order, and lets none survive its parent.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func (a *app) listen(out io.Reader) {
	defer close(a.lines)
	s := bufio.NewScanner(out)
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		a.lines <- s.Text()
	}
}

// run runs statements one after the other, up to the first that SQLite refuses,
// and returns what they printed. Those after it would run in transactions of
// their own if the refusal has ended theirs.
func (a *app) run(statements ...string) (lines []string, err error) {
	return a.runWithin(answerWithin, statements...)
}

func (a *app) runWithin(within time.Duration, statements ...string) (lines []string, err error) {
	for _, statement := range statements {
		if err := a.send(statement); err != nil {
			return lines, err
		}
		more, err := a.receive(within)
		lines = append(lines, more...)
		if err != nil {
			return lines, err
		}
	}
	return lines, nil
}

// send gives a statement to the application without waiting for it.
func (a *app) send(statement string) error {
	a.said++
	text := statement + "\n" + printWord + a.sentinel() + "\n"
	if _, err := io.WriteString(a.in, text); err != nil {
		return fmt.Errorf("%w: %s: %w", errDied, a.name, err)
	}
	return nil
}

func (a *app) sentinel() string { return fmt.Sprintf("done-%d", a.said) }

func (a *app) receive(within time.Duration) (lines []string, err error) {
	limit := time.After(within)
	for {
		select {
		case line, ok := <-a.lines:
			switch {
			case !ok:
				return lines, fmt.Errorf("%w: %s", errDied, a.name)
			case line == a.sentinel():
				return lines, err
			case isError(line):
				if err == nil {
					err = sqlError{line}
				}
			default:
				lines = append(lines, line)
			}
		case <-limit:
			return lines, fmt.Errorf("%w: %s", errHung, a.name)
		}
	}
}

func isError(line string) bool {
	for _, begin := range []string{"Error:", "Runtime error", "Parse error", "Error near"} {
		if strings.HasPrefix(line, begin) {
			return true
		}
	}
	return false
}

// quit ends the application in order and tells whether it did not end so.
func (a *app) quit() error {
	_ = a.in.Close() // which ends it
	limit := time.AfterFunc(answerWithin, func() { _ = a.cmd.Process.Kill() })
	defer limit.Stop()
	for range a.lines { // until it has ended
	}
	return a.cmd.Wait()
}

// kill ends the application as a crash would.
func (a *app) kill() {
	_ = a.cmd.Process.Kill()
	for range a.lines { // what it had said already
	}
	_ = a.cmd.Wait()
}
