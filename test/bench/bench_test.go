package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast/test/stack"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == applicationCommand {
		exit(application(os.Args[2]))
	}
	if db := os.Getenv(holderVariable); db != "" {
		exit(holdWriteLock(db))
	}
	stack.Main(m)
}

// TestMeasuresEveryRow runs all at a small size and checks that each line has
// values, not what they are.
func TestMeasuresEveryRow(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Litestream, Temporal and Azurite; run make test")
	}
	bin, out := mustBuild(t), filepath.Join(t.TempDir(), "results.json")
	at, err := json.Marshal(stack.Start(t))
	must(t, err)
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "bench"), "-bin", bin, "-out", out, "-size", "0.005", "-rounds", "1")
	cmd.Env = append(os.Environ(), stackVariable+"="+string(at))
	cmd.Stderr = t.Output()
	table, err := cmd.Output()
	must(t, err)
	for line := range strings.Lines(string(table)) {
		if columns := len(strings.TrimRight(line, "\n")); columns > 100 {
			t.Errorf("a line of %d columns, want at most 100: %s", columns, line)
		}
	}
	checkResults(t, mustRead(t, out))
	if left, _ := filepath.Glob(filepath.Join(bin, "bench-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func checkResults(t *testing.T, r results) {
	t.Helper()
	count := map[string]int{}
	for _, l := range r.Lines {
		count[l.Row]++
		turns := 1
		if l.Row == "paced" {
			turns = 2
		}
		if len(l.Holdfast) != turns && len(l.Nothing) != turns {
			t.Errorf("%s, %s: values %v, %v and %v of %d turns", l.Row, l.What, l.Holdfast, l.Peer, l.Nothing, turns)
		}
		if (l.Target == "") != (l.Verdict == "") {
			t.Errorf("%s, %s: target %q and verdict %q", l.Row, l.What, l.Target, l.Verdict)
		}
	}
	for _, name := range rowNames() {
		if count[name] == 0 {
			t.Errorf("row %s has no line", name)
		}
	}
}

func TestRefusesARowThatIsNone(t *testing.T) {
	_, err := chosen("lag,lags")
	if err == nil || !strings.Contains(err.Error(), `no row "lags"`) {
		t.Errorf("got %v, want an error that names the row", err)
	}
}

// mustBuild returns a directory with all programs.
func mustBuild(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	for name, pkg := range map[string]string{"holdfast": "starter", "holdfast-worker": "worker", "bench": "test/bench"} {
		mustRun(t, "go", "build", "-o", filepath.Join(bin, name), "github.com/holdfast-db/holdfast/"+pkg)
	}
	mustRun(t, "make", "-C", "../..", ".build/bin/litestream")
	installed, err := filepath.Abs("../../.build/bin")
	must(t, err)
	must(t, os.Symlink(installed, filepath.Join(bin, "bin")))
	return bin
}

func mustRun(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

func mustRead(t *testing.T, path string) (r results) {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	must(t, json.Unmarshal(text, &r))
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
