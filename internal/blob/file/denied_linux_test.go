package file_test

import (
	"bytes"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/file"
)

func TestNoPermission(t *testing.T) {
	root := t.TempDir()
	store := file.New(root)
	mustPut(t, store, first, "abc", nil)
	require.NoError(t, os.Chmod(root, 0))
	t.Cleanup(func() { require.NoError(t, os.Chmod(root, 0o700)) })
	asNobody(t)

	_, err := store.Put(t.Context(), "ltx/0/b", bytes.NewReader(nil), nil)
	require.ErrorIs(t, err, blob.ErrDenied)
	_, err = store.Stat(t.Context(), first)
	require.ErrorIs(t, err, blob.ErrDenied)
	_, err = store.Get(t.Context(), first, 0, -1)
	require.ErrorIs(t, err, blob.ErrDenied)
	require.ErrorIs(t, store.Delete(t.Context(), first), blob.ErrDenied)
	for _, err := range store.List(t.Context(), "") {
		require.ErrorIs(t, err, blob.ErrDenied)
	}
}

// asNobody gives up root's passage through file modes until the test ends.
func asNobody(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	runtime.LockOSThread() // file modes are judged for each thread
	require.NoError(t, syscall.Setfsuid(65534))
	t.Cleanup(func() {
		require.NoError(t, syscall.Setfsuid(0))
		runtime.UnlockOSThread()
	})
}
