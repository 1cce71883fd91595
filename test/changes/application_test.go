package changes_test

import (
	"bufio"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// application is a process that has the database open.
type application interface {
	Run(t testing.TB, statements ...string) []string
	Quit()
	Kill()
}

// versions are the SQLite libraries that applications use here.
var versions = []struct {
	name  string
	start func(t testing.TB, path string) application
}{
	{"Debian's SQLite", startOlder},
	{"the linked SQLite", startNewer},
}

func startOlder(t testing.TB, path string) application {
	t.Helper()
	return shellProgram{sqlitetest.StartShell(t, path)}
}

// shellProgram ends statements for a program that would wait for more.
type shellProgram struct{ *sqlitetest.Shell }

func (p shellProgram) Run(t testing.TB, statements ...string) []string {
	t.Helper()
	ended := make([]string, len(statements))
	for i, s := range statements {
		if !strings.HasPrefix(s, ".") {
			s = strings.TrimSuffix(s, ";") + ";"
		}
		ended[i] = s
	}
	return p.Shell.Run(t, ended...)
}

// child is this program in another role. It answers each line with lines of its
// own, the last one being "done".
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startChild(t testing.TB, role string, args ...string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), roleKey+"="+role)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, in: in, out: bufio.NewScanner(out)}
	t.Cleanup(c.Quit)
	return c
}

// ask sends a line and returns the answer.
func (c *child) ask(t testing.TB, line string) (answer []string) {
	t.Helper()
	c.send(t, line)
	return c.answer(t, line)
}

// answer returns what is said to a line that was sent.
func (c *child) answer(t testing.TB, line string) (answer []string) {
	t.Helper()
	for c.out.Scan() {
		if c.out.Text() == "done" {
			return answer
		}
		answer = append(answer, c.out.Text())
	}
	t.Fatalf("the process ended during %q, having said %q", line, answer)
	return nil
}

func (c *child) send(t testing.TB, line string) {
	t.Helper()
	if _, err := fmt.Fprintln(c.in, line); err != nil {
		t.Fatal(err)
	}
}

// Run runs statements one after the other and returns what they printed.
func (c *child) Run(t testing.TB, statements ...string) (lines []string) {
	t.Helper()
	for _, s := range statements {
		lines = append(lines, c.ask(t, s)...)
	}
	return lines
}

// Quit ends the process in order.
func (c *child) Quit() {
	_ = c.in.Close()
	_ = c.cmd.Wait()
}

// Kill ends the process without a word.
func (c *child) Kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// startNewer connects the SQLite that is linked into this program to path, in a
// process of its own. It never checkpoints by itself.
func startNewer(t testing.TB, path string) application {
	t.Helper()
	c := startChild(t, "application", path)
	c.Run(t, "PRAGMA journal_mode=WAL", "PRAGMA wal_autocheckpoint=0")
	return c
}

// flood is what an application that never pauses is told: commit for so many
// milliseconds, and print how often.
const flood = ".flood "

func playApplication(path string) {
	db, err := sql.Open("sqlite3", "file:"+path+"?_busy_timeout=5000&_synchronous=NORMAL")
	if err != nil {
		fmt.Println("Error:", err)
		return
	}
	db.SetMaxOpenConns(1)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); fmt.Println("done") {
		if ms, ok := strings.CutPrefix(in.Text(), flood); ok {
			playFlood(db, ms)
		} else if err := printRows(db, in.Text()); err != nil {
			fmt.Println("Error:", err)
		}
	}
	_ = db.Close()
}

func playFlood(db *sql.DB, ms string) {
	n, err := strconv.Atoi(ms)
	commits := 0
	for end := time.Now().Add(time.Duration(n) * time.Millisecond); err == nil && time.Now().Before(end); commits++ {
		_, err = db.Exec("INSERT INTO t(v) VALUES (randomblob(500))")
	}
	if err != nil {
		fmt.Println("Error:", err)
	}
	fmt.Println(commits)
}

func printRows(db *sql.DB, query string) error {
	rows, err := db.Query(query)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values, places := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i := range values {
		places[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			return err
		}
		texts := make([]string, len(values))
		for i, v := range values {
			texts[i] = v.String
		}
		fmt.Println(strings.Join(texts, "|"))
	}
	return rows.Err()
}

// run runs statements that must print nothing: an error is printed.
func run(t testing.TB, app application, statements ...string) {
	t.Helper()
	if lines := app.Run(t, statements...); len(lines) > 0 {
		t.Fatalf("%q printed %q", statements, lines)
	}
}

// ask runs a statement and returns the line that it prints.
func ask(t testing.TB, app application, statement string) string {
	t.Helper()
	lines := app.Run(t, statement)
	if len(lines) != 1 {
		t.Fatalf("%s: printed %q, want one line", statement, lines)
	}
	return lines[0]
}

func TestVersionsAreTheOnesMeant(t *testing.T) {
	path := t.TempDir() + "/app.db"
	linked, _, _ := sqlite3.Version()
	if got := ask(t, startNewer(t, path), "SELECT sqlite_version();"); got != linked {
		t.Errorf("the linked SQLite says %s, want %s", got, linked)
	}
	if got := ask(t, startOlder(t, path), "SELECT sqlite_version();"); !strings.HasPrefix(got, "3.40.") {
		t.Errorf("the sqlite3 program says %s, want Debian 12's 3.40", got)
	}
}
