package e2e_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// oneLine is what an error looks like: what and why, and what to do.
var oneLine = regexp.MustCompile(`^holdfast(-worker)?: [^\n]+; [^\n]+\n$`)

// mustRefuse checks what a command that was refused has printed.
func mustRefuse(t *testing.T, r result, code int, says ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit status %d, want %d", r.code, code)
	}
	if r.stdout != "" {
		t.Errorf("printed on stdout: %s", r.stdout)
	}
	if !oneLine.MatchString(r.stderr) {
		t.Errorf("stderr is not one line of what, why and what to do:\n%s", r.stderr)
	}
	for _, s := range says {
		if !strings.Contains(r.stderr, s) {
			t.Errorf("%q does not say %q", r.stderr, s)
		}
	}
	if strings.Contains(r.stderr, "goroutine") {
		t.Errorf("a stack trace: %s", r.stderr)
	}
}

// database makes a small database in WAL mode, closed, and returns its path.
func database(t *testing.T, pragmas ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	app := sqlitetest.Open(t, path, pragmas...)
	sqlitetest.Exec(t, app, "CREATE TABLE t(v)")
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// beside lists what is in the directory of path, with a hash of each file.
func beside(t *testing.T, path string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(filepath.Dir(path), func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			all = append(all, name)
			return nil //nolint:nilerr // a directory that may not be read is listed as such
		}
		b, _ := os.ReadFile(name)
		all = append(all, fmt.Sprintf("%s %x", name, sha256.Sum256(b)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

func TestRegisterRefusesWhatCannotWork(t *testing.T) {
	s := newSite(t, "", "")
	s.worker()
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := dead.Addr().String()
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	write := func(content string) string {
		path := filepath.Join(t.TempDir(), "file.db")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	notWAL := func() string {
		path := database(t)
		app := sqlitetest.Open(t, path)
		sqlitetest.Exec(t, app, "PRAGMA journal_mode=DELETE")
		_ = app.Close()
		return path
	}
	good := database(t)
	s.run("register", good, "--name", "good", "--host", s.host, "--config", s.config)
	used := s.replicaURL("good")
	foreign := fmt.Sprintf("abs://%s@%s/foreign?endpoint=%s", s.stack.Account, s.host, s.stack.Blob)
	s.run("register", database(t), "--name", "gone", "--host", s.host, "--replica", foreign)
	s.run("stop", "gone")

	rows := []struct {
		name, path, replica string
		says                []string
	}{
		{name: "a path without a file", path: filepath.Join(t.TempDir(), "no.db"), says: []string{"no.db", "database missing", "check the path"}},
		{name: "a directory", path: t.TempDir(), says: []string{"is a directory", "name the database file"}},
		{name: "another kind of file", path: write(strings.Repeat("text ", 100)), says: []string{"not a SQLite database", "file.db"}},
		{name: "an empty file", path: write(""), says: []string{"empty (0 bytes)"}},
		{name: "a database that is not in WAL mode", path: notWAL(), says: []string{"not in WAL mode", "PRAGMA journal_mode=WAL"}},
		{name: "a container that does not exist", path: database(t), replica: fmt.Sprintf("abs://%s@no-such-container/x?endpoint=%s", s.stack.Account, s.stack.Blob), says: []string{"no-such-container", "create it"}},
		{name: "a store that cannot be reached", path: database(t), replica: fmt.Sprintf("abs://%s@backups/x?endpoint=http://%s/devstoreaccount1", s.stack.Account, nobody), says: []string{"store unavailable"}},
		{name: "a replica that another database has", path: database(t), replica: used, says: []string{"good"}},
		{name: "a replica that another writer wrote", path: database(t), replica: foreign, says: []string{"another writer", "--take-over"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			before := beside(t, row.path)
			args := []string{"register", row.path, "--name", "refused", "--host", s.host, "--config", s.config}
			if row.replica != "" {
				args = append(args, "--replica", row.replica)
			}
			start := time.Now()
			mustRefuse(t, s.try(args...), 1, row.says...)
			if took := time.Since(start); took > 40*time.Second {
				t.Errorf("took %v", took)
			}
			if after := beside(t, row.path); after != before {
				t.Errorf("something is different beside the database:\n%s\nbefore:\n%s", after, before)
			}
			if list := s.run("list"); strings.Contains(list, "refused") {
				t.Errorf("it is registered all the same:\n%s", list)
			}
			var told struct {
				Error struct{ Type, Message, Hint string }
			}
			r := s.try(append(args, "-o", "json")...)
			if err := json.Unmarshal([]byte(r.stderr), &told); err != nil || told.Error.Type == "" || told.Error.Message == "" || told.Error.Hint == "" || r.code != 1 {
				t.Errorf("with -o json: status %d, %s (%v)", r.code, r.stderr, err)
			}
		})
	}
}

// TestRegisterRefusesWithoutPermission runs the worker as a user who may not
// open the file.
func TestRegisterRefusesWithoutPermission(t *testing.T) {
	s := newSite(t, "", "")
	path := database(t)
	env := []string(nil)
	if os.Geteuid() == 0 {
		state := filepath.Join(s.dir, "state")
		for _, err := range []error{os.Mkdir(state, 0o700), os.Chown(state, 65534, 65534), os.Chmod(s.config, 0o644), os.Chmod(filepath.Dir(s.dir), 0o755), os.Chmod(programs.dir, 0o755), os.Chmod(path, 0o600)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		env = []string{"XDG_STATE_HOME=" + state, "HOME=" + state}
		s.as = &syscall.Credential{Uid: 65534, Gid: 65534}
	} else if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	s.worker(env...)
	before := beside(t, path)
	r := s.try("register", path, "--name", "barred", "--host", s.host, "--config", s.config)
	mustRefuse(t, r, 1, "permission denied", path)
	if after := beside(t, path); after != before {
		t.Errorf("something is different beside the database:\n%s\nbefore:\n%s", after, before)
	}
}

// with returns s with other environment variables.
func (s *site) with(env ...string) *site {
	other := *s
	other.env = append(append([]string(nil), s.env...), env...)
	return &other
}

const wrongKey = "d3JvbmcgYnV0IHdlbGwgZm9ybWVkIGtleSBmb3IgYSB0ZXN0IG9mIHJlZnVzYWxzIQ=="

func TestWrongKeyIsSaidAndNotShown(t *testing.T) {
	s := newSite(t, "", "").with("AZURE_STORAGE_KEY=" + wrongKey)
	s.worker()
	for _, args := range [][]string{
		{"register", database(t), "--name", "keyless", "--host", s.host, "--config", s.config},
		{"restore", s.replicaURL("some"), "-o", filepath.Join(t.TempDir(), "out.db")},
	} {
		r := s.try(args...)
		mustRefuse(t, r, 1, "access denied", "check")
		if strings.Contains(r.stderr, wrongKey) {
			t.Errorf("the key is shown: %s", r.stderr)
		}
	}
}

func TestUnreachableTemporalIsSaid(t *testing.T) {
	s := newSite(t, "", "").with("TEMPORAL_ADDRESS=127.0.0.1:1")
	mustRefuse(t, s.try("list"), 1, "127.0.0.1:1")
	mustRefuse(t, s.try("register", database(t), "--name", "x", "--host", s.host, "--config", s.config), 1, "127.0.0.1:1")
	w := s.worker()
	select {
	case <-w.done:
	case <-time.After(30 * time.Second):
		t.Fatal("the worker is still trying")
	}
	mustRefuse(t, result{code: w.ProcessState.ExitCode(), stderr: w.out.String()}, 1, "127.0.0.1:1")
}

func TestWrongUsageIsStatusTwo(t *testing.T) {
	s := newSite(t, "", "")
	bad := filepath.Join(t.TempDir(), "bad.yml")
	if err := os.WriteFile(bad, []byte("host: a\nsync: {intervall: 1s}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, s.try("list", "--colour"), 2, "--colour")
	mustRefuse(t, s.try("replicate"), 2, "replicate")
	mustRefuse(t, s.try("restore", s.replicaURL("x")), 2, "-o")
	mustRefuse(t, s.try("restore", s.replicaURL("x"), "-o", "out.db", "--at", "yesterday"), 2, "yesterday")
	mustRefuse(t, s.try("register", database(t), "--name", "Shop", "--host", "a", "--config", s.config), 2, "Shop")
	mustRefuse(t, s.try("register", database(t), "--config", bad), 2, "sync.intervall", "sync.interval")
	for args, says := range map[string]string{"--config=" + bad: "sync.intervall", "--colour": "--colour"} {
		w := s.start(nil, "holdfast-worker", args)
		<-w.done
		mustRefuse(t, result{code: w.ProcessState.ExitCode(), stderr: w.out.String()}, 2, says)
	}
}
