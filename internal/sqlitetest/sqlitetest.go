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

	_ "github.com/mattn/go-sqlite3" // the driver that Open asks for
)

// Open opens path as an application of this process would: one connection, WAL
// mode, five seconds of patience.
func Open(t testing.TB, path string) *sql.DB {
	t.Helper()
	app, err := sql.Open("sqlite3", "file:"+path+"?_journal_mode=WAL&_busy_timeout=5000&_synchronous=NORMAL")
	if err != nil {
		t.Fatal(err)
	}
	app.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = app.Close() })
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
		b, err := os.ReadFile(path + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied+suffix, b, 0o600); err != nil {
			t.Fatal(err)
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
// itself.
func StartShell(t testing.TB, path string) *Shell {
	t.Helper()
	cmd := exec.Command("sqlite3", "-batch", path)
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
	for _, q := range append(statements, ".print done") {
		if _, err := fmt.Fprintln(s.in, q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	var lines []string
	for s.out.Scan() {
		if s.out.Text() == "done" {
			return lines
		}
		lines = append(lines, s.out.Text())
	}
	t.Fatalf("sqlite3 ended during %v, having printed %v", statements, lines)
	return nil
}

// Quit ends the program in order.
func (s *Shell) Quit() {
	_ = s.in.Close()
	_ = s.cmd.Wait()
}
