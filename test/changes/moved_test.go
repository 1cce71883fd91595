package changes_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// TestMovedToAnotherFileSystem moves all files, the path staying the same. The
// file is another one, whatever its log says.
func TestMovedToAnotherFileSystem(t *testing.T) {
	for _, row := range []struct {
		name string
		log  bool // the application was stopped without closing
		down bool // the worker was stopped
	}{
		{name: "with its log, under a worker", log: true},
		{name: "with its log, while the worker was down", log: true, down: true},
		{name: "without its log, while the worker was down", down: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			from, to, link := t.TempDir(), mustOtherFileSystem(t), filepath.Join(t.TempDir(), "data")
			shell(t, "ln -s %s %s", from, link)
			path := filepath.Join(link, "app.db")
			app := startOlder(t, path)
			run(t, app, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)", fill)
			r := mustReplicate(t, path)
			r.mark(t)
			if row.down && row.log {
				r.stop(t)
			}
			if row.log {
				app.Kill()
			} else {
				app.Quit()
				r.stop(t)
			}
			shell(t, "cp -a %[1]s/. %[2]s && rm -rf %[1]s && ln -sfn %[2]s %[3]s", from, to, link)
			if row.down {
				r.start(t)
			}
			r.mark(t)
			app = startOlder(t, path)
			run(t, app, thin)
			r.check(t, source.RuleReplaced)
		})
	}
}

// mustOtherFileSystem returns a directory on another file system than the
// temporary directories of tests.
func mustOtherFileSystem(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "holdfast-changes-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	here, err := source.Identify(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	there, err := source.Identify(dir)
	if err != nil {
		t.Fatal(err)
	}
	if here.Device == there.Device {
		t.Fatalf("%s is on the same file system as the tests' directories; set TMPDIR to another one", dir)
	}
	return dir
}

// TestLinkThatLeadsElsewhere makes the path, a symbolic link, lead to another
// database. The old one stays where it is, and so does its application.
func TestLinkThatLeadsElsewhere(t *testing.T) {
	path, app := mustDatabase(t, startOlder)
	link := filepath.Join(t.TempDir(), "link.db")
	shell(t, "ln -s %s %s", path, link)
	r := mustReplicate(t, link)
	r.pass(t)
	other, otherApp := mustDatabase(t, startOlder)
	run(t, otherApp, fill)
	shell(t, "ln -sfn %s %s", other, link)
	run(t, app, "INSERT INTO t(v) VALUES (1)")
	r.pass(t)
	same(t, "what the link leads to", r.restored(t, plan.Target{}), sqlitetest.Truth(t, other))
	run(t, otherApp, thin)
	r.pass(t)
	same(t, "what the link leads to", r.restored(t, plan.Target{}), sqlitetest.Truth(t, other))
	r.wantResyncs(t, source.RuleReplaced)
}
