package changes_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/source"
)

// TestFileCopiedOverInPlaceUnderItsLog writes an older copy over the file of an
// application that has stopped, while the worker keeps the log there, all of
// which had been copied into the file. No commit tells of it: a scrub does.
func TestFileCopiedOverInPlaceUnderItsLog(t *testing.T) {
	path, app := mustDatabase(t, startOlder)
	r := mustReplicate(t, path)
	r.Scrub = time.Millisecond // a pass looks at as much as the time since the last allows
	run(t, app, fill)
	r.mark(t)
	checkpoint(t, app, "PASSIVE")
	older := filepath.Join(t.TempDir(), "older.db")
	shell(t, "cp %s %s", path, older)
	run(t, app, "UPDATE t SET v = randomblob(900) WHERE id % 10 = 0")
	r.mark(t)
	checkpoint(t, app, "PASSIVE")
	r.mark(t)
	app.Quit()
	shell(t, "cat %s > %s; [ -s %s-wal ]", older, path, path)
	for tries := 0; len(r.rules) == 0; tries++ {
		if tries == 1000 {
			t.Fatal("no scrub has noticed it")
		}
		r.pass(t)
		time.Sleep(time.Millisecond)
	}
	want, err := os.ReadFile(older)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the copy", r.restored(t, plan.Target{}), want)
	r.stop(t)
	app = startOlder(t, path)
	run(t, app, "INSERT INTO t(v) VALUES (1)")
	r.start(t)
	r.check(t, source.RuleScrub)
}
