package wal_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/internal/wal"
)

// TestWrittenFramesAreThoseOfSQLite writes what a log of SQLite holds anew, which gives
// the same bytes; with salts of its own, SQLite recovers what the log said.
func TestWrittenFramesAreThoseOfSQLite(t *testing.T) {
	for _, pageSize := range []int{512, 65536} {
		l := mustLog(t, pageSize, 4)
		h, err := wal.ReadHeader(bytes.NewReader(l.bytes))
		if err != nil {
			t.Fatal(err)
		}
		if got := rewritten(t, l.bytes, wal.NewHeader(h.PageSize, h.Sequence, h.Salts)); !bytes.Equal(got, l.bytes) {
			t.Errorf("pages of %d bytes: the log is another", pageSize)
		}
	}
}

// TestSQLiteRecoversAWrittenLog puts a log with other salts beside a database.
func TestSQLiteRecoversAWrittenLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	app := sqlitetest.Open(t, path)
	sqlitetest.Exec(t, app, "PRAGMA wal_autocheckpoint=0")
	sqlitetest.Exec(t, app, "CREATE TABLE t(x)")
	sqlitetest.Exec(t, app, "INSERT INTO t VALUES ('in the log')")
	want := sqlitetest.Truth(t, path)
	log := mustCopyOf(t, path+"-wal")
	written := filepath.Join(t.TempDir(), "written.db")
	mustWriteFile(t, written, mustCopyOf(t, path))
	mustWriteFile(t, written+"-wal", rewritten(t, log, wal.NewHeader(4096, 7, [2]uint32{11, 22})))
	sqlitetest.Same(t, sqlitetest.Truth(t, written), want, 4096)
}

// rewritten returns the log with header h and the frames that the old one has.
func rewritten(t *testing.T, log []byte, h wal.Header) []byte {
	t.Helper()
	head := h.Bytes()
	b, chain := bytes.Clone(head[:]), h.Chain
	for n := uint32(1); wal.FrameOffset(n+1, h.PageSize) <= int64(len(log)); n++ {
		f, _, err := wal.ReadFrame(bytes.NewReader(log), n, h.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		page := log[wal.FrameOffset(n, h.PageSize)+wal.FrameHeaderSize : wal.FrameOffset(n+1, h.PageSize)]
		b, chain = h.AppendFrame(b, chain, f.Page, f.Commit, page)
	}
	return b
}

// mustCopyOf reads a file that is open in this process; nobody writes to it any more.
func mustCopyOf(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustWriteFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
