package wal_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/internal/wal"
)

// TestPagesThatSpilledAndWereCutOff scans a transaction that spilled pages beyond
// the size that it committed.
func TestPagesThatSpilledAndWereCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	app := sqlitetest.StartShell(t, path)
	app.Run(t, "PRAGMA journal_mode=DELETE;", "PRAGMA page_size=512;", "PRAGMA auto_vacuum=1;", "VACUUM;", "PRAGMA journal_mode=WAL;",
		"CREATE TABLE t(v);", "PRAGMA wal_checkpoint(TRUNCATE);", "PRAGMA cache_size=5;",
		"BEGIN; INSERT INTO t VALUES (randomblob(40000)); DELETE FROM t; COMMIT;")
	f, err := os.Open(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	h, err := wal.ReadHeader(f)
	if err != nil {
		t.Fatal(err)
	}
	info, _ := f.Stat()
	end := uint32((info.Size() - wal.HeaderSize) / int64(wal.FrameHeaderSize+h.PageSize))
	c, err := wal.Scan(f, h, 0, h.Chain, end, 0)
	if err != nil {
		t.Fatal(err)
	}
	for page := range c.Pages {
		if page > c.Commit {
			t.Errorf("page %d counts as written in a database of %d pages", page, c.Commit)
		}
	}
	t.Logf("%d frames, %d pages, commit %d", end, len(c.Pages), c.Commit)
}
