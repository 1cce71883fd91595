package stack

import (
	"net"
	"net/url"
	"syscall"
	"testing"
	"time"
)

// Part is what a stack of a test's own consists of.
type Part string

// Parts of a stack.
const (
	Both     Part = ""
	Temporal Part = "temporal"
	Azurite  Part = "azurite"
)

// Options describe a stack of a test's own.
type Options struct {
	Only Part
	Dir  string // its state; empty for StartOwn: a directory of the test
}

// Own is a stack that one test may end and start again. The state and the
// addresses stay the same.
type Own struct {
	Stack
	options Options
	program *program // nil while it is down
}

// StartOwn starts a stack for this test alone. It ends with the test.
func StartOwn(t testing.TB, o Options) *Own {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	own := &Own{options: o}
	t.Cleanup(func() {
		if own.program != nil {
			own.program.stop()
		}
	})
	own.Start(t)
	return own
}

// Start brings a stack that was stopped or killed back and returns when it is
// ready.
func (o *Own) Start(t testing.TB) {
	t.Helper()
	ports, err := o.ports()
	if err != nil {
		t.Fatal(err)
	}
	if o.program, err = start(o.options, ports); err != nil {
		t.Fatal(err)
	}
	o.Stack = o.program.stack
}

// Stop ends the stack in order; connections are refused from then on.
func (o *Own) Stop() {
	o.program.stop()
	o.program = nil
}

// Kill ends the stack as kill -9 does, and returns when connections are
// refused. Temporal loses nothing that it has acknowledged. Azurite is not
// killed but asked to end, for it would lose the puts of the last 5 seconds,
// which the service that it stands for never does.
func (o *Own) Kill(t testing.TB) {
	t.Helper()
	const within = 10 * time.Second
	o.program.kill()
	o.program = nil
	for _, address := range []string{o.Temporal, host(o.Blob)} {
		for end := time.Now().Add(within); listening(address); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s still answers %v after the kill", address, within)
			}
		}
	}
}

// Freeze stops the stack's processes where they are; connections to it stay. Parts that
// holdfast-dev has started as programs of their own are stopped, too.
func (o *Own) Freeze(t testing.TB) { o.signal(t, syscall.SIGSTOP) }

// Thaw lets a frozen stack go on.
func (o *Own) Thaw(t testing.TB) { o.signal(t, syscall.SIGCONT) }

func (o *Own) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := o.program.signal(s); err != nil {
		t.Fatal(err)
	}
}

// ports are the flags for the addresses that this stack has had, nil at first.
func (o *Own) ports() ([]string, error) {
	var flags []string
	for name, address := range map[string]string{
		"--temporal-port": o.Temporal, "--ui-port": host(o.UI), "--blob-port": host(o.Blob),
	} {
		if address == "" {
			continue
		}
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		flags = append(flags, name, port)
	}
	return flags, nil
}

func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

func listening(address string) bool {
	if address == "" {
		return false
	}
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}
