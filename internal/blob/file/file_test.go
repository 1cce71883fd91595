package file_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/blobtest"
	"github.com/holdfast-db/holdfast/internal/blob/file"
)

const first = "ltx/0/0000000000000001-0000000000000001.ltx"

func TestStore(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return file.New(t.TempDir() + "/replica") })
}

func TestListOfManyFiles(t *testing.T) {
	root := t.TempDir()
	const files = 5500
	for i := range files {
		mustWrite(t, filepath.Join(root, fmt.Sprintf("ltx/0/%016x-%016x.ltx", i, i)), nil)
	}
	next := 0
	for info, err := range file.New(root).List(t.Context(), "ltx/0/") {
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("ltx/0/%016x-%016x.ltx", next, next), info.Key)
		next++
	}
	require.Equal(t, files, next)
}

func TestLitestreamReadsIt(t *testing.T) {
	root := t.TempDir()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	mustPut(t, file.New(root), first, "abc", blob.Metadata{blob.TimestampKey: at.Format(time.RFC3339Nano), "holdfastwriter": "w"})

	entries, err := os.ReadDir(filepath.Join(root, "ltx/0"))
	require.NoError(t, err)
	for _, entry := range entries {
		_, _, err := ltx.ParseFilename(entry.Name())
		require.NoError(t, err, "Litestream lists this folder")
		info, err := entry.Info()
		require.NoError(t, err)
		require.Equal(t, at, info.ModTime().UTC(), "Litestream takes this for the object's time")
		require.Equal(t, fs.FileMode(0o600), info.Mode())
	}
	require.Len(t, entries, 1)
	tmp, err := os.ReadDir(filepath.Join(root, ".holdfast/tmp"))
	require.NoError(t, err)
	require.Empty(t, tmp, "a put leaves nothing behind")
}

func TestReadsLitestreams(t *testing.T) {
	root := t.TempDir()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	path := filepath.Join(root, first)
	mustWrite(t, path, []byte("abc"))
	mustWrite(t, path+".tmp", []byte("unfinished"))
	require.NoError(t, os.Chtimes(path, at, at))

	store := file.New(root)
	want := blob.Info{Key: first, Size: 3, Modified: at, Metadata: blob.Metadata{blob.TimestampKey: "2026-01-02T03:04:05.006Z"}}
	info, err := store.Stat(t.Context(), first)
	require.NoError(t, err)
	require.Equal(t, want, info)
	require.Equal(t, []blob.Info{want}, mustList(t, store))
	require.NoDirExists(t, filepath.Join(root, ".holdfast"), "reading writes nothing")
}

func TestSidecars(t *testing.T) {
	meta := blob.Metadata{"holdfastwriter": "w"}
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, object, sidecar string)
		want  blob.Metadata
		err   string
	}{
		{name: "an object has the metadata of its sidecar", want: meta,
			spoil: func(*testing.T, string, string) {}},
		{name: "an object of another size is not the sidecar's",
			spoil: func(t *testing.T, object, _ string) { mustWrite(t, object, []byte("another")) }},
		{name: "a lost sidecar leaves the time",
			spoil: func(t *testing.T, _, sidecar string) { require.NoError(t, os.Remove(sidecar)) }},
		{name: "a damaged sidecar is an error", err: "damaged sidecar",
			spoil: func(t *testing.T, _, sidecar string) { mustWrite(t, sidecar, []byte(`{"size":3,"meta`)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			store := file.New(root)
			mustPut(t, store, first, "abc", meta)
			tt.spoil(t, filepath.Join(root, first), filepath.Join(root, ".holdfast/meta", first+".json"))
			info, err := store.Stat(t.Context(), first)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			if tt.want == nil {
				tt.want = blob.Metadata{blob.TimestampKey: info.Modified.Format(time.RFC3339Nano)}
			}
			require.Equal(t, tt.want, info.Metadata)
		})
	}
}

func TestCrashedPuts(t *testing.T) {
	root := t.TempDir()
	dead, live := filepath.Join(root, ".holdfast/tmp/dead"), filepath.Join(root, ".holdfast/tmp/live")
	mustWrite(t, dead, []byte("half"))
	mustWrite(t, live, []byte("half"))
	mustWrite(t, filepath.Join(root, ".holdfast/meta", first+".json"), []byte(`{"size":3,"metadata":{"a":"the dead writer's"}}`))
	writer, err := os.Open(live)
	require.NoError(t, err)
	defer writer.Close()
	require.NoError(t, syscall.Flock(int(writer.Fd()), syscall.LOCK_EX))

	store := file.New(root)
	require.Empty(t, mustList(t, store))
	mustPut(t, store, first, "abc", blob.Metadata{"a": "b"})
	require.NoFileExists(t, dead)
	require.FileExists(t, live)
	require.Equal(t, blob.Metadata{"a": "b"}, mustList(t, store)[0].Metadata)
}

// Each Store stands for a process: the lock is the file system's, not Go's.
func TestRaceOfProcesses(t *testing.T) {
	for range 10 {
		root := t.TempDir()
		var wins []string
		var mu sync.Mutex
		var done sync.WaitGroup
		for i := range 8 {
			done.Go(func() {
				who := fmt.Sprint(i)
				_, err := file.New(root).Put(t.Context(), first, bytes.NewReader([]byte(who)), blob.Metadata{"writer": who})
				if err == nil {
					mu.Lock()
					defer mu.Unlock()
					wins = append(wins, who)
				} else if !errors.Is(err, blob.ErrExists) {
					t.Error(err)
				}
			})
		}
		done.Wait()
		require.Len(t, wins, 1)
		require.Equal(t, blob.Metadata{"writer": wins[0]}, mustList(t, file.New(root))[0].Metadata)
	}
}

