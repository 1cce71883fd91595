package changes_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/source"
)

// image is a copy of a machine's disk: the database, its log and what the worker
// keeps beside it.
type image struct{ disk, copied string }

// takeImage copies the directory disk while nothing happens there, as the
// snapshot of a virtual machine does: nobody need have closed anything.
func takeImage(t *testing.T, disk string) image {
	t.Helper()
	i := image{disk, filepath.Join(t.TempDir(), "image")}
	shell(t, "cp -a %s %s", i.disk, i.copied)
	return i
}

// putBack makes files of the disk what they were, the
// files that are there keeping their inodes. Nobody may have them open.
func (i image) putBack(t *testing.T, files ...string) {
	t.Helper()
	for _, f := range files {
		now, then := filepath.Join(i.disk, f), filepath.Join(i.copied, f)
		shell(t, "if [ -f %[1]s ] && [ -f %[2]s ]; then cat %[2]s > %[1]s; else rm -rf %[1]s; [ ! -e %[2]s ] || cp -a %[2]s %[1]s; fi", now, then)
	}
}

// What can be set back.
var (
	databaseFiles = []string{"app.db", "app.db-wal"} // the index does not outlive its users
	stateFiles    = []string{".app.db-holdfast"}
	everything    = []string{"app.db", "app.db-wal", ".app.db-holdfast"}
)

// shell runs a command of the shell, in which paths need no quotes.
func shell(t *testing.T, format string, args ...any) {
	t.Helper()
	command := fmt.Sprintf(format, args...)
	if out, err := exec.Command("sh", "-ec", command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
}

// TestMachineImageSetBack puts an older image of the disk back when more had
// been shipped since: the store holds objects of this very writer that the
// database knows nothing of, and TXIDs go on after them.
func TestMachineImageSetBack(t *testing.T) {
	const small, large = "INSERT INTO t VALUES (randomblob(10))", "INSERT INTO t VALUES (randomblob(300000))"
	rows := []struct {
		name    string
		inOrder bool     // everything was closed when the image was taken
		back    []string // what is put back
		shipped string   // after the image
		goesOn  string   // after it was put back
		want    source.Rule
	}{
		{name: "all closed, then all put back", inOrder: true, back: everything, shipped: small, goesOn: small, want: source.RuleRestarted},
		{name: "all running, all put back, then less is written than had been", back: everything, shipped: large, goesOn: small, want: source.RuleShortLog},
		{name: "all running, all put back, then more is written than had been", back: everything, shipped: small, goesOn: large, want: source.RuleChain},
		{name: "the database alone", back: databaseFiles, shipped: small, goesOn: small, want: source.RuleShortLog},
		{name: "the worker's state alone", back: stateFiles, shipped: small, goesOn: small, want: source.RuleRestarted},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			disk := t.TempDir()
			path := filepath.Join(disk, "app.db")
			app := startOlder(t, path)
			run(t, app, "CREATE TABLE t(v)", "INSERT INTO t VALUES (randomblob(50000))")
			r := mustReplicate(t, path)
			r.mark(t)
			if row.inOrder {
				app.Quit()
				r.stop(t)
			}
			before := takeImage(t, disk)
			if row.inOrder {
				app = startOlder(t, path)
				r.start(t)
			}
			for range 3 {
				run(t, app, row.shipped)
				r.mark(t)
			}
			app.Quit()
			r.stop(t)
			before.putBack(t, row.back...)
			r.start(t)
			app = startOlder(t, path)
			run(t, app, row.goesOn)
			r.mark(t)
			run(t, app, row.goesOn)
			r.check(t, row.want)
		})
	}
}
