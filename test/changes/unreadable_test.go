package changes_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestFileBesideAForeignLogIsLeftAlone renames a database over the one that is
// replicated, and removes the old one's log a moment later, as everybody does. A
// pass in that moment finds the new file beside the old log, which together make
// no sense. It may fail, but closing what it had opened must not copy that log
// into the file.
func TestFileBesideAForeignLogIsLeftAlone(t *testing.T) {
	path, app := mustDatabase(t, startOlder)
	run(t, app, fill)
	checkpoint(t, app, "TRUNCATE")
	r := mustReplicate(t, path)
	r.mark(t)
	run(t, app, "UPDATE t SET v = randomblob(length(v))") // pages of content alone
	r.mark(t)
	app.Quit()

	other := filepath.Join(t.TempDir(), "other.db")
	mustSetUp(t, other)
	app = startOlder(t, other)
	for i := range 300 { // a schema of many pages
		run(t, app, fmt.Sprintf("CREATE TABLE a_table_with_quite_a_long_name_%d(a_column_with_quite_a_long_name)", i))
	}
	app.Quit()
	want, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	shell(t, "mv %s %s", other, path)
	_, err = r.try(t)
	t.Log("the pass in that moment:", err)
	shell(t, "rm %[1]s-wal %[1]s-shm", path)
	r.stop(t)
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the file that was put there", got, want)
}
