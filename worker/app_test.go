package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func mustWrite(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// machine is one without configuration, called Web-1.
func machine(t *testing.T, environ ...string) (world, *bytes.Buffer) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	return world{
		environ: append([]string{"HOME=" + t.TempDir()}, environ...),
		stdout:  &stdout, stderr: &stderr, uid: 1000,
		hostname:  func() (string, error) { return "Web-1", nil },
		contained: func() bool { return false },
	}, &stderr
}

// unreachable is an address that refuses connections.
func unreachable(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func mustFail(t *testing.T, stderr *bytes.Buffer, got, want int, line string) {
	t.Helper()
	text := stderr.String()
	if got != want {
		t.Errorf("got exit status %d, want %d", got, want)
	}
	if strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "holdfast-worker: ") || !strings.Contains(text, line) {
		t.Errorf("got  %q\nwant one line with %q", text, line)
	}
}

func TestWrongUsage(t *testing.T) {
	for _, row := range []struct {
		name, file, args, want string
		env                    []string
	}{
		{name: "unknown flag", args: "--colour", want: "unknown flag: --colour; see holdfast-worker --help"},
		{name: "an argument", args: "shop.db", want: `unexpected argument "shop.db"; list databases in the configuration file`},
		{name: "unknown key", file: "snyc: {}", want: "unknown key snyc; did you mean sync?"},
		{name: "unknown variable", env: []string{"HOLDFAST_REPLCIA=x"}, want: "did you mean HOLDFAST_REPLICA?"},
		{name: "a bad flag", args: "--sync-interval=soon", want: `--sync-interval: got "soon"`},
		{name: "a file that is not there", args: "--config /nosuch.yml", want: "/nosuch.yml"},
		{name: "a secret that is not there", file: "azure: {sas-file: /nosuch}", want: "read secret: open /nosuch"},
		{name: "a database without a replica", file: "databases: [{path: /a.db}]", want: "a has no replica"},
		{name: "wrong settings for Temporal", env: []string{"TEMPORAL_PROFILE=nosuch"}, want: "connect: temporal settings: "},
	} {
		t.Run(row.name, func(t *testing.T) {
			w, stderr := machine(t, row.env...)
			w.search = []string{mustWrite(t, "holdfast.yml", row.file)}
			mustFail(t, stderr, run(t.Context(), w, strings.Fields(row.args)), statusUsage, row.want)
		})
	}
}

func TestUnreachableTemporal(t *testing.T) {
	address := unreachable(t)
	w, stderr := machine(t, "TEMPORAL_ADDRESS="+address)
	w.patience = 600 * time.Millisecond
	begun := time.Now()
	mustFail(t, stderr, run(t.Context(), w, nil), statusFailed, "connect: temporal does not answer: "+address+": connection refused; start it, or set TEMPORAL_ADDRESS")
	if took := time.Since(begun); took < w.patience || took > 10*time.Second {
		t.Errorf("it took %v, want the patience of %v and no more than 10 s", took, w.patience)
	}
}

func TestInterruptedStart(t *testing.T) {
	for cause, want := range map[error]int{errInterrupted: statusInterrupted, errTerminated: statusDone} {
		w, stderr := machine(t, "TEMPORAL_ADDRESS="+unreachable(t))
		w.patience = time.Minute
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
		if got := run(ctx, w, nil); got != want || stderr.Len() > 0 {
			t.Errorf("%v: got %d, %q, want %d and nothing", cause, got, stderr, want)
		}
	}
}

func TestTheHostOfAContainerMustBeSet(t *testing.T) {
	w, stderr := machine(t, "TEMPORAL_ADDRESS="+unreachable(t))
	w.contained = func() bool { return true }
	mustFail(t, stderr, run(t.Context(), w, nil), statusUsage, "host is not set, and a container's host name does not last; set host, HOLDFAST_HOST or --host")
	stderr.Reset()
	mustFail(t, stderr, run(t.Context(), w, []string{"--host", "db-7"}), statusFailed, "connect: ")
}

func TestASecondWorkerOfAHostIsRefused(t *testing.T) {
	dir := t.TempDir()
	release, err := lockHost(filepath.Join(dir, "hosts", "web-1"), "web-1")
	if err != nil {
		t.Fatal(err)
	}
	w, stderr := machine(t, "TEMPORAL_ADDRESS="+unreachable(t), "HOLDFAST_STATE_DIR="+dir)
	mustFail(t, stderr, run(t.Context(), w, nil), statusFailed, "host web-1: another worker of that name runs here, process "+pid()+"; stop it")
	stderr.Reset()
	mustFail(t, stderr, run(t.Context(), w, []string{"--host", "web-2"}), statusFailed, "connect: ")
	release()
	stderr.Reset()
	mustFail(t, stderr, run(t.Context(), w, nil), statusFailed, "connect: ")
}

func TestAStateDirectoryThatCannotBe(t *testing.T) {
	w, stderr := machine(t, "HOLDFAST_STATE_DIR="+mustWrite(t, "file", ""))
	mustFail(t, stderr, run(t.Context(), w, nil), statusFailed, "state directory: ")
}
