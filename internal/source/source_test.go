package source_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/internal/wal"
)

// mirror is a replica in memory: what a restore would give.
type mirror struct {
	pages   map[uint32][]byte
	at      wal.Position
	resyncs []source.Rule
}

// apply reads all of c's pages.
func (m *mirror) apply(t *testing.T, c *source.Changeset) {
	t.Helper()
	if c.Full {
		m.pages = make(map[uint32][]byte)
		m.resyncs = append(m.resyncs, c.Rule)
	}
	err := c.Pages(func(page uint32, data []byte) error {
		m.pages[page] = bytes.Clone(data)
		return nil
	})
	if err != nil {
		t.Fatalf("read changeset: %v", err)
	}
	for page := range m.pages {
		if page > c.End.Commit {
			delete(m.pages, page)
		}
	}
	m.at = c.End
}

// file returns the mirror as a database file.
func (m *mirror) file() []byte {
	b := make([]byte, int(m.at.Commit)*int(m.at.PageSize))
	for page, data := range m.pages {
		copy(b[int(page-1)*int(m.at.PageSize):], data)
	}
	return b
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func mustOpen(t *testing.T, path string) *source.DB {
	t.Helper()
	db, err := source.Open(path, quiet())
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _, _ = db.Close() })
	return db
}

func mustEqual(t *testing.T, m *mirror, path string) {
	t.Helper()
	sqlitetest.Same(t, m.file(), sqlitetest.Truth(t, path), int(m.at.PageSize))
}

// pass captures and ships until nothing is left.
func pass(t *testing.T, db *source.DB, m *mirror, limit int) {
	t.Helper()
	for {
		c, err := db.Capture(limit, "")
		if err != nil {
			t.Fatalf("capture: %v", err)
		}
		if !c.Empty() {
			m.apply(t, c)
		}
		if err := db.Shipped(c); err != nil {
			t.Fatalf("shipped: %v", err)
		}
		if c.Complete {
			return
		}
	}
}

// change runs one random transaction or maintenance statement.
func change(t *testing.T, app *sql.DB, r *rand.Rand) {
	t.Helper()
	switch r.IntN(14) {
	case 0:
		sqlitetest.Exec(t, app, "PRAGMA wal_checkpoint(PASSIVE)")
	case 1:
		sqlitetest.Exec(t, app, "PRAGMA busy_timeout=1")
		sqlitetest.Exec(t, app, "PRAGMA wal_checkpoint("+[]string{"FULL", "RESTART", "TRUNCATE"}[r.IntN(3)]+")")
		sqlitetest.Exec(t, app, "PRAGMA busy_timeout=5000")
	case 2:
		sqlitetest.Exec(t, app, "DELETE FROM t WHERE id % 3 = ?", r.IntN(3))
	case 3:
		sqlitetest.Exec(t, app, "PRAGMA incremental_vacuum")
	case 4:
		if r.IntN(4) == 0 {
			sqlitetest.Exec(t, app, "VACUUM")
		}
	case 5:
		sqlitetest.Exec(t, app, "UPDATE t SET v = ? WHERE id % 7 = ?", blobOf(r), r.IntN(7))
	case 6: // pages that are freed in the transaction that added them
		sqlitetest.Exec(t, app, "BEGIN; CREATE TABLE big AS SELECT zeroblob(40000) AS z; DROP TABLE big; COMMIT")
	default:
		sqlitetest.Exec(t, app, "INSERT INTO t(v) VALUES (?)", blobOf(r))
	}
}

func blobOf(r *rand.Rand) []byte {
	b := make([]byte, r.IntN(3000))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestCaptureFollowsEverythingThatAnApplicationDoes(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			path := filepath.Join(t.TempDir(), "app.db")
			app := sqlitetest.Open(t, path, fmt.Sprintf("page_size=%d", 512<<r.IntN(8)), fmt.Sprintf("auto_vacuum=%d", r.IntN(3)))
			sqlitetest.Exec(t, app, "CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)")
			db := mustOpen(t, path)
			m := &mirror{}
			for range 300 {
				for range r.IntN(6) {
					change(t, app, r)
				}
				step(t, db, m, r)
			}
			pass(t, db, m, 0)
			mustEqual(t, m, path)
			if len(m.resyncs) != 1 {
				t.Errorf("took all pages %d times (%v), want once", len(m.resyncs), m.resyncs)
			}
		})
	}
}

// step does one of the things that a worker does between an application's
// transactions.
func step(t *testing.T, db *source.DB, m *mirror, r *rand.Rand) {
	t.Helper()
	switch r.IntN(6) {
	case 0: // a put that fails
		if _, err := db.Capture(1+r.IntN(20), ""); err != nil {
			t.Fatalf("capture: %v", err)
		}
		if err := db.Dropped(); err != nil {
			t.Fatalf("dropped: %v", err)
		}
	case 1:
		if _, err := db.Tend(); err != nil {
			t.Fatalf("tend: %v", err)
		}
	case 2:
		pass(t, db, m, 0)
		if _, err := db.Checkpoint(); err != nil {
			t.Fatalf("checkpoint: %v", err)
		}
	case 3:
		pass(t, db, m, 1+r.IntN(10))
	default:
		pass(t, db, m, 0)
	}
}
