package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/dev/stack"
)

// binary is beside the installation of Azurite that make uses too.
var binary string

func TestMain(m *testing.M) {
	root, err := filepath.Abs("../.build")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(root, "holdfast-dev")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build %s: %v\n%s", binary, err, out)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// program is a running holdfast-dev.
type program struct {
	t         *testing.T
	cmd       *exec.Cmd
	stdin     io.Closer
	stderr    bytes.Buffer
	endpoints stack.Endpoints
}

// mustUp starts `up` on free ports and returns when it has said where it is.
func mustUp(t *testing.T, dir string, args ...string) *program {
	t.Helper()
	args = append([]string{
		"up", "--json", "--until-stdin-closes", "--dir", dir,
		"--temporal-port", "0", "--ui-port", "0", "--blob-port", "0",
	}, args...)
	return mustStart(t, os.Environ(), args...)
}

func mustStart(t *testing.T, env []string, args ...string) *program {
	t.Helper()
	p := &program{t: t, cmd: exec.Command(binary, args...)}
	p.cmd.Env, p.cmd.Stderr = env, &p.stderr
	stdin, err := p.cmd.StdinPipe()
	must(t, err)
	p.stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	must(t, err)
	must(t, p.cmd.Start())
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() })
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		_ = p.cmd.Wait()
		t.Fatalf("no endpoints: %v\n%s", err, p.stderr.String())
	}
	must(t, json.Unmarshal(line, &p.endpoints))
	return p
}

// mustEnd waits for the end and checks the exit status.
func (p *program) mustEnd(want int) {
	p.t.Helper()
	ended := make(chan struct{})
	go func() {
		_ = p.cmd.Wait() // the exit status is looked at below
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		p.t.Fatal("still running after 20 s")
	}
	if got := p.cmd.ProcessState.ExitCode(); got != want {
		p.t.Fatalf("exit status %d, want %d\n%s", got, want, p.stderr.String())
	}
}

// azurite is the process id of the program's only child.
func (p *program) azurite() int {
	p.t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.cmd.Process.Pid))
	must(p.t, err)
	var all []string
	for _, thread := range threads {
		b, err := os.ReadFile(thread)
		must(p.t, err)
		all = append(all, strings.Fields(string(b))...)
	}
	if len(all) != 1 {
		p.t.Fatalf("children %v, want one", all)
	}
	pid, err := strconv.Atoi(all[0])
	must(p.t, err)
	return pid
}

func TestUpServesEverythingUntilStdinCloses(t *testing.T) {
	p := mustUp(t, t.TempDir())
	if got := get(t, p.endpoints.UI); got != http.StatusOK {
		t.Errorf("GET %s: status %d", p.endpoints.UI, got)
	}
	for _, part := range []string{p.endpoints.Temporal, blobHost(p)} {
		if !listening(part) {
			t.Errorf("nobody listens on %s", part)
		}
	}
	azurite := p.azurite()
	must(t, p.stdin.Close())
	p.mustEnd(0)
	mustBeGone(t, azurite)
	if listening(p.endpoints.Temporal) || listening(blobHost(p)) {
		t.Error("a server is left")
	}
}

func TestStateSurvivesAKillThatLeavesNoProcess(t *testing.T) {
	dir := t.TempDir()
	p := mustUp(t, dir)
	azurite := p.azurite()
	mustStartWorkflow(t, p.endpoints.Temporal, "kept")
	mustPut(t, p.endpoints, "kept")

	must(t, p.cmd.Process.Kill())
	p.mustEnd(-1)
	mustBeGone(t, azurite)

	p = mustUp(t, dir)
	mustHaveWorkflow(t, p.endpoints.Temporal, "kept")
	mustHaveBlob(t, p.endpoints, "kept")
}

func TestUpEndsWhenAPartEnds(t *testing.T) {
	p := mustUp(t, t.TempDir(), "--only", "azurite")
	if p.endpoints.Temporal != "" {
		t.Errorf("--only azurite: got Temporal at %s", p.endpoints.Temporal)
	}
	must(t, syscall.Kill(p.azurite(), syscall.SIGKILL))
	p.mustEnd(1)
	mustBeOneLine(t, p.stderr.String(), "azurite ended by itself")
}

func TestUpEndsOnASignal(t *testing.T) {
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(s.String(), func(t *testing.T) {
			p := mustUp(t, "", "--only", "temporal")
			must(t, p.cmd.Process.Signal(s))
			p.mustEnd(0)
			if p.stderr.Len() > 0 {
				t.Errorf("stderr: %s", p.stderr.String())
			}
		})
	}
}

