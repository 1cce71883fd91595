package faults_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// writing are the system calls by which something could get onto a disk.
const writing = "write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,msync,sync_file_range,syncfs,sync," +
	"rename,renameat,renameat2,unlink,unlinkat,link,linkat,truncate,ftruncate,fallocate,mkdir,mkdirat"

// TestAHealthyPassWritesNothingLocally counts the system calls of a worker whose
// passes each find something to ship.
func TestAHealthyPassWritesNothingLocally(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	app := sqlitetest.StartShell(t, path)
	app.Run(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, v);")
	trace := filepath.Join(t.TempDir(), "trace")
	c := &child{
		Database: host.Database{Name: "app", Path: path, Replica: "mem:app", Writer: writerA},
		StateDir: t.TempDir(),
	}
	c.start(t, "strace", "-f", "-y", "-o", trace, "-e", "trace="+writing)
	pass := func(id int) {
		app.Run(t, fmt.Sprintf("INSERT INTO t VALUES (%d, randomblob(100));", id))
		if got := c.say(t, "pass"); !strings.HasPrefix(got, "at ") {
			t.Fatal(got)
		}
	}
	pass(0)
	c.say(t, "mark")
	for i := range 200 {
		pass(i + 1)
	}
	if got := c.say(t, "mark"); got != "mark" {
		t.Fatal(got)
	}
	c.quit()
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(b), `"mark\n"`)
	if len(parts) != 3 {
		t.Fatalf("%d parts of the trace, want three", len(parts))
	}
	if n := len(fileCalls(parts[0])); n < 5 {
		t.Errorf("the first pass made %d calls, want those that save its state: is anything traced?", n)
	}
	if calls := fileCalls(parts[1]); len(calls) > 0 {
		t.Errorf("200 passes made %d calls that write to files:\n%s", len(calls), strings.Join(calls[:min(10, len(calls))], "\n"))
	}
}

// notFile matches calls on pipes, sockets and the like.
var notFile = regexp.MustCompile(`\(\d+<(pipe|socket|anon_inode|TCP|UNIX|/dev/)`)

// fileCalls returns the lines of a trace that are about files.
func fileCalls(trace string) (calls []string) {
	for _, line := range strings.Split(trace, "\n") {
		if strings.Contains(line, "(") && !notFile.MatchString(line) && !strings.Contains(line, "resumed>") {
			calls = append(calls, line)
		}
	}
	return calls
}
