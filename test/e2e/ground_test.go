package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nobody is the user as whom the worker runs where the test's own may do
// everything.
const nobody = 65534

// patience is how long somebody at a prompt waits for a refusal, at most.
const patience = 30 * time.Second

// ground is a site with a worker that may not do everything, and a database, ok,
// that is replicated as it should be. Each wrong input has a directory of its
// own below.
type ground struct {
	*site
	work   *process
	silent string // address of somebody who listens and never answers
	closed string // address at which nobody listens
}

func newGround(t *testing.T) *ground {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Temporal and Azurite")
	}
	g := &ground{site: newSite(t, "", "sync: {interval: 200ms}"), closed: closedAddress(t), silent: silentAddress(t)}
	g.apart()
	program(t, "holdfast-worker")
	if os.Getuid() == 0 {
		g.as = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	for _, dir := range []string{programs.dir, filepath.Dir(g.dir)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	g.give(g.dir, g.config)
	g.work = g.worker()
	g.database(t, g.ok())
	g.run("register", g.ok(), "--name", "ok")
	return g
}

// ok is the path of the database that is as it should be.
func (g *ground) ok() string { return filepath.Join(g.dir, "ok.db") }

// give makes files the worker's.
func (g *ground) give(paths ...string) {
	g.t.Helper()
	for _, path := range paths {
		if g.as == nil {
			return
		}
		if err := os.Chown(path, int(g.as.Uid), int(g.as.Gid)); err != nil {
			g.t.Fatal(err)
		}
	}
}

// place makes the directory of a row and returns the path of its database.
func (g *ground) place(t *testing.T) string {
	t.Helper()
	slug := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(t.Name()), "-")
	dir := filepath.Join(g.dir, slug)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	g.give(dir)
	t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
	return filepath.Join(dir, "shop.db")
}

// database makes a small database in WAL mode that nobody has open.
func (g *ground) database(t *testing.T, path string) { g.databaseIn(t, "WAL", path) }

func (g *ground) databaseIn(t *testing.T, mode, path string) {
	t.Helper()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec("PRAGMA journal_mode=" + mode + "; CREATE TABLE t(x); INSERT INTO t VALUES (1)")
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	g.give(path)
}

func (g *ground) file(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	g.give(path)
}

// invoke runs one of the programs to its end.
func (g *ground) invoke(t *testing.T, env []string, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t, name), args...)
	cmd.Env, cmd.Dir = append(append([]string(nil), g.env...), env...), g.dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	begun := time.Now()
	_ = cmd.Run()
	if took := time.Since(begun); took > patience {
		t.Errorf("it took %v, want %v at most", took, patience)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// refusal is what a person sees who is refused. In line, * stands for one word.
type refusal struct {
	status int
	typ    string // in JSON
	line   string // all of it, after the program's name
}

// mustBeRefused checks the form of a refusal: its status, nothing on stdout, and
// one line on stderr that ends with what to do.
func mustBeRefused(t *testing.T, got result, name string, want refusal) {
	t.Helper()
	if got.code != want.status || got.stdout != "" {
		t.Errorf("got exit status %d and %q on stdout, want %d and nothing", got.code, got.stdout, want.status)
	}
	if line := name + ": " + want.line + "\n"; !like(got.stderr, line) {
		t.Errorf("got  %swant %s", got.stderr, line)
	}
	if !strings.Contains(want.line, "; ") {
		t.Errorf("%q does not say what to do", want.line)
	}
}

// mustBeRefusedAsJSON checks that the one object says what the line does.
func mustBeRefusedAsJSON(t *testing.T, got result, want refusal) {
	t.Helper()
	var doc struct {
		Error struct{ Type, Message, Hint string }
	}
	decoder := json.NewDecoder(strings.NewReader(got.stderr))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&doc); err != nil || decoder.More() || got.code != want.status || got.stdout != "" {
		t.Errorf("as JSON: exit status %d, %q on stdout, stderr %s: %v", got.code, got.stdout, got.stderr, err)
	}
	if e := doc.Error; e.Type != want.typ || e.Hint == "" || !like(e.Message+"; "+e.Hint, want.line) {
		t.Errorf("as JSON: got %+v, want %s: %s", e, want.typ, want.line)
	}
}

func like(got, want string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(want), `\*`, `\S+`)
	return regexp.MustCompile("^(?s:" + pattern + ")$").MatchString(got)
}

// mustNotKnow checks that nothing is registered under a name.
func (g *ground) mustNotKnow(t *testing.T, name string) {
	t.Helper()
	mustBeRefused(t, g.invoke(t, nil, "holdfast", "status", name), "holdfast",
		refusal{1, "NotRegistered", "status: " + name + " is not registered; see holdfast list, or register it"})
}

// names are those of all registered databases.
func (g *ground) names(t *testing.T) string {
	t.Helper()
	var all []struct{ Name string }
	out := g.invoke(t, nil, "holdfast", "list", "-o", "json")
	if err := json.Unmarshal([]byte(out.stdout), &all); err != nil {
		t.Fatalf("list: %v in %+v", err, out)
	}
	names := []string{}
	for _, one := range all {
		names = append(names, one.Name)
	}
	return strings.Join(names, " ")
}

// picture is all that is in a directory: names, modes, times, and what files
// hold.
func picture(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&all, "%s %v %d %v", strings.TrimPrefix(path, dir), info.Mode(), info.Size(), info.ModTime())
		if content, err := os.ReadFile(path); err == nil {
			fmt.Fprintf(&all, " %x", sha256.Sum256(content))
		}
		all.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// closedAddress is one at which nobody listens.
func closedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// silentAddress is one at which connections are taken and nothing is said, until
// the test ends.
func silentAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}
