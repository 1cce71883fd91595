package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

// now is the time in all of these tests.
var now = time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)

// fakeFleet answers as it is told to and keeps what it was asked.
type fakeFleet struct {
	err          error // instead of any answer
	registered   control.Registered
	reconfigured workflows.Reconfigured
	entries      []control.Entry
	status       control.Status
	told         control.Told
	batch        control.Batch
	synced       workflows.Synced
	stopped      workflows.Stopped
	created      []string
	verified     workflows.VerifyAnswer
	scheduled    bool
	asked        []string // method and name
	registration workflows.Registration
	wait         bool // until the context ends

	request  workflows.RestoreRequest
	views    []control.RestoreView // of the restore, told one by one
	restored workflows.Restored
	end      error // of the restore; it goes on until it is cancelled if endless
	endless  bool
}

func (f *fakeFleet) StartRestore(ctx context.Context, r workflows.RestoreRequest) (string, error) {
	f.request = r
	return "holdfast/restore/shop/1", f.answer(ctx, "start", r.Path)
}

func (f *fakeFleet) FollowRestore(ctx context.Context, id string, tell func(control.RestoreView)) (workflows.Restored, error) {
	f.asked = append(f.asked, "follow "+id)
	for _, v := range f.views {
		tell(v)
	}
	if f.endless {
		<-ctx.Done()
		return workflows.Restored{}, ctx.Err()
	}
	return f.restored, f.end
}

func (f *fakeFleet) CancelRestore(_ context.Context, id string) error {
	f.asked = append(f.asked, "cancel "+id)
	f.endless = false
	return nil
}

func (f *fakeFleet) answer(ctx context.Context, what ...string) error {
	f.asked = append(f.asked, strings.Join(what, " "))
	if f.wait {
		<-ctx.Done()
		return ctx.Err()
	}
	return f.err
}

func (f *fakeFleet) Register(ctx context.Context, r workflows.Registration) (control.Registered, error) {
	f.registration = r
	return f.registered, f.answer(ctx, "register", r.Name)
}

func (f *fakeFleet) List(ctx context.Context) ([]control.Entry, error) {
	return f.entries, f.answer(ctx, "list")
}

func (f *fakeFleet) Status(ctx context.Context, name string) (control.Status, error) {
	return f.status, f.answer(ctx, "status", name)
}

func (f *fakeFleet) Pause(ctx context.Context, name, reason string) (control.Told, error) {
	if err := f.answer(ctx, "pause", name, reason); err != nil {
		return control.Told{}, err
	}
	if name == "unknown" {
		return control.Told{}, control.ErrNotRegistered
	}
	return f.told, nil
}

func (f *fakeFleet) Resume(ctx context.Context, name string) (control.Told, error) {
	return f.told, f.answer(ctx, "resume", name)
}

func (f *fakeFleet) Reconfigure(ctx context.Context, name string, settings json.RawMessage) (workflows.Reconfigured, error) {
	return f.reconfigured, f.answer(ctx, "reconfigure", name, string(settings))
}

func (f *fakeFleet) PauseMany(ctx context.Context, s control.Selection, reason string) (control.Batch, error) {
	return f.batch, f.answer(ctx, fmt.Sprintf("pause %+v %s", s, reason))
}

func (f *fakeFleet) ResumeMany(ctx context.Context, s control.Selection) (control.Batch, error) {
	return f.batch, f.answer(ctx, fmt.Sprintf("resume %+v", s))
}

func (f *fakeFleet) Sync(ctx context.Context, name string) (workflows.Synced, error) {
	return f.synced, f.answer(ctx, "sync", name)
}

func (f *fakeFleet) Stop(ctx context.Context, name string, skip bool) (workflows.Stopped, error) {
	word := "with"
	if skip {
		word = "without"
	}
	return f.stopped, f.answer(ctx, "stop", name, word)
}

func (f *fakeFleet) Verify(ctx context.Context, in workflows.VerifyRequest) (workflows.VerifyAnswer, error) {
	return f.verified, f.answer(ctx, fmt.Sprintf("verify %+v", in))
}

func (f *fakeFleet) VerifyEvery(ctx context.Context, in workflows.VerifyRequest, every time.Duration) (bool, error) {
	return f.scheduled, f.answer(ctx, fmt.Sprintf("verify every %v %+v", every, in))
}

func (f *fakeFleet) VerifyOff(ctx context.Context, name string) (bool, error) {
	return f.scheduled, f.answer(ctx, "verify off "+name)
}

func (f *fakeFleet) Setup(ctx context.Context) ([]string, error) {
	return f.created, f.answer(ctx, "setup")
}

// healthy is a database with which all is well.
func healthy() control.Status {
	return control.Status{Answering: true, Status: workflows.Status{
		Name: "shop", Host: "web-1", Path: "/srv/shop.db", Replica: "file:///mnt/shop",
		Settings: workflows.Settings{Interval: time.Second, Window: 10 * time.Minute},
		Phase:    workflows.Replicating, Since: now.Add(-time.Hour),
		Progress: activities.Progress{
			TXID: 0x1f, SyncedAt: now.Add(-1500 * time.Millisecond), LastPut: now.Add(-2 * time.Second),
			Transactions: 40, Puts: 31, Bytes: 3 << 20, BehindBytes: 1 << 19,
		},
	}}
}

// outcome is what a person sees of an invocation.
type outcome struct {
	status         int
	stdout, stderr string
}

// invoke runs holdfast in this process, on a machine called web-1 that has no
// configuration.
func invoke(t *testing.T, f *fakeFleet, environ []string, args ...string) outcome {
	t.Helper()
	return invokeWithin(t.Context(), f, environ, args...)
}

func invokeWithin(ctx context.Context, f *fakeFleet, environ []string, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	w := world{
		environ: environ, stdout: &stdout, stderr: &stderr,
		hostname:  func() (string, error) { return "Web-1", nil },
		contained: func() bool { return false },
		now:       func() time.Time { return now },
		dial: func(context.Context, []string) (fleet, func(), error) {
			if f == nil {
				return nil, nil, errors.New("nobody may be asked here")
			}
			return f, func() {}, nil
		},
	}
	status := run(ctx, w, args)
	return outcome{status, stdout.String(), stderr.String()}
}

// mustFail checks the form of a failure: nothing on stdout, one line on stderr.
func mustFail(t *testing.T, got outcome, status int, want string) {
	t.Helper()
	if got.status != status {
		t.Errorf("got exit status %d, want %d", got.status, status)
	}
	if got.stdout != "" {
		t.Errorf("got %q on stdout", got.stdout)
	}
	if strings.Count(got.stderr, "\n") != 1 || !strings.HasSuffix(got.stderr, "\n") {
		t.Errorf("want one line on stderr, got %q", got.stderr)
	}
	if !strings.Contains(got.stderr, want) {
		t.Errorf("got  %swant %q in it", got.stderr, want)
	}
}

func mustSucceed(t *testing.T, got outcome) string {
	t.Helper()
	if got.status != statusDone || got.stderr != "" {
		t.Fatalf("got exit status %d: %s", got.status, got.stderr)
	}
	return got.stdout
}

func mustWrite(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
