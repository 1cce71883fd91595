// Package stack gives tests a real Temporal and a real Azure Blob Storage
// emulator: the program holdfast-dev, built from dev/ when it is not there.
//
// A test binary starts one stack at most and shares it among its tests. The
// stack ends when the binary does, however it does: holdfast-dev watches a
// pipe that only the binary holds. `make test` starts one for all binaries
// and hands it down in HOLDFAST_TEST_STACK, as the JSON line that
// `holdfast-dev up --json` prints.
//
// Tests of one stack see each other's workflows and blobs, so each takes a
// container of its own and unique workflow ids.
package stack

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// Variable names a running stack for tests to use.
const Variable = "HOLDFAST_TEST_STACK"

// Stack is where clients find a running stack. What does not run is empty.
type Stack struct {
	Temporal         string `json:"temporal"`          // host:port
	UI               string `json:"ui"`                // URL of the Web UI
	Blob             string `json:"blob"`              // URL with the account
	ConnectionString string `json:"connection_string"` // Azure's format
	Account          string `json:"account"`
	Container        string `json:"container"` // exists from the start
}

// shared is the stack of this test binary.
var shared struct {
	once    sync.Once
	program *program // nil when the stack is another's
	stack   *Stack
	err     error
}

// Start returns this test binary's stack, which the first call starts.
func Start(t testing.TB) *Stack {
	t.Helper()
	shared.once.Do(func() {
		shared.stack, shared.program, shared.err = open(os.Getenv(Variable))
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.stack
}

// Main runs the tests, ends the stack, waits for its end and exits. It is for
// TestMain of packages that want the stack's files gone before go test says
// that it is done; without it the stack ends on its own a moment later.
func Main(m *testing.M) {
	code := m.Run()
	if shared.program != nil {
		shared.program.stop()
	}
	os.Exit(code)
}

func open(given string) (*Stack, *program, error) {
	if given != "" {
		s, err := use(given)
		return s, nil, err
	}
	p, err := start(Options{}, nil)
	if err != nil {
		return nil, nil, err
	}
	return &p.stack, p, nil
}

// use takes a stack that somebody else started.
func use(given string) (*Stack, error) {
	const within = 5 * time.Second
	s := new(Stack)
	if err := json.Unmarshal([]byte(given), s); err != nil {
		return nil, fmt.Errorf("%s is not the JSON line of `holdfast-dev up --json`: %w", Variable, err)
	}
	c, err := net.DialTimeout("tcp", s.Temporal, within)
	if err != nil {
		return nil, fmt.Errorf("%s names a stack that does not answer: %w; unset it, or start that stack", Variable, err)
	}
	return s, c.Close()
}
