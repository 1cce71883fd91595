package activities_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/inuse"
	"github.com/holdfast-db/holdfast/internal/maintain"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
)

func TestEachDomainErrorHasItsType(t *testing.T) {
	for _, row := range []struct {
		name    string
		err     error
		want    string
		retries bool
	}{
		{"a full disk", source.ErrDiskFull, activities.DiskFull, true},
		{"a full disk that nobody classified", &errnoError{syscall.ENOSPC}, activities.DiskFull, true},
		{"a quota", syscall.EDQUOT, activities.DiskFull, true},
		{"a full disk met while busy", errors.Join(source.ErrBusy, source.ErrDiskFull), activities.DiskFull, true},
		{"another writer", ship.ErrFenced, activities.Fenced, false},
		{"a foreign head", ship.ErrForeign, activities.Fenced, false},
		{"no file", source.ErrMissing, activities.DatabaseMissing, false},
		{"not a database", source.ErrNotDatabase, activities.Misconfigured, false},
		{"not in WAL mode", source.ErrNotWAL, activities.Misconfigured, false},
		{"no permission", source.ErrPermission, activities.Misconfigured, false},
		{"out of contract", source.ErrContract, activities.Misconfigured, false},
		{"two names for one thing", host.ErrConflict, activities.Misconfigured, false},
		{"no container", blob.ErrNoContainer, activities.Misconfigured, false},
		{"a wrong key", blob.ErrDenied, activities.Misconfigured, false},
		{"a newer format", replica.ErrNewerFormat, activities.Misconfigured, false},
		{"a wrong clock", maintain.ErrClock, activities.Misconfigured, true},
		{"a damaged object", replica.ErrDamaged, activities.ReplicaDamaged, false},
		{"throttling", &blob.ThrottledError{Err: errors.New("503")}, activities.StoreThrottled, true},
		{"no connection", blob.ErrUnavailable, activities.StoreUnavailable, true},
		{"a locked database", source.ErrBusy, activities.DatabaseBusy, true},
		{"no room for a restore", restore.ErrNoSpace, activities.DiskFull, true},
		{"a file at the path", restore.ErrExists, activities.Exists, false},
		{"a file that is open", inuse.ErrInUse, activities.InUse, false},
		{"a registered database at the path", host.ErrRegistered, activities.Registered, false},
		{"a result that is no database", restore.ErrUnsound, activities.ReplicaDamaged, false},
		{"a gap", &plan.GapError{}, activities.ReplicaDamaged, false},
		{"nothing to begin from", plan.ErrNoSnapshot, activities.ReplicaDamaged, false},
		{"an empty replica", plan.ErrEmpty, activities.NoSuchState, false},
		{"a state that is not kept", plan.ErrTarget, activities.NoSuchState, false},
		{"anything else", errors.New("surprise"), activities.Internal, true},
		{"an object that is gone", blob.ErrNotFound, activities.Internal, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			typ, retries := activities.Classify(fmt.Errorf("ship shop: %w", row.err))
			if typ != row.want || retries != row.retries {
				t.Errorf("got %s, retries %t; want %s, %t", typ, retries, row.want, row.retries)
			}
		})
	}
}

type errnoError struct{ errno syscall.Errno }

func (e *errnoError) Error() string { return "write: " + e.errno.Error() }
func (e *errnoError) Unwrap() error { return e.errno }

func TestErrorsKeepTheirMessageAndCarryTheCount(t *testing.T) {
	for _, row := range []struct {
		name   string
		err    error
		before int
		want   string
		final  bool
		next   time.Duration
	}{
		{name: "the first full disk is retried", err: source.ErrDiskFull, before: 0, want: activities.DiskFull},
		{name: "the second full disk is retried", err: source.ErrDiskFull, before: 1, want: activities.DiskFull},
		{name: "the third full disk is the workflow's", err: source.ErrDiskFull, before: 2, want: activities.DiskFull, final: true},
		{name: "a full disk after two other failures is the workflow's", err: source.ErrDiskFull, before: 2, want: activities.DiskFull, final: true},
		{name: "a third failure of another kind is retried", err: blob.ErrUnavailable, before: 2, want: activities.StoreUnavailable},
		{name: "a fence is never retried", err: ship.ErrFenced, before: 0, want: activities.Fenced, final: true},
		{name: "the store's wish for a wait is the next attempt's", want: activities.StoreThrottled, before: 0, next: 42 * time.Second,
			err: &blob.ThrottledError{RetryAfter: 42 * time.Second, Err: errors.New("503")}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t, &fakeHost{sync: fails(row.err)})
			_, err := b.sync(input(row.before), nil)
			app := mustApplication(t, err)
			if app.Type() != row.want || app.NonRetryable() != row.final || app.NextRetryDelay() != row.next {
				t.Errorf("got %s, final %t, next %s; want %s, %t, %s",
					app.Type(), app.NonRetryable(), app.NextRetryDelay(), row.want, row.final, row.next)
			}
			if want := "ship shop: " + row.err.Error(); app.Message() != want {
				t.Errorf("got message %q, want %q", app.Message(), want)
			}
			var beat activities.Beat
			if err := app.Details(&beat); err != nil || beat.Failures != row.before+1 || beat.Type != row.want {
				t.Errorf("got details %+v, %v; want failure %d", beat, err, row.before+1)
			}
			if last := b.lastBeat(); last != beat {
				t.Errorf("heartbeat %+v differs from the details %+v", last, beat)
			}
		})
	}
}

func fails(err error) func(context.Context, host.Window, func(host.Progress)) (host.Result, error) {
	return func(context.Context, host.Window, func(host.Progress)) (host.Result, error) {
		return host.Result{}, fmt.Errorf("ship shop: %w", err)
	}
}

func mustApplication(t *testing.T, err error) *temporal.ApplicationError {
	t.Helper()
	var app *temporal.ApplicationError
	if !errors.As(err, &app) {
		t.Fatalf("got %v, want an application error", err)
	}
	return app
}
