package ship_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
)

// failing is a file system whose n-th call fails.
type failing struct {
	ship.FS
	at    int64 // number of the call that fails; 0 for none
	with  error
	keep  string // base name of a file whose removal fails
	calls atomic.Int64
	log   []string
}

func (f *failing) next(call, name string) error {
	n := f.calls.Add(1)
	f.log = append(f.log, call+" "+filepath.Base(name))
	if n == f.at {
		return &os.PathError{Op: call, Path: name, Err: f.with}
	}
	return nil
}

func (f *failing) Create(name string) (ship.File, error) {
	if err := f.next("create", name); err != nil {
		return nil, err
	}
	file, err := f.FS.Create(name)
	if err != nil {
		return nil, err
	}
	return &failingFile{file, f, name}, nil
}

func (f *failing) Rename(from, to string) error {
	if err := f.next("rename", to); err != nil {
		return err
	}
	return f.FS.Rename(from, to)
}

func (f *failing) Remove(name string) error {
	if err := f.next("remove", name); err != nil {
		return err
	}
	if filepath.Base(name) == f.keep {
		return &os.PathError{Op: "remove", Path: name, Err: syscall.EIO}
	}
	return f.FS.Remove(name)
}

func (f *failing) SyncDir(name string) error {
	if err := f.next("sync directory", name); err != nil {
		return err
	}
	return f.FS.SyncDir(name)
}

type failingFile struct {
	ship.File
	fs   *failing
	name string
}

func (f *failingFile) Write(p []byte) (int, error) {
	if err := f.fs.next("write", f.name); err != nil {
		n, _ := f.File.Write(p[:len(p)/2]) // a full disk takes what fits
		return n, err
	}
	return f.File.Write(p)
}

func (f *failingFile) Sync() error {
	if err := f.fs.next("sync", f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

// outage is a bench whose store goes away with a spool in the making.
func outage(t *testing.T, fs *failing) *bench {
	t.Helper()
	b := newBench(t)
	b.stop()
	b.opts.WALLimit, b.fs = 64<<10, fs
	b.start()
	b.mustPass()
	b.store.away = true
	return b
}

// TestSpoolSurvivesEveryFailureOfItsFileSystem lets the n-th call fail, for each
// n until none does. Whatever happens, the next process goes on and nothing that
// was committed is missing.
func TestSpoolSurvivesEveryFailureOfItsFileSystem(t *testing.T) {
	for _, fault := range []error{syscall.ENOSPC, syscall.EIO} {
		n := int64(1)
		for ; ; n++ {
			fs := &failing{FS: ship.OS, with: fault}
			b := outage(t, fs)
			fs.at = fs.calls.Load() + n
			var met error
			for range 3 {
				b.insert(80)
				if _, err := b.ship.Pass(t.Context()); errors.Is(err, fault) {
					met = err
					if full := errors.Is(err, source.ErrDiskFull); full != (fault == syscall.ENOSPC) {
						t.Errorf("call %d: %v: disk full is %v", n, err, full)
					}
				}
			}
			reached := fs.calls.Load() >= fs.at
			fs.at = 0
			b.store.away = false
			if n%2 == 0 { // a crash, or not
				b.stop()
				b.start()
			}
			b.insert(1)
			out := b.mustPass()
			b.mustEqual()
			if out.SpoolBytes != 0 {
				t.Errorf("call %d: %d bytes are left in the spool", n, out.SpoolBytes)
			}
			if !reached {
				break
			}
			if met == nil {
				t.Errorf("call %d failed and nobody said so: %v", n, fs.log)
			}
		}
		if n < 20 {
			t.Errorf("%v: only %d calls, want the spool to be filled and drained", fault, n)
		}
		t.Logf("%v: each of %d calls failed once", fault, n-1)
	}
}

func TestCleanUpTakesOnlyWhatNobodyNeeds(t *testing.T) {
	b := outage(t, &failing{FS: ship.OS})
	b.insert(200)
	b.passWants(blob.ErrUnavailable)
	spool := filepath.Join(filepath.Dir(b.path), ".app.db-holdfast", "spool")
	plant := func(name string) string {
		path := filepath.Join(spool, name)
		if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	stale := []string{plant("0000000000000002.0badcafe.tmp"), plant("00000000000000ff.deadbeef.tmp")}
	foreign := []string{plant("notes.tmp"), plant("0000000000000009.ltx"), plant("0000000000000002.0badcafe.tmp~"), plant("0000000000000002.0BADCAFE.tmp")}
	got, err := b.ship.CleanUp(t.Context())
	if err != nil || got != (ship.Removed{Files: 2, Bytes: 20}) {
		t.Errorf("got %+v, %v; want two files of 20 bytes in all", got, err)
	}
	for _, path := range stale {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	for _, path := range append(foreign, filepath.Join(spool, "0000000000000002.ltx")) {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("gone: %v", err)
		}
	}
	b.store.away = false
	b.mustPass()
	b.mustEqual()
}

func TestCleanUpTakesWhatTheReplicaHolds(t *testing.T) {
	fs := &failing{FS: ship.OS}
	b := outage(t, fs)
	b.insert(200)
	b.passWants(blob.ErrUnavailable)
	b.store.away, fs.keep = false, "0000000000000002.ltx"
	b.passWants(syscall.EIO) // it was put, and its file could not be removed
	fs.keep = ""
	got, err := b.ship.CleanUp(t.Context())
	if err != nil || got.Files != 1 || got.Bytes < 200<<10 {
		t.Errorf("got %+v, %v; want the spooled file, which the replica holds", got, err)
	}
	if out := b.mustPass(); out.Puts != 0 || out.SpoolBytes != 0 {
		t.Errorf("got %+v, want nothing left to do", out)
	}
	b.mustEqual()
}

func TestCleanUpWithoutADatabase(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "spool"), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		name := fmt.Sprintf("%016x.%s.tmp", i, strings.Repeat("a", 8))
		if err := os.WriteFile(filepath.Join(dir, "spool", name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := ship.CleanDir(dir); err != nil || got.Files != 3 {
		t.Errorf("got %+v, %v; want three files", got, err)
	}
}
