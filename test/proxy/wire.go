package proxy

import (
	"net"
	"sync"
	"testing"
	"time"
)

// Wire is the network between clients and a server that speaks something else than
// HTTP requests. It forwards bytes, until it is told to fail as networks do.
type Wire struct {
	Address string // to connect to, host:port

	target   string
	listener net.Listener
	links    sync.WaitGroup

	mu    sync.Mutex
	state weather
	delay time.Duration
	turn  chan struct{} // closed when state changes
	ended bool
	open  map[net.Conn]bool
}

// weather is what happens to bytes that have come to the end of a Wire.
type weather int

const (
	clear    weather = iota // they are delivered
	held                    // they wait
	swallows                // they are lost, and so is the connection, though neither end hears of it
	resets                  // connections are reset
)

// StartWire begins to forward to the server at target until the test ends.
func StartWire(t testing.TB, target string) *Wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Wire{Address: l.Addr().String(), target: target, listener: l, turn: make(chan struct{}), open: map[net.Conn]bool{}}
	w.links.Go(w.accept)
	t.Cleanup(w.end)
	return w
}

// Deliver delivers everything, each byte after delay, what was held included. A
// connection of which bytes were swallowed stays without an answer.
func (w *Wire) Deliver(delay time.Duration) { w.set(clear, delay) }

// Hold keeps all bytes, of new connections too, until Deliver: a cable is pulled.
func (w *Wire) Hold() { w.set(held, 0) }

// Swallow loses all bytes, of new connections too, and keeps connections open: a
// machine between the two ends has forgotten them.
func (w *Wire) Swallow() { w.set(swallows, 0) }

// Reset ends all connections, and each new one.
func (w *Wire) Reset() {
	w.set(resets, 0)
	w.Cut()
}

// Cut ends all connections there are.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.open {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
}

func (w *Wire) set(s weather, delay time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state, w.delay = s, delay
	close(w.turn)
	w.turn = make(chan struct{})
}

func (w *Wire) now() (s weather, delay time.Duration, turn <-chan struct{}, ended bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state, w.delay, w.turn, w.ended
}

func (w *Wire) end() {
	_ = w.listener.Close()
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	w.set(clear, 0)
	w.Cut()
	w.links.Wait()
}

func (w *Wire) accept() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.target)
		if s, _, _, _ := w.now(); err != nil || s == resets {
			_ = near.(*net.TCPConn).SetLinger(0)
			_ = near.Close()
			if err == nil {
				_ = far.Close()
			}
			continue
		}
		w.keep(near, far)
		l := &link{wire: w}
		w.links.Go(func() { l.carry(near, far) })
		w.links.Go(func() { l.carry(far, near) })
	}
}

// keep notes connections for Cut.
func (w *Wire) keep(both ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range both {
		w.open[c] = !w.ended
	}
}

// drop closes a connection.
func (w *Wire) drop(c net.Conn) {
	w.mu.Lock()
	delete(w.open, c)
	w.mu.Unlock()
	_ = c.Close()
}

// link is one connection through a Wire.
type link struct {
	wire *Wire
	mu   sync.Mutex
	lost bool
}

// parcel is what was read at once; without bytes it is the connection's end.
type parcel struct {
	bytes []byte
	read  time.Time
}

// carry takes what comes from one end to the other, the end of the connection
// included.
func (l *link) carry(from, to net.Conn) {
	const room = 1 << 16 // parcels, which no test fills
	way := make(chan parcel, room)
	l.wire.links.Go(func() {
		defer close(way)
		for {
			b := make([]byte, 32<<10)
			n, err := from.Read(b)
			if err != nil {
				return
			}
			way <- parcel{b[:n], time.Now()}
		}
	})
	for p := range way {
		if l.arrives(p.read) {
			_, _ = to.Write(p.bytes) // who has gone does not read it
		}
	}
	l.wire.drop(from)
	if l.arrives(time.Now()) {
		l.wire.drop(to)
	}
}

// arrives waits for what was read at some time to arrive, and tells whether it does.
func (l *link) arrives(read time.Time) bool {
	for {
		s, delay, turn, ended := l.wire.now()
		if ended {
			return true
		}
		if s == clear && time.Since(read) >= delay {
			break
		}
		if s == swallows {
			l.lose()
			return false
		}
		var due <-chan time.Time
		if s == clear {
			due = time.After(delay - time.Since(read))
		}
		select {
		case <-due:
		case <-turn:
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.lost
}

func (l *link) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = true
}
