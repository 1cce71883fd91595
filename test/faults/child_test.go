package faults_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/file"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// A child is a worker in a process of its own, which can be stopped, killed and
// looked at from outside. It is this test program, started again.
type child struct {
	host.Database
	StateDir string
	Store    string // directory; empty for memory of its own
	Silence  time.Duration

	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// childVariable holds a child as JSON.
const childVariable = "HOLDFAST_TEST_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		signal.Ignore(os.Interrupt)
		var c child
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			panic(err)
		}
		c.serve()
		return
	}
	os.Exit(m.Run())
}

// serve makes a pass for each line of standard input and says how it went.
func (c *child) serve() {
	var store blob.Store = mem.New()
	if c.Store != "" {
		store = file.New(c.Store)
	}
	h, err := host.New(host.Options{
		StateDir: c.StateDir, Silence: c.Silence,
		Log:         slog.New(slog.DiscardHandler),
		OpenReplica: func(context.Context, string) (*replica.Replica, error) { return replica.New(store), nil },
	})
	if err != nil {
		panic(err)
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if lines.Text() != "pass" {
			fmt.Println(lines.Text())
			continue
		}
		res, err := h.SyncOnce(context.Background(), c.Database, 0)
		if err != nil {
			fmt.Println("failed:", strings.Join(strings.Fields(err.Error()), " "))
			continue
		}
		fmt.Printf("at %d, %d resyncs\n", res.TXID, res.Resyncs)
	}
	_ = h.Close(context.Background())
}

// start starts the child, under the program and arguments in under, if any.
func (c *child) start(t *testing.T, under ...string) *child {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	args := append(under, os.Args[0])
	c.cmd = exec.Command(args[0], args[1:]...)
	c.cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.quit)
	return c
}

// quit ends the child in order.
func (c *child) quit() {
	_ = c.in.Close()
	_ = c.cmd.Wait()
}

// say sends a line and returns the answer.
func (c *child) say(t *testing.T, line string) string {
	t.Helper()
	c.send(t, line)
	return c.answer(t)
}

func (c *child) send(t *testing.T, line string) {
	t.Helper()
	if _, err := fmt.Fprintln(c.in, line); err != nil {
		t.Fatal(err)
	}
}

func (c *child) answer(t *testing.T) string {
	t.Helper()
	if !c.out.Scan() {
		t.Fatalf("the worker ended: %v", c.out.Err())
	}
	return c.out.Text()
}

func (c *child) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
