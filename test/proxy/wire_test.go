package proxy_test

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/test/proxy"
)

// echo is a server that sends back what it gets.
func echo(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// caller is a connection through a Wire.
type caller struct {
	t *testing.T
	net.Conn
	lines *bufio.Reader
}

func call(t *testing.T, w *proxy.Wire) *caller {
	t.Helper()
	c, err := net.Dial("tcp", w.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &caller{t, c, bufio.NewReader(c)}
}

// hears tells whether words come back within some time.
func (c *caller) hears(words string, within time.Duration) bool {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, words+"\n"); err != nil {
		return false
	}
	return c.reads(words, within)
}

func (c *caller) reads(words string, within time.Duration) bool {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(within))
	line, err := c.lines.ReadString('\n')
	return err == nil && line == words+"\n"
}

const (
	soon  = 10 * time.Second
	while = 300 * time.Millisecond
)

func TestAWireDelivers(t *testing.T) {
	w := proxy.StartWire(t, echo(t))
	c := call(t, w)
	if !c.hears("a", soon) {
		t.Error("no answer")
	}
	w.Deliver(while / 2)
	if begun := time.Now(); !c.hears("b", soon) || time.Since(begun) < while {
		t.Errorf("an answer took %v, want %v at least", time.Since(begun), while)
	}
}

func TestWhatAWireHeldIsDeliveredLater(t *testing.T) {
	w := proxy.StartWire(t, echo(t))
	old := call(t, w)
	w.Hold()
	young := call(t, w)
	if old.hears("a", while) || young.hears("b", while) {
		t.Error("an answer came through")
	}
	w.Deliver(0)
	if !old.reads("a", soon) || !young.reads("b", soon) {
		t.Error("no answer, after all")
	}
}

func TestAWireThatSwallowsLeavesConnectionsWithoutAnAnswer(t *testing.T) {
	w := proxy.StartWire(t, echo(t))
	old, silent := call(t, w), call(t, w)
	if !old.hears("a", soon) || !silent.hears("a", soon) {
		t.Error("no answer")
	}
	w.Swallow()
	young := call(t, w)
	if old.hears("b", while) || young.hears("b", while) {
		t.Error("an answer came through")
	}
	w.Deliver(0)
	if old.hears("c", while) || young.hears("c", while) {
		t.Error("bytes were lost, and later ones delivered")
	}
	if !silent.hears("c", soon) || !call(t, w).hears("c", soon) {
		t.Error("no answer where nothing was lost")
	}
}

func TestAWireResets(t *testing.T) {
	w := proxy.StartWire(t, echo(t))
	c := call(t, w)
	if !c.hears("a", soon) {
		t.Error("no answer")
	}
	w.Reset()
	if c.hears("b", soon) || call(t, w).hears("b", soon) {
		t.Error("an answer came through")
	}
	w.Deliver(0)
	if c = call(t, w); !c.hears("c", soon) {
		t.Error("no answer")
	}
	w.Cut()
	if c.hears("d", soon) {
		t.Error("the connection was not cut")
	}
}