func TestUsualPortsGiveWay(t *testing.T) {
	for _, n := range []string{"7233", "8233"} {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", n))
		if err == nil { // else somebody has it, which is just as well
			defer func() { _ = l.Close() }()
		}
	}
	p := mustStart(t, os.Environ(), "up", "--json", "--until-stdin-closes", "--only", "temporal")
	if strings.HasSuffix(p.endpoints.Temporal, ":7233") || strings.HasSuffix(p.endpoints.UI, ":8233") {
		t.Errorf("ports that were taken: %+v", p.endpoints)
	}
	if got := get(t, p.endpoints.UI); got != http.StatusOK {
		t.Errorf("GET %s: status %d", p.endpoints.UI, got)
	}
}

// The script stands for the temporal program: it takes its command line and
// serves with the embedded server.
func TestUsesTheTemporalProgramOnThePath(t *testing.T) {
	bin, dir := t.TempDir(), t.TempDir()
	script := fmt.Sprintf(`#!/bin/sh
set -eu
[ "$1 $2 $3" = "server start-dev --headless=false" ]
echo "$@" > %[1]s/arguments
while [ $# -gt 0 ]; do
	case $1 in
	--port) port=$2 ;;
	--ui-port) ui=$2 ;;
	esac
	shift
done
PATH=/usr/bin:/bin exec %[2]s up --only temporal --dir %[1]s/inner --temporal-port $port --ui-port $ui
`, dir, binary)
	must(t, os.WriteFile(filepath.Join(bin, "temporal"), []byte(script), 0o755))
	env := append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	p := mustStart(t, env, "up", "--json", "--until-stdin-closes", "--only", "temporal", "--dir", dir, "--temporal-port", "0", "--ui-port", "0")

	arguments, err := os.ReadFile(filepath.Join(dir, "arguments"))
	must(t, err)
	for _, want := range []string{"--db-filename " + dir, "--search-attribute HoldfastPhase=Keyword"} {
		if !strings.Contains(string(arguments), want) {
			t.Errorf("arguments %s: want %s", arguments, want)
		}
	}
	must(t, p.stdin.Close())
	p.mustEnd(0)
	if listening(p.endpoints.Temporal) {
		t.Error("the program is left")
	}
}

func TestRunGivesItsCommandTheEndpoints(t *testing.T) {
	out, code := run(t, os.Environ(), "run", "--only", "temporal", "--temporal-port", "0", "--ui-port", "0",
		"--", "sh", "-c", `echo "$HOLDFAST_TEST_STACK"; exit 7`)
	if code != 7 {
		t.Errorf("exit status %d, want the command's, 7", code)
	}
	var e stack.Endpoints
	if err := json.Unmarshal([]byte(out), &e); err != nil || e.Temporal == "" {
		t.Errorf("HOLDFAST_TEST_STACK=%s: %v", out, err)
	}
	if listening(e.Temporal) {
		t.Error("Temporal is left")
	}
}

func TestFaultsAreOneLine(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = taken.Close() }()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	must(t, err)
	busy := t.TempDir()
	mustUp(t, busy, "--only", "temporal")

	for _, row := range []struct {
		name string
		args []string
		path string
		code int
		want string
	}{
		{name: "unknown command", args: []string{"start"}, code: 2, want: "unknown command"},
		{name: "unknown flag", args: []string{"up", "--port", "1"}, code: 2, want: "-port"},
		{name: "a word too many", args: []string{"up", "now"}, code: 2, want: `"now"`},
		{name: "no such port", args: []string{"up", "--ui-port", "70000"}, code: 2, want: "0 to 65535"},
		{name: "run without a command", args: []string{"run"}, code: 2, want: "name a command"},
		{name: "unknown part", args: []string{"up", "--only", "redis"}, code: 1, want: "temporal or azurite"},
		{name: "named port taken", args: []string{"up", "--only", "temporal", "--temporal-port", port}, code: 1, want: "port taken: " + port},
		{name: "directory in use", args: []string{"up", "--dir", busy}, code: 1, want: "another stack"},
		{name: "no node", args: []string{"up", "--only", "azurite"}, path: "/nonexistent", code: 1, want: "install Node.js"},
		{name: "no command", args: []string{"run", "--only", "temporal", "--", "/nonexistent"}, code: 1, want: "/nonexistent"},
	} {
		t.Run(row.name, func(t *testing.T) {
			env := os.Environ()
			if row.path != "" {
				env = append(env, "PATH="+row.path)
			}
			out, code := run(t, env, row.args...)
			if code != row.code {
				t.Errorf("exit status %d, want %d", code, row.code)
			}
			mustBeOneLine(t, out, row.want)
		})
	}
}

// run runs the program to its end and returns all that it wrote.
func run(t *testing.T, env []string, args ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = env
	b, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}
