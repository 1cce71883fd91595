package ship_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	got, err := b.ship.CleanUp(t.Context(), false)
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
	got, err := b.ship.CleanUp(t.Context(), false)
	if err != nil || got.Files != 1 || got.Bytes < 200<<10 {
		t.Errorf("got %+v, %v; want the spooled file, which the replica holds", got, err)
	}
	if out := b.mustPass(); out.Puts != 0 || out.SpoolBytes != 0 {
		t.Errorf("got %+v, want nothing left to do", out)
	}
	b.mustEqual()
}

func TestFoldingGivesUpStatesAndNotTheLatest(t *testing.T) {
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprintf("crash %v", crash), func(t *testing.T) {
			fs := &failing{FS: ship.OS}
			b := outage(t, fs)
			b.exec("WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 300) INSERT INTO t SELECT i, randomblob(3000) FROM n")
			b.store.away = false
			b.mustPass()
			b.store.away = true
			for range 3 {
				b.exec("UPDATE t SET v = randomblob(3000) WHERE id <= 30")
				b.passWants(blob.ErrUnavailable)
			}
			spooled := b.spoolFiles()
			got, err := b.ship.CleanUp(t.Context(), true)
			if err != nil || got.Folded.Files != len(spooled) || len(spooled) < 2 || !got.Folded.From.Before(got.Folded.Until) || got.Bytes == 0 {
				t.Fatalf("got %+v, %v; want %d files given up", got, err, len(spooled))
			}
			if left := b.spoolFiles(); len(left) != 0 {
				t.Fatalf("left in the spool: %v", left)
			}
			b.exec("UPDATE t SET v = randomblob(3000) WHERE id = 200")
			if crash {
				b.stop()
				b.start()
			}
			b.store.away = false
			out := b.mustPass()
			if !crash && !slices.Equal(out.Resyncs, []source.Rule{source.RuleFolded}) {
				t.Errorf("resyncs %v, want one for the folding", out.Resyncs)
			}
			pages := 0
			b.eachPage(out.TXID, func(uint32) { pages++ })
			if pages > 60 {
				t.Errorf("%d pages were shipped, want about 32", pages)
			}
			b.mustEqual()
		})
	}
}

// TestACrashInTheMiddleOfFoldingLeavesWhatFollowsTheHead removes one file of three,
// no more.
func TestACrashInTheMiddleOfFoldingLeavesWhatFollowsTheHead(t *testing.T) {
	fs := &failing{FS: ship.OS}
	b := outage(t, fs)
	for range 3 {
		b.insert(100)
		b.passWants(blob.ErrUnavailable)
	}
	spooled := b.spoolFiles()
	if len(spooled) != 3 {
		t.Fatalf("spool holds %v, want three files", spooled)
	}
	fs.keep = filepath.Base(spooled[1])
	if _, err := b.ship.CleanUp(t.Context(), true); !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v, want that a file could not be removed", err)
	}
	fs.keep = ""
	if left := b.spoolFiles(); !slices.Equal(left, spooled[:2]) {
		t.Fatalf("left in the spool: %v, want the first two", left)
	}
	b.stop()
	b.start()
	b.store.away = false
	b.mustPass()
	b.mustEqual()
}

// spoolFiles returns the files that wait in the spool, in order.
func (b *bench) spoolFiles() []string {
	b.t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.Dir(b.path), ".app.db-holdfast", "spool", "*.ltx"))
	if err != nil {
		b.t.Fatal(err)
	}
	return files
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
