package stack_test

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"go.temporal.io/sdk/client"

	"github.com/holdfast-db/holdfast/test/stack"
)

// childVariable makes this test binary one that starts a stack and hangs.
const childVariable = "HOLDFAST_TEST_CHILD"

func TestMain(m *testing.M) {
	stack.Main(m)
}

func TestServesTemporalAndBlobs(t *testing.T) {
	s := stack.Start(t)
	if again := stack.Start(t); again != s {
		t.Error("a second stack in one test binary")
	}
	mustReach(t, s.Temporal)
	container := s.NewContainer(t)
	mustPut(t, s, container, "a")
	if other := s.NewContainer(t); other == container {
		t.Errorf("two containers are both %s", other)
	}
}

func TestTemporalComesBackWithItsWorkflows(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers of its own")
	}
	own := stack.StartOwn(t, stack.Options{Only: stack.Temporal})
	if own.Blob != "" {
		t.Errorf("Temporal alone: got Azurite at %s", own.Blob)
	}
	address := own.Temporal
	mustStartWorkflow(t, address, "kept")
	own.Kill(t)
	if listening(address) {
		t.Error("Temporal answers after it was killed")
	}
	own.Start(t)
	if own.Temporal != address {
		t.Errorf("came back at %s, was at %s", own.Temporal, address)
	}
	mustHaveWorkflow(t, address, "kept")
}

func TestAzuriteComesBackWithItsBlobs(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers of its own")
	}
	own := stack.StartOwn(t, stack.Options{Only: stack.Azurite})
	container := own.NewContainer(t)
	for name, end := range map[string]func(){"stopped": own.Stop, "killed": func() { own.Kill(t) }} {
		mustPut(t, &own.Stack, container, name)
		end()
		own.Start(t)
		mustHave(t, &own.Stack, container, name)
	}
}

func TestEndsWithAKilledTestBinary(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers of its own")
	}
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self, "-test.run", "^TestChild$", "-test.v")
	cmd.Env = append(os.Environ(), stack.Variable+"=", childVariable+"=1")
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	address := mustReadAddress(t, bufio.NewScanner(stdout))
	if !listening(address) {
		t.Fatalf("nobody listens on %s", address)
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for end := time.Now().Add(10 * time.Second); listening(address); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s still answers 10 s after the test binary was killed", address)
		}
	}
}

// TestChild is the test binary that TestEndsWithAKilledTestBinary kills.
func TestChild(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		return
	}
	_, _ = os.Stdout.WriteString("address " + stack.Start(t).Temporal + "\n")
	time.Sleep(time.Minute)
}

func mustReadAddress(t *testing.T, lines *bufio.Scanner) string {
	t.Helper()
	for lines.Scan() {
		if address, ok := strings.CutPrefix(lines.Text(), "address "); ok {
			return address
		}
	}
	t.Fatal("the child started no stack")
	return ""
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func listening(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

func mustReach(t *testing.T, address string) {
	t.Helper()
	_, err := mustDial(t, address).CheckHealth(t.Context(), nil)
	must(t, err)
}

func mustDial(t *testing.T, address string) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: address})
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

func mustStartWorkflow(t *testing.T, address, id string) {
	t.Helper()
	o := client.StartWorkflowOptions{ID: id, TaskQueue: "nobody"}
	_, err := mustDial(t, address).ExecuteWorkflow(t.Context(), o, "Nothing")
	must(t, err)
}

func mustHaveWorkflow(t *testing.T, address, id string) {
	t.Helper()
	_, err := mustDial(t, address).DescribeWorkflowExecution(t.Context(), id, "")
	must(t, err)
}

func mustBlobs(t *testing.T, s *stack.Stack) *azblob.Client {
	t.Helper()
	c, err := azblob.NewClientFromConnectionString(s.ConnectionString, nil)
	must(t, err)
	return c
}

func mustPut(t *testing.T, s *stack.Stack, container, name string) {
	t.Helper()
	_, err := mustBlobs(t, s).UploadBuffer(t.Context(), container, name, []byte(name), nil)
	must(t, err)
}

func mustHave(t *testing.T, s *stack.Stack, container, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	b := make([]byte, len(name))
	_, err := mustBlobs(t, s).DownloadBuffer(ctx, container, name, b, nil)
	must(t, err)
	if string(b) != name {
		t.Errorf("blob %s: got %q", name, b)
	}
}
