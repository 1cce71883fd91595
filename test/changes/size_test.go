package changes_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/source"
)

func TestPageSizes(t *testing.T) {
	for size := 512; size <= 65536; size *= 2 {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.db")
			mustSetUp(t, path, fmt.Sprintf("PRAGMA page_size=%d", size), "PRAGMA auto_vacuum=1")
			app := startNewer(t, path)
			run(t, app, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
			r := mustReplicate(t, path)
			r.mark(t)
			run(t, app, fill, "INSERT INTO t(v) VALUES (randomblob(300000))")
			r.mark(t)
			run(t, app, thin)
			r.mark(t)
			r.stop(t)
			checkpoint(t, app, "TRUNCATE")
			run(t, app, fill)
			r.start(t)
			r.mark(t)
			if got := ask(t, app, "PRAGMA page_size"); got != strconv.Itoa(size) {
				t.Fatalf("the page size is %s", got)
			}
			run(t, app, thin, "VACUUM", fill)
			r.check(t, source.RuleRestarted)
		})
	}
}

// TestBeyondOneGiB lets a sparse database grow over the page at 2^30, which
// SQLite never uses, and takes it up again after its log was emptied unseen.
func TestBeyondOneGiB(t *testing.T) {
	lockPage := int(ltx.LockPgno(ltx.MaxPageSize))
	path := filepath.Join(t.TempDir(), "large.db")
	mustSetUp(t, path, fmt.Sprintf("PRAGMA page_size=%d", ltx.MaxPageSize))
	app := startOlder(t, path)
	run(t, app, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
	app.Quit()
	mustStretch(t, path, ltx.MaxPageSize, uint32(lockPage-3))
	app = startOlder(t, path)
	r := mustReplicate(t, path)
	r.pass(t)

	for pages(t, app) <= lockPage+3 {
		run(t, app, "INSERT INTO t(v) VALUES (randomblob(100000))")
	}
	if grown := r.pass(t); grown.Puts == 0 || grown.Bytes > 2<<20 {
		t.Errorf("growing put %d objects of %d bytes, want what was added alone", grown.Puts, grown.Bytes)
	}
	checkpoint(t, app, "PASSIVE")
	sameFile(t, r, path)

	r.stop(t)
	run(t, app, "UPDATE t SET v = randomblob(60000)")
	checkpoint(t, app, "TRUNCATE")
	r.start(t)
	if again := r.pass(t); again.Puts == 0 || again.Bytes > 4<<20 {
		t.Errorf("the resync put %d objects of %d bytes, want what differs alone", again.Puts, again.Bytes)
	}
	sameFile(t, r, path)
	r.wantResyncs(t, source.RuleNoLog)
}

// mustStretch makes a closed database longer without writing so much. Nothing
// refers to the new pages, which SQLite does not mind.
func mustStretch(t *testing.T, path string, pageSize int64, commit uint32) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(binary.BigEndian.AppendUint32(nil, commit), 28); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(int64(commit) * pageSize); err != nil {
		t.Fatal(err)
	}
}

// sameFile compares the latest state with the database file, in which all of the
// log is, by a program that reads both piece by piece.
func sameFile(t *testing.T, r *rig, path string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "restored.db")
	if _, err := restore.Run(t.Context(), r.replica, restore.Options{Output: out}); err != nil {
		t.Fatal(err)
	}
	shell(t, "cmp %s %s && rm %s", out, path, out) // it is large
}
