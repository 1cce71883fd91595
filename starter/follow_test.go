package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// TestRestoreFollows follows until a state that comes meanwhile is there, is interrupted,
// and goes on.
func TestRestoreFollows(t *testing.T) {
	url, states := mustReplica(t)
	output := filepath.Join(t.TempDir(), "copy.db")
	changed := filepath.Join(t.TempDir(), "changed.db")
	mustWriteFile(t, changed, states[1])
	app := sqlitetest.Open(t, changed)
	sqlitetest.Exec(t, app, "INSERT INTO t VALUES ('later')")
	state := sqlitetest.Truth(t, changed)

	got := followUntil(t, "0000000000000002", nil, url, "-o", output)
	if !strings.HasPrefix(got.stdout, "restored "+output+": txid 0000000000000002 of 2026-03-01T09:30:02Z, ") {
		t.Errorf("first printed %q", got.stdout)
	}
	if want := "interrupted; " + output + " is at txid 0000000000000002, from where the same command goes on\n"; !strings.HasSuffix(got.stderr, want) {
		t.Errorf("got %q, want %q", got.stderr, want)
	}
	got = followUntil(t, "0000000000000003", func() { mustPut(t, strings.TrimPrefix(url, "file://"), 3, state) }, url, "-o", output, "--json")
	var kinds []string
	for line := range strings.Lines(got.stdout) {
		var e followed
		mustDecode(t, line, &e)
		kinds = append(kinds, string(e.Event)+" "+e.TXID)
	}
	if want := "resumed 0000000000000002,applied 0000000000000003"; strings.Join(kinds, ",") != want {
		t.Errorf("got %q, want %q", kinds, want)
	}
	if b, err := os.ReadFile(output); err != nil || !bytes.Equal(b, state) {
		t.Errorf("the copy is not the newest state: %v", err)
	}
}

// followUntil runs restore --follow and interrupts it once the copy is at txid; between is
// called once it is under way.
func followUntil(t *testing.T, txid string, between func(), args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan outcome, 1)
	go func() {
		ended <- invokeWithin(ctx, nil, nil, append([]string{"restore", "--follow", "--interval", "5ms"}, args...)...)
	}()
	if between != nil {
		between()
	}
	path := filepath.Join(filepath.Dir(args[2]), "."+filepath.Base(args[2])+"-holdfast-follow", "state.json")
	for late := time.Now().Add(30 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		var state struct {
			Now struct{ TXID string }
		}
		if b, err := os.ReadFile(path); err == nil && json.Unmarshal(b, &state) == nil && state.Now.TXID == txid {
			break
		}
		select {
		case got := <-ended:
			t.Fatalf("ended before: %+v", got)
		default:
		}
		if time.Now().After(late) {
			t.Fatalf("not at %s in time", txid)
		}
	}
	cancel()
	got := <-ended
	if got.status != statusInterrupted {
		t.Errorf("exit status %d, want %d", got.status, statusInterrupted)
	}
	return got
}

func TestFollowRefusesWhatMakesNoSense(t *testing.T) {
	for flags, want := range map[string]string{
		"--follow --txid 0000000000000001": "--follow and --txid exclude each other",
		"--follow --at 10m":                "--follow and --at exclude each other",
		"--follow --dry-run":               "--follow and --dry-run exclude each other",
		"--follow --interval 0s":           "--interval: got 0s",
		"--interval 2s":                    "--interval is for --follow",
	} {
		args := append([]string{"restore", "file:///nowhere", "-o", "out.db"}, strings.Fields(flags)...)
		mustFail(t, invoke(t, nil, nil, args...), statusUsage, want)
	}
	away := filepath.Join(t.TempDir(), "out.db")
	mustFail(t, invoke(t, nil, nil, "restore", "file://"+t.TempDir(), "-o", away, "--follow"), statusFailed, "there is no replica at file://")
}

func mustWriteFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
