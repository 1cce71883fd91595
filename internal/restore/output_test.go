package restore_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

func smallHistory(t *testing.T) *history {
	t.Helper()
	h := newHistory(t, 512)
	h.ship(image(512, 3, 1), true)
	return h
}

func TestRunRefusesAnOutputThatExists(t *testing.T) {
	h := smallHistory(t)
	for _, tc := range []struct {
		name    string
		have    map[string]string // file to content; none for a directory
		output  string
		force   bool
		wantErr string
	}{
		{"a file", map[string]string{"out.db": "old"}, "out.db", false, "--force"},
		{"an empty file", map[string]string{"out.db": ""}, "out.db", false, "--force"},
		{"only a log", map[string]string{"out.db-wal": "old"}, "out.db", false, "out.db-wal"},
		{"only an index of a log", map[string]string{"out.db-shm": "old"}, "out.db", false, "out.db-shm"},
		{"only a journal", map[string]string{"out.db-journal": "old"}, "out.db", false, "out.db-journal"},
		{"a directory", nil, ".", false, "directory"},
		{"a directory, by force", nil, ".", true, "directory"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			var names []string
			for name, content := range tc.have {
				mustWrite(t, filepath.Join(dir, name), content)
				names = append(names, name)
			}
			_, err := restore.Run(t.Context(), h.replica, restore.Options{Output: filepath.Join(dir, tc.output), Force: tc.force})
			if !errors.Is(err, restore.ErrExists) || !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("error %v, want %v with %q", err, restore.ErrExists, tc.wantErr)
			}
			assertFiles(t, dir, names...)
			for name, content := range tc.have {
				if got := string(mustRead(t, filepath.Join(dir, name))); got != content {
					t.Errorf("%s is now %q", name, got)
				}
			}
		})
	}
}

func TestRunRefusesAnOutputThatCannotBe(t *testing.T) {
	h := smallHistory(t)
	dir := t.TempDir()
	mustWrite(t, filepath.Join(dir, "file"), "")
	for output, want := range map[string]string{
		"":                                     "no output",
		filepath.Join(dir, "absent", "out.db"): "create it",
		filepath.Join(dir, "file", "out.db"):   "not a directory",
		filepath.Join(dir, strings.Repeat("x", 300)): "name too long",
	} {
		_, err := restore.Run(t.Context(), h.replica, restore.Options{Output: output})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("output %q: %v, want %q", output, err, want)
		}
	}
}

// An output that appears while the objects are fetched is not replaced.
func TestRunRefusesAnOutputThatAppearsMeanwhile(t *testing.T) {
	for _, name := range []string{"out.db", "out.db-wal"} {
		h := smallHistory(t)
		dir := t.TempDir()
		_, err := restore.Run(t.Context(), h.replica, restore.Options{
			Output:   filepath.Join(dir, "out.db"),
			Progress: func(restore.Progress) { mustWrite(t, filepath.Join(dir, name), "mine") },
		})
		if !errors.Is(err, restore.ErrExists) {
			t.Errorf("%s appeared: %v, want %v", name, err, restore.ErrExists)
		}
		assertFiles(t, dir, name)
		if got := string(mustRead(t, filepath.Join(dir, name))); got != "mine" {
			t.Errorf("%s is now %q", name, got)
		}
	}
}

// An old log beside a restored file would be replayed into it.
func TestForceRemovesTheOldLog(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out.db")
	app := sqlitetest.Open(t, out, "page_size=512", "wal_autocheckpoint=0")
	sqlitetest.Exec(t, app, "CREATE TABLE a (b)")
	h := newHistory(t, 512)
	h.ship(sqlitetest.Truth(t, out), true)
	sqlitetest.Exec(t, app, "INSERT INTO a VALUES (1)") // in the log alone
	old := [2][]byte{mustRead(t, out), mustRead(t, out+"-wal")}
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, out, string(old[0]))
	mustWrite(t, out+"-wal", string(old[1]))
	mustWrite(t, out+"-shm", "")
	mustWrite(t, out+"-journal", "")

	got, _ := h.mustRestore(restore.Options{Output: out, Force: true})
	sqlitetest.Same(t, got, h.states[1], 512)
	assertFiles(t, dir, "out.db")
	var rows int
	if err := sqlitetest.Open(t, out).QueryRow("SELECT count(*) FROM a").Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows, %v; want those of the replica, none", rows, err)
	}
}

// A crash between any two of its steps must not leave the restored file with
// the old log: the log goes before the file comes.
func TestForceRemovesTheOldLogFirst(t *testing.T) {
	h := smallHistory(t)
	dir := t.TempDir()
	out := filepath.Join(dir, "out.db")
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		mustWrite(t, out+suffix, "old")
	}
	events := mustWatch(t, dir)
	h.mustRestore(restore.Options{Output: out, Force: true})
	gone := map[string]bool{}
	for {
		select {
		case e := <-events:
			if e.Has(fsnotify.Remove) {
				gone[e.Name] = true
			}
			if e.Name == out && e.Has(fsnotify.Create) {
				if !gone[out+"-wal"] || !gone[out+"-shm"] || !gone[out+"-journal"] {
					t.Errorf("the restored file came when only %v were gone", gone)
				}
				return
			}
		case <-time.After(5 * time.Second):
			t.Fatal("the restored file did not come")
		}
	}
}

