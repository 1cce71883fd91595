package changes_test

import (
	"path/filepath"
	"testing"
	"time"
)

// TestMovedWithoutTheWorkersDirectory moves what `mv app.db*` moves, which leaves
// the worker's hidden directory behind. It must make itself another one, and goes
// on: the log has come along, and what else it knew the replica tells.
func TestMovedWithoutTheWorkersDirectory(t *testing.T) {
	from, to, link := t.TempDir(), mustOtherFileSystem(t), filepath.Join(t.TempDir(), "data")
	shell(t, "ln -s %s %s", from, link)
	path := filepath.Join(link, "app.db")
	app := startOlder(t, path)
	run(t, app, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)", fill)
	r := mustReplicate(t, path)
	r.mark(t)
	app.Kill()
	shell(t, "cp %[1]s/app.db* %[2]s && rm -rf %[1]s && ln -sfn %[2]s %[3]s", from, to, link)
	app = startOlder(t, path)
	r.mark(t)
	w := r.startWindow(t, time.Millisecond)
	for range 30 {
		run(t, app, fill) // enough for a checkpoint of the worker's, at which it keeps its state
	}
	w.stop(t)
	r.check(t)
}
