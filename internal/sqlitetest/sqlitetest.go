// Package sqlitetest drives real SQLite databases in tests: an application in
// this process, one in another, and the truth that a replica is compared with.
package sqlitetest

import (
	"bufio"
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/mattn/go-sqlite3"
)

// Open opens path as an application of this process would: one connection, WAL
// mode, five seconds of patience. The pragmas, such as page_size=512, run before
// a new database gets its first page.
func Open(t testing.TB, path string, pragmas ...string) *sql.DB {
	t.Helper()
	app, err := sql.Open("sqlite3", "file:"+path+"?_busy_timeout=5000&_synchronous=NORMAL")
	if err != nil {
		t.Fatal(err)
	}
	app.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = app.Close() })
	for _, p := range append(pragmas, "journal_mode=WAL") {
		Exec(t, app, "PRAGMA "+p)
	}
	return app
}

// Exec runs a statement that must succeed.
func Exec(t testing.TB, app *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := app.Exec(query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// Truth returns the database at path as SQLite itself sees it: a copy of the
// file and its log, checkpointed. Nobody may write meanwhile.
func Truth(t testing.TB, path string) []byte {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "truth.db")
	for _, suffix := range []string{"", "-wal"} {
		if _, err := os.Stat(path + suffix); errors.Is(err, os.ErrNotExist) {
			continue
		}
		// In another process, for closing the file in this one would drop the
		// locks of whatever has it open here.
		if out, err := exec.Command("cp", path+suffix, copied+suffix).CombinedOutput(); err != nil {
			t.Fatalf("cp: %v: %s", err, out)
		}
	}
	app := Open(t, copied)
	Exec(t, app, "PRAGMA wal_checkpoint(TRUNCATE)")
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Live returns the database as app sees it now, page by page: unlike Truth it
// does not pass by SQLite's recovery, which takes commits that no running
// connection has ever counted as such.
func Live(t testing.TB, app *sql.DB) []byte {
	t.Helper()
	conn, err := app.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // back to the pool
	var image []byte
	err = conn.Raw(func(c any) error {
		image, err = c.(*sqlite3.SQLiteConn).Serialize("main")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// Same fails unless got and want are equal, page by page.
func Same(t testing.TB, got, want []byte, pageSize int) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("replica has %d bytes, source %d", len(got), len(want))
	}
	for off := 0; off < len(want); off += pageSize {
		if end := off + pageSize; !bytes.Equal(got[off:end], want[off:end]) {
			t.Fatalf("page %d differs", off/pageSize+1)
		}
	}
}

// Shell is an application in another process: the sqlite3 program.
type Shell struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// StartShell connects the sqlite3 program to path. It never checkpoints by
// itself. env is added to its environment.
func StartShell(t testing.TB, path string, env ...string) *Shell {
	t.Helper()
	cmd := exec.Command("sqlite3", "-batch", path)
	cmd.Env = append(os.Environ(), env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatalf("start sqlite3 (Debian's package of that name has it): %v", err)
	}
	s := &Shell{cmd: cmd, in: in, out: bufio.NewScanner(out)}
	t.Cleanup(s.Quit)
	s.Run(t, ".timeout 5000", "PRAGMA journal_mode=WAL;", "PRAGMA wal_autocheckpoint=0;")
	return s
}

// Run runs statements one after the other, waits for the last one's end, and
// returns what they printed.
func (s *Shell) Run(t testing.TB, statements ...string) []string {
	t.Helper()
	lines, alive := s.Try(statements...)
	if !alive {
		t.Fatalf("sqlite3 ended during %v, having printed %v", statements, lines)
	}
	return lines
}

// Try is Run for a program that may die: alive tells whether it did not.
func (s *Shell) Try(statements ...string) (lines []string, alive bool) {
	for _, q := range append(statements, ".print done") {
		if _, err := fmt.Fprintln(s.in, q); err != nil {
			return nil, false
		}
	}
	for s.out.Scan() {
		if s.out.Text() == "done" {
			return lines, true
		}
		lines = append(lines, s.out.Text())
	}
	return lines, false
}

// Quit ends the program in order.
func (s *Shell) Quit() {
	_ = s.in.Close()
	_ = s.cmd.Wait()
}

// Kill ends the program without a word: no connection is closed in order.
func (s *Shell) Kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}
