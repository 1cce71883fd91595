package maintain_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/faulty"
	"github.com/holdfast-db/holdfast/internal/maintain"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// without is a plan that refuses to read one object.
func without(key string) faulty.Plan {
	return func(c faulty.Call) faulty.Fault {
		if c.Op == faulty.Get && c.Key == key {
			return faulty.Fault{Kind: faulty.Refuse}
		}
		return faulty.Fault{}
	}
}

// TestAnObjectThatCannotBeRead keeps its own merge from being made, and no other.
func TestAnObjectThatCannotBeRead(t *testing.T) {
	h := newHistory(t)
	s := faulty.New(h.store)
	s.Set(without(replica.Key(0, 20, 20)))
	report, err := h.maintain(t.Context(), s, time.Second)
	if !errors.Is(err, blob.ErrUnavailable) || !strings.Contains(fmt.Sprint(err), replica.Key(0, 20, 20)) {
		t.Errorf("got %v, want that %s is unavailable", err, replica.Key(0, 20, 20))
	}
	if len(report.Merged) != 12 {
		t.Errorf("%d merges were made, want %d", len(report.Merged), 12)
	}
}

// TestAMergeThatCannotBeReadBack keeps what it was made of, and nothing else.
func TestAMergeThatCannotBeReadBack(t *testing.T) {
	h := newHistory(t)
	h.maintainOnce(t)
	s := faulty.New(h.store)
	s.Set(without(replica.Key(1, 34, 41)))
	report, err := h.maintain(t.Context(), s, time.Second)
	if !errors.Is(err, blob.ErrUnavailable) || !strings.Contains(fmt.Sprint(err), replica.Key(1, 34, 41)) {
		t.Errorf("got %v, want that %s is unavailable", err, replica.Key(1, 34, 41))
	}
	if len(report.Expired) < puts/2 || len(report.Left) != 8 || !strings.Contains(report.LeftWhy, "could not be read back") {
		t.Errorf("removed %d, left %v because %q", len(report.Expired), report.Left, report.LeftWhy)
	}
	h.check(t, time.Second)
}

// TestAStoreThatIsAway is not asked for one object after the other.
func TestAStoreThatIsAway(t *testing.T) {
	h := newHistory(t)
	s := faulty.New(h.store)
	s.Set(func(c faulty.Call) faulty.Fault {
		if c.Op == faulty.Get {
			return faulty.Fault{Kind: faulty.Refuse}
		}
		return faulty.Fault{}
	})
	if _, err := h.maintain(t.Context(), s, time.Second); !errors.Is(err, blob.ErrUnavailable) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want one line that says that the store is away", err)
	}
	if n := len(s.Failed()); n != 3 {
		t.Errorf("it was asked for %d objects, want 3", n)
	}
}

// TestManyFaults are told by the first of them, and how many there are.
func TestManyFaults(t *testing.T) {
	h := newHistory(t)
	for txid := ltx.TXID(2); txid < puts; txid += 8 {
		h.cut(t, replica.Key(0, txid, txid))
	}
	_, err := h.maintain(t.Context(), h.store, time.Second)
	if !errors.Is(err, replica.ErrDamaged) || !strings.Contains(err.Error(), replica.Key(0, 2, 2)) || !strings.HasSuffix(err.Error(), "; and 5 more") {
		t.Errorf("got %v", err)
	}
}

// cut takes the end of an object away.
func (h *history) cut(t testing.TB, key string) {
	t.Helper()
	data := read(t, h.store, key)
	info, err := h.store.Stat(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.store.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	h.clock.set(info.Modified)
	if _, err := h.store.Put(t.Context(), key, strings.NewReader(string(data[:len(data)/2])), info.Metadata); err != nil {
		t.Fatal(err)
	}
}

// TestAMergeThatCameAndWent is made by another run, and removed for a larger one, between
// this run's put and its look at what is there. That is no fault; it is one if what the
// merge is made of is still there.
func TestAMergeThatCameAndWent(t *testing.T) {
	for _, gone := range []bool{true, false} {
		h := newHistory(t)
		merge := replica.Key(1, 34, 41)
		s := hooked{Store: h.store, putting: func(key string) error {
			if key != merge {
				return nil
			}
			for txid := ltx.TXID(34); gone && txid <= 41; txid++ {
				if err := h.store.Delete(t.Context(), replica.Key(0, txid, txid)); err != nil {
					t.Error(err)
				}
			}
			return blob.ErrExists
		}}
		report, err := h.maintain(t.Context(), s, time.Second)
		if gone != (err == nil) || len(report.Merged) != 12 {
			t.Errorf("its parts gone: %v: %d merges, %v", gone, len(report.Merged), err)
		}
	}
}

// TestPartsThatWent are removed by another run, which has made more of them, after this
// one has listed them.
func TestPartsThatWent(t *testing.T) {
	h := newHistory(t)
	once := false
	s := hooked{Store: h.store, listed: func(string) {
		if !once {
			once = true
			h.kept(t, time.Second)
		}
	}}
	if _, err := h.maintain(t.Context(), s, time.Second); err != nil {
		t.Error(err)
	}
	h.check(t, time.Second)
}

// TestWithoutLeaveToDelete is told what to do.
func TestWithoutLeaveToDelete(t *testing.T) {
	h := newHistory(t)
	h.maintainOnce(t)
	before := h.keys(t)
	s := hooked{Store: h.store, removing: func([]string) error { return blob.ErrDenied }}
	report, err := h.maintain(t.Context(), s, time.Second)
	if !errors.Is(err, blob.ErrDenied) || !strings.Contains(err.Error(), "janitor") || !strings.Contains(err.Error(), "--keep") {
		t.Errorf("got %v, want what to do", err)
	}
	if !slices.Equal(before, h.keys(t)) || len(report.Left) == 0 {
		t.Errorf("%+v", report)
	}
}

// TestCancelled ends soon, and says so.
func TestCancelled(t *testing.T) {
	h := newHistory(t)
	ctx, cancel := context.WithCancel(t.Context())
	s := hooked{Store: h.store, putting: func(string) error { cancel(); return nil }}
	if _, err := maintain.Run(ctx, h.options(s, time.Second)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
