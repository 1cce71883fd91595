package faults_test

import (
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/test/faults/hook"
)

// TestCheckpointBetweenTheTwoNumbers lets an application write a page anew and
// checkpoint, in the instant when a measurement has read how long the log is but
// not yet how much of it is in the file. A checkpoint leaves out the older frame
// of a page that has a newer one: it is in the file by number, not by content.
func TestCheckpointBetweenTheTwoNumbers(t *testing.T) {
	measured := 1
	for n := 1; n <= measured; n++ {
		t.Run(fmt.Sprintf("measurement %d", n), func(t *testing.T) {
			measured = between(t, n)
		})
	}
}

// between makes it happen in the n-th measurement of a capture of all pages and
// returns how many there were.
func between(t *testing.T, n int) (measured int) {
	path := filepath.Join(t.TempDir(), "app.db")
	app := sqlitetest.StartShell(t, path)
	app.Run(t, "CREATE TABLE a(v);", "INSERT INTO a VALUES (1);", "PRAGMA wal_checkpoint(TRUNCATE);", "UPDATE a SET v = 2;")
	db, err := source.Open(path, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // the test is over
	mustCapture(t, db, "")
	app.Run(t, "UPDATE a SET v = 3;")
	end, _ := mustCapture(t, db, "") // below the lock's mark from now on, and not in the file
	want := sqlitetest.Truth(t, path)
	hook.Install(func(point int) {
		if point != hook.Checkpoint {
			return
		}
		if measured++; measured == n {
			app.Run(t, "UPDATE a SET v = 4;", "PRAGMA wal_checkpoint(PASSIVE);")
		}
	})
	defer hook.Install(nil)
	at, image := mustCapture(t, db, source.RuleScrub)
	hook.Install(nil)
	if at > end {
		want = sqlitetest.Truth(t, path)
	}
	sqlitetest.Same(t, image, want, int(db.PageSize()))
	return measured
}

// mustCapture captures all there is and returns its last frame and, if it has all
// pages, the database.
func mustCapture(t *testing.T, db *source.DB, force source.Rule) (frame uint32, image []byte) {
	t.Helper()
	c, err := db.Capture(0, force)
	if err == nil {
		err = c.Pages(func(_ uint32, data []byte) error {
			image = append(image, data...)
			return nil
		})
	}
	if err == nil {
		err = db.Shipped(c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c.End.Frame, image
}
