package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/inuse"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

const restoreID = "holdfast/restore/shop/1"

func mustAsk(t *testing.T, f *fakeFleet, want ...string) {
	t.Helper()
	if got := strings.Join(f.asked, ", "); got != strings.Join(want, ", ") {
		t.Errorf("asked %q, want %q", got, want)
	}
}

func done() workflows.Restored {
	return workflows.Restored{
		Host: "web-1", Path: "/srv/shop.db", Replica: "file:///mnt/shop", TXID: 0x1f, Created: now.Add(-time.Minute),
		Bytes: 3 << 20, Objects: 4, Fetched: 1 << 20, Digested: true, Took: activities.Duration(1500 * time.Millisecond), Replaced: "shop",
	}
}

func TestRestoreOnAHostSaysWhatItCameTo(t *testing.T) {
	f := &fakeFleet{restored: done()}
	got := mustSucceed(t, invoke(t, f, nil, "restore", "shop", "-o", "/srv/shop.db", "--on", "web-1", "--force", "--txid", "000000000000001f",
		"--integrity", "quick", "--mode", "0640", "--owner", "app:app"))
	want := workflows.RestoreRequest{
		Database: "shop", Host: "web-1", Path: "/srv/shop.db", Force: true, TXID: 0x1f, Integrity: "quick", Mode: 0o640, Owner: "app:app",
	}
	if f.request != want {
		t.Errorf("asked for %+v, want %+v", f.request, want)
	}
	mustAsk(t, f, "start /srv/shop.db", "follow "+restoreID)
	for _, words := range []string{"restored /srv/shop.db on web-1: txid 000000000000001f of 2026-03-01T09:29:00", "3.0 MiB from 4 objects in 1.5 s", "shop goes on from it"} {
		if !strings.Contains(got, words) {
			t.Errorf("got %q, want %q in it", got, words)
		}
	}
	doc := mustObject(t, invoke(t, &fakeFleet{restored: done()}, nil, "restore", "shop", "-o", "/srv/shop.db", "--on", "web-1", "--json"))
	if doc["id"] != restoreID || doc["host"] != "web-1" || doc["output"] != "/srv/shop.db" || doc["digest_checked"] != true || doc["replaced"] != "shop" || doc["took_seconds"] != 1.5 {
		t.Errorf("got %v", doc)
	}
}

func TestRestoreOnAHostByURL(t *testing.T) {
	f := &fakeFleet{restored: done()}
	mustSucceed(t, invoke(t, f, nil, "restore", "file:///mnt/prod/My Shop", "-o", "/srv/shop.db", "--on", "web-1", "--at", "10m ago"))
	if r := f.request; r.Replica != "file:///mnt/prod/My Shop" || r.Name != "my-shop" || r.Database != "" || !r.At.Equal(now.Add(-10*time.Minute)) {
		t.Errorf("asked for %+v", r)
	}
}

func TestRestoreOnAHostCanBeLeftToItself(t *testing.T) {
	f := &fakeFleet{}
	if got := mustSucceed(t, invoke(t, f, nil, "restore", "shop", "-o", "/srv/shop.db", "--on", "web-1", "--detach")); !strings.Contains(got, restoreID) {
		t.Errorf("got %q", got)
	}
	mustAsk(t, f, "start /srv/shop.db")
}

func TestRestoreOnAHostRefuses(t *testing.T) {
	for _, row := range []struct{ args, want string }{
		{"shop -o shop.db --on web-1", "got a relative path; with --on, name the file from the root of that host"},
		{"shop -o /srv/shop.db --on Web_1!", "--on: host name"},
		{"shop -o /srv/shop.db --on web-1 --dry-run", "--on and --dry-run exclude each other"},
		{"shop -o /srv/shop.db --on web-1 --if-absent", "--on and --if-absent exclude each other"},
		{"shop -o /srv/shop.db --detach", "name its host with --on"},
		{"ftp://x/y -o /srv/shop.db --on web-1", "ftp"},
		{"Shop! -o /srv/shop.db --on web-1", "neither a replica URL nor a database name"},
	} {
		f := &fakeFleet{}
		mustFail(t, invoke(t, f, nil, append([]string{"restore"}, strings.Fields(row.args)...)...), statusUsage, row.want)
		mustAsk(t, f)
	}
}

func TestRestoreOnAHostFails(t *testing.T) {
	for _, row := range []struct {
		err  error
		want string
	}{
		{&control.Refused{Type: activities.InUse, Message: "restore to /srv/shop.db: process 7 has it open; stop it"}, "process 7 has it open; stop it"},
		{&control.Refused{Type: workflows.ErrHostOffline, Message: "host web-1 does not answer; start holdfast-worker there"}, "host web-1 does not answer"},
	} {
		f := &fakeFleet{end: row.err}
		mustFail(t, invoke(t, f, nil, "restore", "shop", "-o", "/srv/shop.db", "--on", "web-1"), statusFailed, row.want)
		mustAsk(t, f, "start /srv/shop.db", "follow "+restoreID)
	}
}

// TestARestoreThatNobodyBeginsIsNotLeftBehind is for a namespace without workers.
func TestARestoreThatNobodyBeginsIsNotLeftBehind(t *testing.T) {
	f := &fakeFleet{end: fmt.Errorf("%w: start one", control.ErrNoAnswer)}
	mustFail(t, invoke(t, f, nil, "restore", "shop", "-o", "/srv/shop.db", "--on", "web-1"), statusFailed, "no worker answers")
	mustAsk(t, f, "start /srv/shop.db", "follow "+restoreID, "cancel "+restoreID)
}

