package faultfs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/ship/faultfs"
)

// use makes each kind of call once, as far as they succeed: a file is written,
// gets the name new in the place of an older one, and old is removed.
func use(fs ship.FS, dir string) error {
	at := func(name string) string { return filepath.Join(dir, name) }
	f, err := fs.Create(at("tmp"))
	if err != nil {
		return err
	}
	_, err = f.Write([]byte("0123456789"))
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	for _, err := range []error{fs.Rename(at("tmp"), at("new")), fs.Remove(at("old")), fs.SyncDir(dir)} {
		if err != nil {
			return err
		}
	}
	return nil
}

func newDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "old"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// holds returns the files of dir as name:size.
func holds(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, fmt.Sprintf("%s:%d", e.Name(), info.Size()))
	}
	return fmt.Sprint(files)
}

func TestEachFaultDoesWhatItSays(t *testing.T) {
	const enospc, eio = syscall.ENOSPC, syscall.EIO
	rows := []struct {
		name string
		n    int
		kind faultfs.Kind
		call string
		want error
		left string
	}{
		{"no file can be made", 1, faultfs.NoSpace, "1 create tmp: no space", enospc, "[old:0]"},
		{"nothing can be written", 2, faultfs.NoSpace, "2 write tmp: no space", enospc, "[old:0 tmp:0]"},
		{"what was written does not get to disk", 3, faultfs.NoSpace, "3 sync tmp: no space", enospc, "[old:0 tmp:10]"},
		{"the directory is full", 4, faultfs.NoSpace, "5 rename new: no space", enospc, "[tmp:10]"},
		{"the directory cannot be synced", 5, faultfs.NoSpace, "7 sync directory DIR: no space", enospc, "[new:10]"},
		{"half is written", 1, faultfs.ShortWrite, "2 write tmp: short write", enospc, "[old:0 tmp:5]"},
		{"it cannot be synced", 3, faultfs.IO, "3 sync tmp: input/output error", eio, "[old:0 tmp:10]"},
		{"it cannot be closed", 4, faultfs.IO, "4 close tmp: input/output error", eio, "[old:0 tmp:10]"},
		{"it cannot be removed", 6, faultfs.IO, "6 remove old: input/output error", eio, "[new:10 old:0]"},
		{"it was made, and nobody knows", 1, faultfs.Late, "1 create tmp: done, yet an error", eio, "[old:0 tmp:0]"},
		{"it was renamed, and nobody knows", 2, faultfs.Late, "5 rename new: done, yet an error", eio, "[new:10]"},
		{"it was removed, and nobody knows", 3, faultfs.Late, "6 remove old: done, yet an error", eio, "[new:10]"},
		{"the process dies before it renames", 5, faultfs.Dead, "5 rename new: dead", eio, "[old:0 tmp:10]"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			fs, dir := faultfs.New(ship.OS), newDir(t)
			hits := 0
			fs.Fail(row.n, row.kind, func() { hits++ })
			if err := use(fs, dir); !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
			failed := fmt.Sprint(fs.Failed())
			if want := "[" + strings.ReplaceAll(row.call, "DIR", filepath.Base(dir)) + "]"; failed != want || hits != 1 {
				t.Errorf("failed %s, told %d times; want %s, once", failed, hits, want)
			}
			if got := holds(t, dir); got != row.left {
				t.Errorf("the directory holds %s, want %s", got, row.left)
			}
		})
	}
}

func TestEachCallCountsOnce(t *testing.T) {
	fs, dir := faultfs.New(ship.OS), newDir(t)
	if err := use(fs, dir); err != nil {
		t.Fatal(err)
	}
	want := []faultfs.Op{faultfs.Create, faultfs.Write, faultfs.Sync, faultfs.Close, faultfs.Rename, faultfs.Remove, faultfs.SyncDir}
	var got []faultfs.Op
	for i, c := range fs.Calls() {
		if got = append(got, c.Op); c.Number != i+1 || c.Fault != faultfs.None {
			t.Errorf("call %d is %v", i+1, c)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDeadProcessDoesNothingMore(t *testing.T) {
	fs, dir := faultfs.New(ship.OS), newDir(t)
	fs.Die()
	if err := use(fs, dir); !errors.Is(err, syscall.EIO) || len(fs.Calls()) != 0 || holds(t, dir) != "[old:0]" {
		t.Errorf("got %v, calls %v, files %s; want that nothing happened", err, fs.Calls(), holds(t, dir))
	}
	fs.Heal()
	if err := use(fs, dir); err != nil || holds(t, dir) != "[new:10]" {
		t.Errorf("got %v, files %s after it was healed", err, holds(t, dir))
	}
}

func TestErrorsOfTheFileSystemItselfComeThrough(t *testing.T) {
	fs := faultfs.New(ship.OS)
	if err := fs.Remove(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that there is none", err)
	}
}