func TestForceLeavesTheOldFileWhenItFails(t *testing.T) {
	h := smallHistory(t)
	h.edit(0, 1, 1, func(b []byte) []byte { return b[:len(b)-1] })
	dir := t.TempDir()
	out := filepath.Join(dir, "out.db")
	mustWrite(t, out, "old")
	mustWrite(t, out+"-wal", "old log")
	if _, err := restore.Run(t.Context(), h.replica, restore.Options{Output: out, Force: true}); err == nil {
		t.Fatal("a damaged object was restored")
	}
	assertFiles(t, dir, "out.db", "out.db-wal")
	if string(mustRead(t, out)) != "old" || string(mustRead(t, out+"-wal")) != "old log" {
		t.Error("the old file or its log has changed")
	}
}

func TestForceKeepsModeAndOwner(t *testing.T) {
	h := smallHistory(t)
	out := filepath.Join(t.TempDir(), "out.db")
	mustWrite(t, out, "old")
	if err := os.Chmod(out, 0o640); err != nil {
		t.Fatal(err)
	}
	owner := os.Getuid()
	if owner == 0 { // only root can give a file away
		owner = 12345
		if err := os.Chown(out, owner, 54321); err != nil {
			t.Fatal(err)
		}
	}
	h.mustRestore(restore.Options{Output: out, Force: true})
	info, err := os.Stat(out)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o640 {
		t.Errorf("mode %o, want 640", got)
	}
	if got := int(info.Sys().(*syscall.Stat_t).Uid); got != owner {
		t.Errorf("owner %d, want %d", got, owner)
	}
}

func TestANewFileIsItsCreatorsAlone(t *testing.T) {
	h := smallHistory(t)
	out := filepath.Join(t.TempDir(), "out.db")
	h.mustRestore(restore.Options{Output: out, Force: true}) // with nothing to replace
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want mode 600", info.Mode(), err)
	}
}

func TestForceFollowsASymbolicLink(t *testing.T) {
	h := smallHistory(t)
	dir, elsewhere := t.TempDir(), t.TempDir()
	link, real := filepath.Join(dir, "out.db"), filepath.Join(elsewhere, "real.db")
	mustWrite(t, real, "old")
	mustWrite(t, real+"-wal", "old log")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	if _, err := restore.Run(t.Context(), h.replica, restore.Options{Output: link}); !errors.Is(err, restore.ErrExists) {
		t.Errorf("error %v, want %v", err, restore.ErrExists)
	}
	h.mustRestore(restore.Options{Output: link, Force: true})
	assertFiles(t, elsewhere, "real.db")
	sqlitetest.Same(t, mustRead(t, real), h.states[1], 512)
	if err := os.Remove(real); err != nil {
		t.Fatal(err)
	}
	if _, err := restore.Run(t.Context(), h.replica, restore.Options{Output: link, Force: true}); err == nil {
		t.Error("a link to nowhere was followed")
	}
}

func TestRunRemovesWhatKilledRestoresLeft(t *testing.T) {
	h := smallHistory(t)
	dir := t.TempDir()
	mustWrite(t, filepath.Join(dir, ".out.db.holdfast-restore-1"), "of a killed one")
	mustWrite(t, filepath.Join(dir, ".out.db.holdfast-restore-2"), "of a living one")
	mustWrite(t, filepath.Join(dir, ".other.db.holdfast-restore-3"), "of another output")
	living, err := os.Open(filepath.Join(dir, ".out.db.holdfast-restore-2"))
	if err != nil {
		t.Fatal(err)
	}
	defer living.Close()
	if err := syscall.Flock(int(living.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	h.mustRestore(restore.Options{Output: filepath.Join(dir, "out.db")})
	assertFiles(t, dir, "out.db", ".out.db.holdfast-restore-2", ".other.db.holdfast-restore-3")
}

// Two at once: each holds the file that it writes, so neither takes the other's
// for a leftover.
func TestTwoRestoresToOneOutput(t *testing.T) {
	h := smallHistory(t)
	dir := t.TempDir()
	out := filepath.Join(dir, "out.db")
	inner := errors.New("not run")
	_, err := restore.Run(t.Context(), h.replica, restore.Options{Output: out, Progress: func(restore.Progress) {
		_, inner = restore.Run(t.Context(), h.replica, restore.Options{Output: out})
	}})
	if inner != nil || !errors.Is(err, restore.ErrExists) {
		t.Errorf("the first to finish: %v, want none; the second: %v, want %v", inner, err, restore.ErrExists)
	}
	assertFiles(t, dir, "out.db")
}

func mustWatch(t *testing.T, dir string) <-chan fsnotify.Event {
	t.Helper()
	w, err := fsnotify.NewBufferedWatcher(1000)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	if err := w.Add(dir); err != nil {
		t.Fatal(err)
	}
	return w.Events
}
