package restore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/faulty"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
)

// longHistory has a snapshot, merged objects and single ones, all of which a
// restore of the latest state needs.
func longHistory(t *testing.T) *history {
	t.Helper()
	h := newHistory(t, 512)
	for version := range byte(9) {
		h.ship(image(512, 4+uint32(version), version+1), false)
	}
	h.merge(plan.SnapshotLevel, 1, 3)
	h.merge(1, 4, 6)
	for txid := range h.head() - 3 {
		if txid > 0 && txid < 7 {
			h.remove(0, txid, txid)
		}
	}
	return h
}

// TestEveryFault restores with each request failing in each way, one at a time,
// until none fails any more: to a new file, and in the place of an older one. A
// connection that was lost while an object was read is made anew. A restore that
// fails says so and leaves everything as it was; the next one restores what the
// source was.
func TestEveryFault(t *testing.T) {
	t.Run("what the latest state needs", func(t *testing.T) { everyFault(t, false, 12) }) // a listing and two objects
	t.Run("all", func(t *testing.T) { everyFault(t, true, 30) })                          // and two more
}

func everyFault(t *testing.T, superseded bool, least int) {
	h := longHistory(t)
	var failed []string
	for _, kind := range []faulty.Kind{faulty.Refuse, faulty.Throttle, faulty.TimeOut, faulty.BreakOff} {
		seen := make(map[string]bool)
		for n := 1; ; n++ {
			hit := ""
			for _, force := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v, %d, replacing %v", kind, n, force), func(t *testing.T) {
					hit = restoreWithFault(t, h, kind, n, force, superseded)
				})
			}
			if hit == "" {
				break
			}
			if seen[hit] {
				t.Errorf("%s was hit before", hit)
			}
			seen[hit] = true
			failed = append(failed, hit)
		}
	}
	t.Logf("%d points:\n%s", len(failed), strings.Join(failed, "\n"))
	if len(failed) < least {
		t.Errorf("%d points, want at least %d", len(failed), least)
	}
}

// restoreWithFault returns the request that it made fail.
func restoreWithFault(t *testing.T, h *history, kind faulty.Kind, n int, force, superseded bool) (hit string) {
	ctx, cut := context.WithCancel(t.Context())
	defer cut()
	store := faulty.New(h.store)
	nth := faulty.Nth(n, faulty.Fault{Kind: kind, After: 40})
	store.Set(func(c faulty.Call) faulty.Fault {
		f := nth(c)
		if f.Kind == faulty.TimeOut {
			cut()
		}
		return f
	})
	dir := t.TempDir()
	opts := restore.Options{Output: filepath.Join(dir, "app.db"), Force: force, Superseded: superseded}
	left := []string{}
	if force {
		left = []string{"app.db", "app.db-wal"}
		mustWrite(t, opts.Output, "an older file")
		mustWrite(t, opts.Output+"-wal", "its log")
	}
	_, err := restore.Run(ctx, replica.New(store), opts)
	if failed := store.Failed(); len(failed) > 0 {
		hit = failed[0].String()
		if op := failed[0].Op; kind != faulty.TimeOut && (op == faulty.Get || op == faulty.Read) {
			left = []string{"app.db"}
			if err != nil {
				t.Errorf("%s: got %v, want that it goes on", hit, err)
			}
		} else if want := kindError(kind); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", hit, err, want)
		}
		assertFiles(t, dir, left...)
		if b, e := os.ReadFile(opts.Output); err != nil && force && (e != nil || string(b) != "an older file") {
			t.Errorf("%s: the older file is %q, %v", hit, b, e)
		}
	} else if err != nil {
		t.Fatal(err)
	}
	store.Set(nil)
	opts.Force = opts.Force || err == nil
	if _, err := restore.Run(t.Context(), replica.New(store), opts); err != nil {
		t.Fatalf("%s; the restore after it: %v", hit, err)
	}
	if got := mustRead(t, opts.Output); !bytes.Equal(got, h.states[h.head()]) {
		t.Errorf("%s: restored %d bytes that are not the source's %d", hit, len(got), len(h.states[h.head()]))
	}
	assertFiles(t, dir, "app.db")
	return hit
}

// TestAStoreThatStaysAwayIsGivenUp loses each connection, at once or after some
// bytes of each: the one ends in an error after some tries, the other does not.
func TestAStoreThatStaysAwayIsGivenUp(t *testing.T) {
	h := longHistory(t)
	for _, row := range []struct {
		name  string
		fault faulty.Fault
		want  error
	}{
		{"no answer", faulty.Fault{Kind: faulty.Refuse}, blob.ErrUnavailable},
		{"no byte", faulty.Fault{Kind: faulty.BreakOff}, blob.ErrUnavailable},
		{"forty bytes each time", faulty.Fault{Kind: faulty.BreakOff, After: 40}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			store := faulty.New(h.store)
			store.Set(func(c faulty.Call) faulty.Fault {
				if c.Op == faulty.List {
					return faulty.Fault{}
				}
				return row.fault
			})
			out := filepath.Join(t.TempDir(), "app.db")
			_, err := restore.Run(t.Context(), replica.New(store), restore.Options{Output: out})
			if !errors.Is(err, row.want) {
				t.Fatalf("got %v, want %v", err, row.want)
			}
			if row.want == nil && !bytes.Equal(mustRead(t, out), h.states[h.head()]) {
				t.Error("what was restored is not what the source was")
			}
		})
	}
}

func kindError(kind faulty.Kind) error {
	switch kind {
	case faulty.Throttle:
		return blob.ErrThrottled
	case faulty.TimeOut:
		return context.Canceled
	}
	return blob.ErrUnavailable
}
