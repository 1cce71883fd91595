package main_test

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/holdfast-db/holdfast/dev/stack"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustBeOneLine(t *testing.T, got, want string) {
	t.Helper()
	if strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "holdfast-dev: ") || !strings.Contains(got, want) {
		t.Errorf("got %q, want one line with %q", got, want)
	}
}

// mustBeGone gives a process whose parent was killed a moment to notice.
func mustBeGone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); running(pid); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d is left", pid)
		}
	}
}

// running is false for a process that has ended and that nobody waited for.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

func listening(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

func blobHost(p *program) string {
	u, err := url.Parse(p.endpoints.Blob)
	must(p.t, err)
	return u.Host
}

func get(t *testing.T, address string) int {
	t.Helper()
	resp, err := http.Get(address)
	must(t, err)
	must(t, resp.Body.Close())
	return resp.StatusCode
}

var phase = temporal.NewSearchAttributeKeyKeyword("HoldfastPhase")

func mustDial(t *testing.T, address string) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: address})
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

// mustStartWorkflow starts one that no worker will ever run. It carries a
// search attribute, which the server refuses when it does not know it.
func mustStartWorkflow(t *testing.T, address, id string) {
	t.Helper()
	_, err := mustDial(t, address).ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: id, TaskQueue: "nobody", TypedSearchAttributes: temporal.NewSearchAttributes(phase.ValueSet("Starting")),
	}, "Nothing")
	must(t, err)
}

func mustHaveWorkflow(t *testing.T, address, id string) {
	t.Helper()
	_, err := mustDial(t, address).DescribeWorkflowExecution(t.Context(), id, "")
	must(t, err)
}

func mustBlob(t *testing.T, e stack.Endpoints) *azblob.Client {
	t.Helper()
	c, err := azblob.NewClientFromConnectionString(e.ConnectionString, nil)
	must(t, err)
	return c
}

func mustPut(t *testing.T, e stack.Endpoints, name string) {
	t.Helper()
	_, err := mustBlob(t, e).UploadBuffer(t.Context(), e.Container, name, []byte(name), nil)
	must(t, err)
}

func mustHaveBlob(t *testing.T, e stack.Endpoints, name string) {
	t.Helper()
	b := make([]byte, len(name))
	_, err := mustBlob(t, e).DownloadBuffer(t.Context(), e.Container, name, b, nil)
	must(t, err)
	if string(b) != name {
		t.Errorf("blob %s: got %q", name, b)
	}
}
