// Package port finds TCP ports on the loopback interface for servers that
// want to be told theirs before they start.
//
// A port is free at the moment it is chosen; nothing is reserved. Free ports
// are drawn at random from below the range that Linux gives to outgoing
// connections, so that two programs that choose at the same time, or a busy
// client, hardly ever get in each other's way.
package port

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"time"
)

// Loopback is the address that every server of the stack listens on.
const Loopback = "127.0.0.1"

const (
	lowest = 20000
	beyond = 32000
	tries  = 200

	// A server that was killed needs a moment until its port is free again.
	patience = 3 * time.Second
	pause    = 50 * time.Millisecond
)

// ErrTaken says that a port that was asked for by number cannot be had.
var ErrTaken = errors.New("port taken")

// Free returns a port on which nobody listens.
func Free() (int, error) {
	for range tries {
		n := lowest + rand.IntN(beyond-lowest)
		if usable(n) {
			return n, nil
		}
	}
	return 0, fmt.Errorf("no free port between %d and %d after %d tries", lowest, beyond-1, tries)
}

// Usual returns n, or a free port when n is taken.
func Usual(n int) (int, error) {
	if usable(n) {
		return n, nil
	}
	return Free()
}

// Exactly returns n once it can be listened on. It waits a few seconds for
// the port's last user to go, then returns ErrTaken.
func Exactly(n int) (int, error) {
	for end := time.Now().Add(patience); !usable(n); time.Sleep(pause) {
		if time.Now().After(end) {
			return 0, fmt.Errorf("%w: %d; name another one, or 0 for any", ErrTaken, n)
		}
	}
	return n, nil
}

// Address returns port n of the loopback interface as host:port.
func Address(n int) string {
	return net.JoinHostPort(Loopback, strconv.Itoa(n))
}

func usable(n int) bool {
	l, err := net.Listen("tcp", Address(n))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
