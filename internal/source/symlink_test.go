package source_test

import (
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// TestSymbolicLinkBesideAnOldLog opens a database by a symbolic link. SQLite
// keeps the log beside the file, not beside the link, where an old one may lie.
func TestSymbolicLinkBesideAnOldLog(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("D", dir)
	mustRun(t, "mkdir $D/real $D/links; ln -s $D/real/app.db $D/links/app.db")
	real, link := filepath.Join(dir, "real", "app.db"), filepath.Join(dir, "links", "app.db")
	app := sqlitetest.StartShell(t, real)
	app.Run(t, "CREATE TABLE t(v);", "INSERT INTO t VALUES (1);", "INSERT INTO t VALUES (2);")
	mustRun(t, "cp $D/real/app.db-wal $D/real/app.db-shm $D/links") // before the file was moved, say
	app.Run(t, "PRAGMA wal_checkpoint(TRUNCATE);", "INSERT INTO t VALUES (3);", "INSERT INTO t VALUES (4);")
	db, m := mustOpen(t, link), &mirror{}
	pass(t, db, m, 0)
	app.Run(t, "INSERT INTO t VALUES (4);")
	pass(t, db, m, 0)
	mustEqual(t, m, real)
}
