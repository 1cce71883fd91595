package discover_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/internal/discover"
	"github.com/holdfast-db/holdfast/internal/source"
)

func found(path, name string, root source.FileID, device uint64) discover.Found {
	return discover.Found{
		Database: config.Database{Path: path, Name: name, Replica: "file:///r/" + name},
		File:     discover.File{Path: path, ID: source.FileID{Device: device, Inode: 5}, Root: root},
	}
}

func mustRecord(t *testing.T, file string) *discover.Record {
	t.Helper()
	r, err := discover.LoadRecord(file)
	mustDo(t, err)
	return r
}

func TestARecordOutlivesItsProcess(t *testing.T) {
	file, root := filepath.Join(t.TempDir(), "discovered.json"), source.FileID{Device: 1, Inode: 2, Born: 3}
	r := mustRecord(t, file)
	r.Put(found("/srv/a.db", "a", root, 1))
	r.Put(found("/srv/b.db", "b", root, 1))
	r.Put(found("/srv/c.db", "c", root, 1))
	r.Forget("/srv/b.db")
	r.Put(found("/srv/C.db", "c", root, 1)) // which has its name now
	r.Put(found("/srv/a.db", "A", root, 4)) // renamed, on another disk
	if held := r.Held(); len(held) != 2 {
		t.Errorf("held: %v, want two", held)
	}
	mustDo(t, r.Save())

	r = mustRecord(t, file)
	if got := r.Paths(); !slices.Equal(got, []string{"/srv/C.db", "/srv/a.db"}) {
		t.Errorf("got %q", got)
	}
	if e, ok := r.Entry("/srv/a.db"); !ok || e != (discover.Entry{Name: "A", Replica: "file:///r/A", Device: 4, Root: root}) {
		t.Errorf("got %+v, %v", e, ok)
	}
	if held := r.Held(); len(held) != 2 || held["A"] != "/srv/a.db" || held["c"] != "/srv/C.db" {
		t.Errorf("held: %v", held)
	}
	if _, ok := r.Entry("/srv/b.db"); ok {
		t.Error("a forgotten one is still there")
	}
	r.Forget("/srv/a.db")
	mustDo(t, r.Save())
	if got := mustRecord(t, file).Paths(); len(got) != 1 {
		t.Errorf("got %q after one was forgotten", got)
	}
}

func TestARecordThatCannotBeReadIsEmpty(t *testing.T) {
	file := mustWrite(t, t.TempDir(), "discovered.json", `{"/srv/a.db": {"Name"`)
	r, err := discover.LoadRecord(file)
	if err == nil || len(r.Paths()) != 0 || len(r.Held()) != 0 {
		t.Errorf("got %v, %v", r.Paths(), err)
	}
	r.Put(found("/srv/a.db", "a", source.FileID{}, 1))
	mustDo(t, r.Save())
	if got := mustRecord(t, file).Paths(); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

func TestPresence(t *testing.T) {
	for _, row := range []struct {
		name string
		do   func(t *testing.T, dir string, e *discover.Entry)
		want discover.Presence
	}{
		{"untouched", func(*testing.T, string, *discover.Entry) {}, discover.Here},
		{"another kind of file now", func(t *testing.T, dir string, _ *discover.Entry) { mustWrite(t, dir, "eu/a.db", "") }, discover.Here},
		{"a link that leads nowhere", func(t *testing.T, dir string, _ *discover.Entry) {
			mustDo(t, os.Remove(dir+"/eu/a.db"), os.Symlink("nowhere", dir+"/eu/a.db"))
		}, discover.Here},
		{"removed", func(t *testing.T, dir string, _ *discover.Entry) { mustDo(t, os.Remove(dir+"/eu/a.db")) }, discover.Gone},
		{"removed with its directory", func(t *testing.T, dir string, _ *discover.Entry) { mustDo(t, os.RemoveAll(dir+"/eu")) }, discover.Gone},
		{"a file in place of its directory", func(t *testing.T, dir string, _ *discover.Entry) {
			mustDo(t, os.RemoveAll(dir+"/eu"), os.WriteFile(dir+"/eu", nil, 0o600))
		}, discover.Gone},
		{"the entry's directory renamed", func(t *testing.T, dir string, _ *discover.Entry) { mustDo(t, os.Rename(dir, dir+".away")) }, discover.Away},
		{"the entry's directory removed", func(t *testing.T, dir string, _ *discover.Entry) { mustDo(t, os.RemoveAll(dir)) }, discover.Away},
		{"the entry's directory replaced, as by its mount point", func(t *testing.T, dir string, _ *discover.Entry) {
			mustDo(t, os.Rename(dir, dir+".away"), os.Mkdir(dir, 0o700))
		}, discover.Away},
		{"removed from a disk of its own that is away", func(t *testing.T, dir string, e *discover.Entry) {
			mustDo(t, os.Remove(dir+"/eu/a.db"))
			e.Device += 1000
		}, discover.Away},
		{"removed, after a start of the machine that numbered its disks otherwise", func(t *testing.T, dir string, e *discover.Entry) {
			mustDo(t, os.Remove(dir+"/eu/a.db"))
			e.Device += 1000
			e.Root.Device += 1000
		}, renumbered(t)},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "dir")
			path := mustWrite(t, dir, "eu/a.db", header)
			r := mustRecord(t, filepath.Join(t.TempDir(), "discovered.json"))
			r.Put(discover.Found{Database: config.Database{Path: path}, File: discover.File{Path: path, ID: mustID(t, path), Root: mustID(t, dir)}})
			e, _ := r.Entry(path)
			row.do(t, dir, &e)
			if got := e.Presence(entry(dir, "*"), path); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}

// renumbered is what can be said where device numbers have changed: it takes a file
// system that tells when a directory was made.
func renumbered(t *testing.T) discover.Presence {
	if mustID(t, t.TempDir()).Born == 0 {
		return discover.Away
	}
	return discover.Gone
}
