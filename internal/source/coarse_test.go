package source_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// TestWriteWithinTheStampsSecond closes cleanly, and lets an application come,
// write and go within the same second. On a file system whose times are whole
// seconds (ext4 with inodes of 128 bytes: TMPDIR in one shows it) the stamp does
// not tell.
func TestWriteWithinTheStampsSecond(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	app := sqlitetest.StartShell(t, path)
	app.Run(t, "CREATE TABLE t(v);", "INSERT INTO t VALUES (1);", "PRAGMA wal_checkpoint(TRUNCATE);")
	db, m := mustOpen(t, path), &mirror{}
	pass(t, db, m, 0)
	now := time.Now()
	time.Sleep(now.Truncate(time.Second).Add(time.Second).Sub(now)) // a second begins
	app.Run(t, "UPDATE t SET v = 2;")
	pass(t, db, m, 0)
	app.Quit()
	clean, err := db.Close()
	if err != nil {
		t.Fatal(err)
	}
	app = sqlitetest.StartShell(t, path)
	app.Run(t, "UPDATE t SET v = 3;")
	app.Quit()
	t.Logf("stamp %+v, %v after the second began", clean, time.Since(now.Truncate(time.Second).Add(time.Second)))
	db = mustOpen(t, path)
	db.Resume(source.Place{Position: m.at, Clean: clean})
	pass(t, db, m, 0)
	mustEqual(t, m, path)
}
