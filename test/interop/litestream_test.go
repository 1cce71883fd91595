package interop_test

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/plan"
)

// Litestream as these tests want it.
const (
	litestreamPackage = "github.com/benbjohnson/litestream/cmd/litestream"
	litestreamVersion = "v0.5.18"
)

var installed struct {
	once sync.Once
	path string
	err  error
}

// litestream returns the program's path. It is built into .build/bin when it is
// not there in this version, which takes about a minute.
func litestream(t testing.TB) string {
	t.Helper()
	installed.once.Do(func() { installed.path, installed.err = installLitestream() })
	if installed.err != nil {
		t.Fatal(installed.err)
	}
	return installed.path
}

func installLitestream() (string, error) {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	bin := filepath.Join(filepath.Dir(strings.TrimSpace(string(mod))), ".build", "bin")
	path := filepath.Join(bin, "litestream")
	if info, err := buildinfo.ReadFile(path); err == nil && info.Main.Version == litestreamVersion {
		return path, nil
	}
	install := exec.Command("go", "install", litestreamPackage+"@"+litestreamVersion)
	install.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=")
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("install litestream: %w\n%s", err, out)
	}
	return path, nil
}

// litestreamRestore restores the replica at p with Litestream into a new file
// and returns its path.
func litestreamRestore(t testing.TB, p place, target plan.Target) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "litestream.db")
	args := []string{"restore", "-o", out}
	switch {
	case target.TXID != 0:
		args = append(args, "-txid", target.TXID.String())
	case !target.At.IsZero():
		args = append(args, "-timestamp", target.At.UTC().Format(time.RFC3339Nano))
	}
	const database = "/nowhere/app.db" // what the configuration calls it
	if p.key == "" {
		args = append(args, p.url.String())
	} else {
		args = append(args, "-config", p.litestreamConfig(t, database, ""), database)
	}
	cmd := exec.Command(litestream(t), args...)
	cmd.Env = p.litestreamEnv()
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("litestream %q of %s: %v\n%s", args, p.url, err, output)
	}
	return out
}

// litestreamReplicate runs Litestream on database, beside use, and ends it in
// order when use returns.
func litestreamReplicate(t testing.TB, p place, database string, use func()) {
	t.Helper()
	var output bytes.Buffer
	cmd := exec.Command(litestream(t), "replicate", "-config", p.litestreamConfig(t, database, `
levels:
  - {interval: 500ms}
  - {interval: 2s}
snapshot: {interval: 1500ms}
`))
	cmd.Env, cmd.Stdout, cmd.Stderr = p.litestreamEnv(), &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("litestream replicate: %v\n%s", err, output.String())
			}
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			t.Errorf("litestream replicate did not end\n%s", output.String())
		}
	}()
	use()
}

// litestreamConfig writes a configuration for one database on the replica at p.
func (p place) litestreamConfig(t testing.TB, database, more string) string {
	t.Helper()
	replica := fmt.Sprintf("type: file\n      path: %q", p.url.Path)
	if p.key != "" {
		replica = fmt.Sprintf("type: abs\n      account-name: %s\n      bucket: %s\n      path: %q\n      endpoint: %q",
			p.url.Account, p.url.Container, p.url.Path, p.url.Endpoint)
	}
	config := fmt.Sprintf("dbs:\n  - path: %q\n    monitor-interval: 50ms\n    replica:\n      sync-interval: 50ms\n      %s\n%s", database, replica, more)
	path := filepath.Join(t.TempDir(), "litestream.yml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (p place) litestreamEnv() []string {
	return append(os.Environ(), "LITESTREAM_AZURE_ACCOUNT_KEY="+p.key)
}

var accountKey = regexp.MustCompile(`(?:^|;)AccountKey=([^;]*)`)
