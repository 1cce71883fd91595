package host_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/inuse"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// mustStates replicates a new database in two states, as nobody else has it open
// afterwards, and returns it with both.
func mustStates(t *testing.T, h *host.Host, name string) (d host.Database, states [][]byte) {
	t.Helper()
	d = host.Database{Name: name, Path: filepath.Join(t.TempDir(), name+".db"), Replica: "mem:" + name, Writer: "0123456789abcdef0123456789abcdef"}
	app := sqlitetest.StartShell(t, d.Path)
	app.Run(t, "CREATE TABLE t(v);")
	for range 2 {
		app.Run(t, "INSERT INTO t VALUES (randomblob(10000));")
		mustSyncOnce(t, h, d)
		states = append(states, sqlitetest.Truth(t, d.Path))
	}
	app.Quit()
	return d, states
}

func mustSyncOnce(t *testing.T, h *host.Host, d host.Database) host.Result {
	t.Helper()
	res, err := h.SyncOnce(t.Context(), d, 0)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// restoring is a restore of a state of d to path.
func restoring(d host.Database, path string, txid ltx.TXID) host.Restoring {
	return host.Restoring{
		ID: "holdfast/restore/" + d.Name, Replica: d.Replica,
		Options: restore.Options{Output: path, Target: plan.Target{TXID: txid}},
	}
}

// over is restoring that replaces d itself.
func over(d host.Database, txid ltx.TXID) host.Restoring {
	r := restoring(d, d.Path, txid)
	r.Replace, r.Force = d.Name, true
	return r
}

func mustRestore(t *testing.T, h *host.Host, r host.Restoring) restore.Result {
	t.Helper()
	res, err := h.Restore(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func mustBe(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes that are not the state's %d", path, len(got), len(want))
	}
}

// mustBeAlone checks that dir holds nothing but these.
func mustBeAlone(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, e := range entries {
		have = append(have, e.Name())
	}
	if strings.Join(have, " ") != strings.Join(names, " ") {
		t.Errorf("%s holds %q, want %q", dir, have, names)
	}
}

func TestARestoreToANewPath(t *testing.T) {
	h := newRig(t).start(t)
	d, states := mustStates(t, h, "shop")
	path := filepath.Join(t.TempDir(), "copy.db")
	res := mustRestore(t, h, restoring(d, path, 1))
	mustBe(t, path, states[0])
	mustBeAlone(t, filepath.Dir(path), "copy.db")
	if res.TXID != 1 || !res.Digested || res.Bytes != int64(len(states[0])) {
		t.Errorf("got %+v", res)
	}
}

// TestARegisteredDatabaseIsReplacedAndGoesOn also looks at what a window meets that
// begins meanwhile.
func TestARegisteredDatabaseIsReplacedAndGoesOn(t *testing.T) {
	h := newRig(t).start(t)
	d, states := mustStates(t, h, "shop")
	r := over(d, 1)
	var meanwhile error
	r.Progress = func(restore.Progress) { _, meanwhile = h.SyncOnce(t.Context(), d, 0) }
	mustRestore(t, h, r)
	mustBe(t, d.Path, states[0])
	mustBeAlone(t, filepath.Dir(d.Path), ".shop.db-holdfast", "shop.db")
	if !errors.Is(meanwhile, source.ErrBusy) {
		t.Errorf("a pass meanwhile: got %v, want ErrBusy", meanwhile)
	}
	res := mustSyncOnce(t, h, d)
	if res.Resyncs != 1 || res.TXID != 3 {
		t.Errorf("got %+v, want one resync, to TXID 3", res)
	}
	app := sqlitetest.StartShell(t, d.Path)
	app.Run(t, "INSERT INTO t VALUES ('later');")
	mustSyncOnce(t, h, d)
	want := sqlitetest.Truth(t, d.Path)
	path := filepath.Join(t.TempDir(), "copy.db")
	mustRestore(t, h, restoring(d, path, 4))
	mustBe(t, path, want)
}

func TestARegisteredDatabaseIsFoundByWhateverName(t *testing.T) {
	rig := newRig(t)
	h := rig.start(t)
	d, states := mustStates(t, h, "shop")
	link, hard := filepath.Join(t.TempDir(), "link.db"), filepath.Join(filepath.Dir(d.Path), "hard.db")
	if err := errors.Join(os.Symlink(d.Path, link), os.Link(d.Path, hard)); err != nil {
		t.Fatal(err)
	}
	refuses := func(what string, h *host.Host) {
		for _, path := range []string{d.Path, link, hard} {
			r := restoring(d, path, 1)
			r.Force = true
			if _, err := h.Restore(t.Context(), r); !errors.Is(err, host.ErrRegistered) || !strings.Contains(err.Error(), "shop") {
				t.Errorf("%s, over %s: got %v, want ErrRegistered", what, path, err)
			}
			if occupant, err := h.CheckRestore(t.Context(), r); occupant != "shop" || err != nil {
				t.Errorf("%s, check %s: got %q, %v, want shop", what, path, occupant, err)
			}
		}
		if got := sqlitetest.Truth(t, d.Path); !bytes.Equal(got, states[1]) {
			t.Errorf("%s: the file was changed", what)
		}
	}
	mustSyncOnce(t, h, d)
	refuses("while it is open", h)
	if res := mustSyncOnce(t, h, d); res.Resyncs != 0 {
		t.Errorf("the refused restores cost %d resyncs", res.Resyncs)
	}
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	h = rig.start(t)
	refuses("after the worker's end", h)
	if err := h.Release(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	r := restoring(d, d.Path, 1)
	r.Force = true
	mustRestore(t, h, r)
	mustBe(t, d.Path, states[0])
}

func TestADatabaseInUseIsNotReplaced(t *testing.T) {
	h := newRig(t).start(t)
	d, states := mustStates(t, h, "shop")
	app := sqlitetest.StartShell(t, d.Path)
	app.Run(t, "SELECT count(*) FROM t;")
	check := func(what string, err error) {
		if !errors.Is(err, inuse.ErrInUse) || !strings.Contains(err.Error(), "(sqlite3)") {
			t.Errorf("%s: got %v, want ErrInUse that names sqlite3", what, err)
		}
	}
	_, err := h.CheckRestore(t.Context(), over(d, 1))
	check("check", err)
	early := over(d, 1)
	early.Progress = func(restore.Progress) { t.Error("something was read before it was looked who has the file open") }
	_, err = h.Restore(t.Context(), early)
	check("restore", err)
	app.Quit()
	late := over(d, 1)
	late.Progress = func(p restore.Progress) {
		if p.Objects == p.ObjectsTotal {
			app = sqlitetest.StartShell(t, d.Path)
			app.Run(t, "SELECT count(*) FROM t;")
		}
	}
	_, err = h.Restore(t.Context(), late)
	check("opened during the restore", err)
	app.Quit()
	mustBe(t, d.Path, states[1])
	mustBeAlone(t, filepath.Dir(d.Path), ".shop.db-holdfast", "shop.db")
}

// TestALaterAttemptFindsItsResult is for one that died before it could say that it
// was done, also when the application has begun to work.
func TestALaterAttemptFindsItsResult(t *testing.T) {
	rig := newRig(t)
	h := rig.start(t)
	d, states := mustStates(t, h, "shop")
	path := filepath.Join(t.TempDir(), "copy.db")
	first := mustRestore(t, h, restoring(d, path, 1))
	app := sqlitetest.StartShell(t, path)
	app.Run(t, "INSERT INTO t VALUES ('precious');")
	used := sqlitetest.Truth(t, path)
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	h = rig.start(t)
	if _, err := h.CheckRestore(t.Context(), restoring(d, path, 1)); err != nil {
		t.Errorf("check: %v", err)
	}
	if again := mustRestore(t, h, restoring(d, path, 1)); again.TXID != first.TXID || again.Bytes != first.Bytes || !again.Created.Equal(first.Created) {
		t.Errorf("got %+v, want %+v", again, first)
	}
	if got := sqlitetest.Truth(t, path); !bytes.Equal(got, used) {
		t.Error("what the application had written is gone")
	}
	other := restoring(d, path, 1)
	other.ID += "-2"
	if _, err := h.Restore(t.Context(), other); !errors.Is(err, restore.ErrExists) {
		t.Errorf("another restore: got %v, want ErrExists", err)
	}
	app.Quit()
	_ = os.Remove(path)
	mustRestore(t, h, restoring(d, path, 1))
	mustBe(t, path, states[0])
}

func TestAFileOfAnotherIsNotTakenForTheResult(t *testing.T) {
	h := newRig(t).start(t)
	d, _ := mustStates(t, h, "shop")
	path := filepath.Join(t.TempDir(), "copy.db")
	mustRestore(t, h, restoring(d, path, 1))
	_ = os.Remove(path)
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Restore(t.Context(), restoring(d, path, 1)); !errors.Is(err, restore.ErrExists) {
		t.Errorf("got %v, want ErrExists", err)
	}
}

// TestTwoAttemptsTakeTurns is for one that is thought to be dead and is not.
func TestTwoAttemptsTakeTurns(t *testing.T) {
	h := newRig(t).start(t)
	d, states := mustStates(t, h, "shop")
	path := filepath.Join(t.TempDir(), "copy.db")
	second := make(chan error, 1)
	first, begun := restoring(d, path, 1), false
	first.Progress = func(restore.Progress) {
		if !begun {
			begun = true
			go func() {
				_, err := h.Restore(context.WithoutCancel(t.Context()), restoring(d, path, 1))
				second <- err
			}()
		}
	}
	mustRestore(t, h, first)
	if err := <-second; err != nil {
		t.Errorf("the second attempt: %v", err)
	}
	mustBe(t, path, states[0])
}

func TestAnAttemptThatIsCancelledLeavesNothing(t *testing.T) {
	h := newRig(t).start(t)
	d, _ := mustStates(t, h, "shop")
	path := filepath.Join(t.TempDir(), "copy.db")
	ctx, cancel := context.WithCancel(t.Context())
	r := restoring(d, path, 2)
	r.Progress = func(restore.Progress) { cancel() }
	if _, err := h.Restore(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	mustBeAlone(t, filepath.Dir(path))
}

func TestWhatDeadAttemptsLeftIsDiscarded(t *testing.T) {
	h := newRig(t).start(t)
	dir := t.TempDir()
	for _, name := range []string{".copy.db.holdfast-restore-123", "other.db"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := host.Restoring{ID: "r", Options: restore.Options{Output: filepath.Join(dir, "copy.db")}}
	if err := h.DiscardRestore(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	mustBeAlone(t, dir, "other.db")
}

// TestADatabaseThatWasNeverTriedIsFound is for one that an earlier process of the
// worker had, with state beside it and without instructions.
func TestADatabaseThatWasNeverTriedIsFound(t *testing.T) {
	rig := newRig(t)
	dir := t.TempDir()
	list := `{"shop": "` + dir + `/.shop.db-holdfast", "apart": "/var/lib/holdfast/apart"}`
	if err := os.WriteFile(filepath.Join(rig.stateDir, "databases.json"), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	h := rig.start(t)
	for path, want := range map[string]string{filepath.Join(dir, "shop.db"): "shop", filepath.Join(dir, "apart"): ""} {
		if occupant, _ := h.CheckRestore(t.Context(), restoring(host.Database{}, path, 0)); occupant != want {
			t.Errorf("%s: got %q, want %q", path, occupant, want)
		}
	}
}