// Litestream knows nothing of the lock. Here it creates the object between the
// look and the link.
func TestRaceWithAnotherProgram(t *testing.T) {
	for range 20 {
		root := t.TempDir()
		object, sidecar := filepath.Join(root, first), filepath.Join(root, ".holdfast/meta", first+".json")
		var other error
		var done sync.WaitGroup
		done.Go(func() {
			for _, err := os.Stat(sidecar); err != nil; _, err = os.Stat(sidecar) {
			}
			f, err := os.OpenFile(object, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err == nil {
				_, err = f.WriteString("its")
			}
			other = err
		})
		store := file.New(root)
		_, ours := store.Put(t.Context(), first, bytes.NewReader([]byte("our")), blob.Metadata{"writer": "w"})
		done.Wait()
		data, err := os.ReadFile(object)
		require.NoError(t, err)
		info := mustList(t, store)[0]
		if other == nil {
			require.ErrorIs(t, ours, blob.ErrExists)
			require.Equal(t, "its", string(data))
			require.Empty(t, info.Metadata["writer"])
		} else {
			require.NoError(t, ours)
			require.Equal(t, "our", string(data))
			require.Equal(t, "w", info.Metadata["writer"])
		}
	}
}

func TestDirectories(t *testing.T) {
	root := t.TempDir()
	elsewhere := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "ltx"), 0o755))
	require.NoError(t, os.Symlink(elsewhere, filepath.Join(root, "ltx/0")))
	store := file.New(root)
	mustPut(t, store, first, "abc", nil)
	require.FileExists(t, filepath.Join(elsewhere, filepath.Base(first)))
	require.Len(t, mustList(t, store), 1, "a level may be a link to another folder")
	require.NoError(t, store.Delete(t.Context(), "ltx"), "a folder is no object")
	require.DirExists(t, filepath.Join(root, "ltx"))
}

func TestErrors(t *testing.T) {
	store := file.New("/replica")
	link := func(err error) error { return &os.LinkError{Op: "link", Old: "a", New: "b", Err: err} }
	path := func(err error) error { return &fs.PathError{Op: "write", Path: "a", Err: err} }
	for _, tt := range []struct {
		name string
		op   string
		err  error
		want []error
	}{
		{"no permission", "put", path(syscall.EACCES), []error{blob.ErrDenied}},
		{"a read-only file system", "put", path(syscall.EROFS), []error{blob.ErrDenied}},
		{"a full disk", "put", path(syscall.ENOSPC), []error{syscall.ENOSPC}},
		{"a used-up quota", "put", path(syscall.EDQUOT), []error{syscall.EDQUOT}},
		{"no hard links", "put", link(syscall.EPERM), []error{blob.ErrConfig}},
		{"no locks", "put", path(syscall.EOPNOTSUPP), []error{blob.ErrConfig}},
		{"a file where a folder should be", "put", path(syscall.ENOTDIR), []error{blob.ErrConfig}},
		{"a file where a folder should be", "get", path(syscall.ENOTDIR), []error{blob.ErrNotFound}},
		{"a disk that fails", "get", path(syscall.EIO), []error{blob.ErrUnavailable, syscall.EIO}},
		{"a lost network file system", "list", path(syscall.ESTALE), []error{blob.ErrUnavailable}},
		{"a deadline", "get", context.DeadlineExceeded, []error{context.DeadlineExceeded}},
		{"another link to it", "put", link(syscall.EEXIST), []error{blob.ErrExists}},
	} {
		t.Run(tt.name+" in "+tt.op, func(t *testing.T) {
			err := store.Explain(tt.op, first, tt.err)
			for _, want := range tt.want {
				require.ErrorIs(t, err, want)
			}
			for _, kind := range []error{blob.ErrDenied, blob.ErrExists, blob.ErrNotFound, blob.ErrUnavailable, blob.ErrConfig} {
				require.Equal(t, errors.Is(tt.want[0], kind), errors.Is(err, kind), "%v", kind)
			}
			require.Regexp(t, "^store: "+tt.op+" "+first+": [^\n]+$", err.Error())
		})
	}
}

func TestBodyErrorsAreNotTheStores(t *testing.T) {
	for _, broken := range []error{syscall.EACCES, fs.ErrNotExist, fs.ErrExist} {
		_, err := file.New(t.TempDir()).Put(t.Context(), first, io.MultiReader(bytes.NewReader([]byte("a")), &failing{broken}), nil)
		require.ErrorIs(t, err, broken)
		for _, kind := range []error{blob.ErrDenied, blob.ErrNotFound, blob.ErrExists} {
			require.NotErrorIs(t, err, kind)
		}
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func mustWrite(t *testing.T, path string, data []byte) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, data, 0o644))
}

func mustPut(t *testing.T, store blob.Store, key, data string, meta blob.Metadata) {
	t.Helper()
	_, err := store.Put(t.Context(), key, bytes.NewReader([]byte(data)), meta)
	require.NoError(t, err)
}

func mustList(t *testing.T, store blob.Store) []blob.Info {
	t.Helper()
	var infos []blob.Info
	for info, err := range store.List(t.Context(), "") {
		require.NoError(t, err)
		infos = append(infos, info)
	}
	return infos
}