func TestWhoInterruptsARestoreOnAHostCancelsIt(t *testing.T) {
	for _, row := range []struct {
		name string
		end  error
		want string
	}{
		{"in time", &control.Refused{Type: control.RestoreCancelled, Message: "cancelled"}, "interrupted; the restore was cancelled, and nothing of it is left"},
		{"too late", nil, "but the restore was done by then, and /srv/shop.db is there on web-1"},
		{"when it had failed", &control.Refused{Type: activities.DiskFull, Message: "no room"}, "the restore had failed: no room"},
		{"and hears nothing", context.DeadlineExceeded, "may still go on, see " + restoreID},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &fakeFleet{endless: true, end: row.end, restored: done()}
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			got := invokeWithin(ctx, f, nil, "restore", "shop", "-o", "/srv/shop.db", "--on", "web-1")
			if got.status != statusInterrupted || !strings.Contains(got.stderr, row.want) || !strings.Contains(got.stderr, "cancelling "+restoreID) {
				t.Errorf("got %d: %s", got.status, got.stderr)
			}
			mustAsk(t, f, "start /srv/shop.db", "follow "+restoreID, "cancel "+restoreID, "follow "+restoreID)
		})
	}
}

func TestRestoreOnAHostTellsWhatItWaitsFor(t *testing.T) {
	request := workflows.RestoreRequest{Host: "web-1"}
	offline := control.RestoreView{RestoreStatus: workflows.RestoreStatus{Request: request, Phase: workflows.RestoreHostOffline, Until: now.Add(time.Hour)}}
	waiting := control.RestoreView{RestoreStatus: workflows.RestoreStatus{Request: request, Phase: workflows.RestoreWaiting}}
	held := control.RestoreView{RestoreStatus: workflows.RestoreStatus{Request: request, Phase: workflows.RestoreRestoring, Held: "shop"}}
	again := held
	again.Attempt = &control.Attempt{Number: 2, Failure: "the store is away"}
	f := &fakeFleet{restored: done(), views: []control.RestoreView{{}, offline, offline, waiting, held, again, {Begun: true}}}
	got := invoke(t, f, nil, "restore", "shop", "-o", "/srv/shop.db", "--on", "web-1")
	want := `restoring: host web-1 does not answer; waiting for it until 2026-03-01T10:30:00Z
restoring: no slot on host web-1 yet; waiting for other restores there
restoring: shop is paused while its file is replaced
restoring: attempt 2: the store is away
restoring: no worker answers; it goes on when one does
`
	if got.stderr != want {
		t.Errorf("got\n%swant\n%s", got.stderr, want)
	}
	quiet := invoke(t, &fakeFleet{restored: done(), views: f.views}, nil, "restore", "shop", "-o", "/srv/shop.db", "--on", "web-1", "--json")
	if quiet.stderr != "" {
		t.Errorf("with --json: %s", quiet.stderr)
	}
}

func TestRestoreOnAHostShowsHowFarItIs(t *testing.T) {
	clock, shown := now, &strings.Builder{}
	s := &follower{bar: newBar(shown, true, func() time.Time { clock = clock.Add(time.Second); return clock })}
	s.show(control.RestoreView{Beat: &activities.RestoreBeat{}})
	s.show(control.RestoreView{Beat: &activities.RestoreBeat{Objects: 1, ObjectsTotal: 4, Bytes: 1 << 20, BytesTotal: 4 << 20}})
	if got := shown.String(); strings.Count(got, "\r") != 1 || !strings.Contains(got, "[======                  ] 1.0 MiB of 4.0 MiB, 1 of 4 objects") {
		t.Errorf("got %q", got)
	}
}

func TestRestoreLeavesTheFileOfAWorkerAlone(t *testing.T) {
	url, _ := mustReplica(t)
	output := filepath.Join(t.TempDir(), "shop.db")
	dir, err := ship.OpenDir(ship.StateDir(output), ship.OS)
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Save(ship.State{Name: "shop"}); err != nil {
		t.Fatal(err)
	}
	for _, more := range [][]string{nil, {"--force"}} {
		got := invoke(t, nil, nil, append([]string{"restore", url, "-o", output}, more...)...)
		mustFail(t, got, statusFailed, "a worker on this machine replicates "+output+" as shop")
	}
	if err := dir.Close(); err != nil {
		t.Fatal(err)
	}
	mustSucceed(t, invoke(t, nil, nil, "restore", url, "-o", output))
}

func TestRestoreDoesNotReplaceAFileThatIsOpen(t *testing.T) {
	url, states := mustReplica(t)
	output := filepath.Join(t.TempDir(), "shop.db")
	app := sqlitetest.StartShell(t, output)
	app.Run(t, "CREATE TABLE precious(v);")
	mustFail(t, invoke(t, nil, nil, "restore", url, "-o", output, "--force"), statusFailed, "(sqlite3)")
	if got := app.Run(t, "SELECT count(*) FROM precious;"); got[0] != "0" {
		t.Errorf("got %q", got)
	}
	app.Quit()
	mustSucceed(t, invoke(t, nil, nil, "restore", url, "-o", output, "--force"))
	if got, err := os.ReadFile(output); err != nil || !bytes.Equal(got, states[1]) {
		t.Errorf("the file is not the state: %v", err)
	}
}

// TestAFileThatWasOpenedMeanwhileIsNotReplaced is for a program that comes while the
// objects are read.
func TestAFileThatWasOpenedMeanwhileIsNotReplaced(t *testing.T) {
	output := filepath.Join(t.TempDir(), "shop.db")
	opts := restore.Options{Output: output, Force: true}
	leave, err := reserve(&opts)
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	app := sqlitetest.StartShell(t, output)
	app.Run(t, "CREATE TABLE precious(v);")
	if err := opts.Publishing("", restore.Result{}); !errors.Is(err, inuse.ErrInUse) {
		t.Errorf("got %v, want ErrInUse", err)
	}
}
