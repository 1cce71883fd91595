package restore_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/wal"
)

// A database beyond 1 GiB: the lock page is not in any object, and pages of
// zeros take no space.
func TestRunRestoresASparseFileBeyondTheLockPage(t *testing.T) {
	if testing.Short() {
		t.Skip("encodes and restores 1 GiB")
	}
	const pageSize = ltx.MaxPageSize
	lockPage := ltx.LockPgno(pageSize)
	commit := lockPage + 2
	h := newHistory(t, pageSize)
	mustPut(t, h.replica, replica.Draft{
		Min: 1, Max: 1, Created: epoch, Writer: writer, Position: wal.Position{PageSize: pageSize, Commit: commit},
	}, func(emit func(uint32, []byte) error) error {
		for pgno := uint32(1); pgno <= commit; pgno++ {
			if pgno == lockPage {
				continue
			}
			if err := emit(pgno, sparsePage(pgno, commit)); err != nil {
				return err
			}
		}
		return nil
	})
	out := filepath.Join(t.TempDir(), "out.db")
	result, err := restore.Run(t.Context(), h.replica, restore.Options{Output: out})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, pgno := range []uint32{1, 2, lockPage - 1, lockPage, lockPage + 1, lockPage + 2} {
		got := make([]byte, pageSize)
		if _, err := f.ReadAt(got, int64(pgno-1)*pageSize); err != nil || string(got) != string(sparsePage(pgno, commit)) {
			t.Errorf("page %d is not what it was: %v", pgno, err)
		}
	}
	info, err := f.Stat()
	if err != nil || info.Size() != int64(commit)*pageSize || result.Bytes != info.Size() || result.Pages != commit {
		t.Errorf("%d bytes, %v; result %+v", info.Size(), err, result)
	}
	if blocks := info.Sys().(*syscall.Stat_t).Blocks; blocks > 4*pageSize/512 {
		t.Errorf("takes %d blocks of 512 bytes", blocks)
	}
}

// sparsePage returns zeros but for the first page and the one after the lock
// page.
func sparsePage(pgno, commit uint32) []byte {
	page := make([]byte, ltx.MaxPageSize)
	switch pgno {
	case 1:
		copy(page, header(ltx.MaxPageSize, commit))
	case ltx.LockPgno(ltx.MaxPageSize) + 1:
		copy(page, "beyond the lock page")
	}
	return page
}
