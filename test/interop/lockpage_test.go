package interop_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/internal/wal"
)

// A sparse database of more than 1 GiB, with content after the lock page.
func TestBothRestoreBeyondTheLockPage(t *testing.T) {
	inEachPlace(t, func(t *testing.T, p place) {
		path := filepath.Join(t.TempDir(), "large.db")
		app := sqlitetest.Open(t, path, "page_size=65536")
		sqlitetest.Exec(t, app, "CREATE TABLE orders (id INTEGER PRIMARY KEY, note BLOB)")
		if err := app.Close(); err != nil { // the log goes
			t.Fatal(err)
		}
		commit := mustStretch(t, path)
		shipPages(t, p, 1, path, commit, allButTheLockPage(commit))

		app = sqlitetest.Open(t, path, "wal_autocheckpoint=0")
		var verdict string
		if err := app.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
			t.Fatalf("the stretched database is not one: %s, %v", verdict, err)
		}
		sqlitetest.Exec(t, app, rows(1, 1, 200_000))
		changed := pagesInLog(t, path)
		if slices.Max(changed) <= ltx.LockPgno(ltx.MaxPageSize) {
			t.Fatalf("pages %v were written, want some after the lock page", changed)
		}
		if err := app.Close(); err != nil { // the log goes again
			t.Fatal(err)
		}
		shipPages(t, p, 2, path, commit, changed)
		assertBothRestore(t, p, plan.Target{}, path)
	})
}

// mustStretch makes the database at path longer than 1 GiB without writing so
// much: all new pages are free, which two pages of numbers say. It returns the
// number of pages.
func mustStretch(t *testing.T, path string) uint32 {
	t.Helper()
	const pageSize = ltx.MaxPageSize
	lockPage := ltx.LockPgno(pageSize)
	first := mustSize(t, path)/pageSize + 1
	commit := lockPage + 8
	free := []uint32{lockPage + 1} // SQLite takes the first, then its neighbours
	for pgno := first + 2; pgno <= commit; pgno++ {
		if pgno != lockPage && pgno != lockPage+1 {
			free = append(free, pgno)
		}
	}
	half := len(free) / 2
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	header := words(commit, first, uint32(len(free)+2)) // pages, first list, free pages: from byte 28 on
	for offset, b := range map[int64][]byte{
		28:                         header,
		int64(first-1) * pageSize:  words(append([]uint32{first + 1, uint32(half)}, free[:half]...)...),
		int64(first) * pageSize:    words(append([]uint32{0, uint32(len(free) - half)}, free[half:]...)...),
		int64(commit)*pageSize - 1: {0},
	} {
		if _, err := f.WriteAt(b, offset); err != nil {
			t.Fatal(err)
		}
	}
	return commit
}

func words(values ...uint32) (b []byte) {
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

func mustSize(t *testing.T, path string) uint32 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(info.Size())
}

func allButTheLockPage(commit uint32) (pgnos []uint32) {
	for pgno := uint32(1); pgno <= commit; pgno++ {
		if pgno != ltx.LockPgno(ltx.MaxPageSize) {
			pgnos = append(pgnos, pgno)
		}
	}
	return pgnos
}

// pagesInLog returns the numbers of the pages in the log of the database at
// path, ascending.
func pagesInLog(t *testing.T, path string) []uint32 {
	t.Helper()
	log, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	var pgnos []uint32
	for at := wal.HeaderSize; at < len(log); at += wal.FrameHeaderSize + ltx.MaxPageSize {
		pgnos = append(pgnos, binary.BigEndian.Uint32(log[at:]))
	}
	slices.Sort(pgnos)
	return slices.Compact(pgnos)
}

// shipPages puts pages of the database file at path.
func shipPages(t *testing.T, p place, txid ltx.TXID, path string, commit uint32, pgnos []uint32) {
	t.Helper()
	f := mustOpen(t, path)
	defer f.Close()
	page := make([]byte, ltx.MaxPageSize)
	mustPut(t, p, draft(txid, ltx.MaxPageSize, commit, 0), func(emit func(uint32, []byte) error) error {
		for _, pgno := range pgnos {
			if _, err := f.ReadAt(page, int64(pgno-1)*ltx.MaxPageSize); err != nil {
				return err
			}
			if err := emit(pgno, page); err != nil {
				return err
			}
		}
		return nil
	})
}
