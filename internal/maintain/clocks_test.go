package maintain_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/maintain"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// hooked is a store that is watched, and where more goes on than a run asks for. Nil
// hooks do nothing.
type hooked struct {
	blob.Store
	listed   func(prefix string)       // at the end of a listing
	removing func(keys []string) error // an error takes the place of removing
	putting  func(key string) error
	clock    func() time.Time
}

func (s hooked) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		s.Store.List(ctx, prefix)(yield)
		if s.listed != nil {
			s.listed(prefix)
		}
	}
}

func (s hooked) Delete(ctx context.Context, keys ...string) error {
	if s.removing != nil {
		if err := s.removing(keys); err != nil {
			return err
		}
	}
	return s.Store.Delete(ctx, keys...)
}

func (s hooked) Put(ctx context.Context, key string, body io.Reader, meta blob.Metadata) (int64, error) {
	if s.putting != nil {
		if err := s.putting(key); err != nil {
			return 0, err
		}
	}
	return s.Store.Put(ctx, key, body, meta)
}

func (s hooked) Clock(ctx context.Context) (time.Time, error) {
	if s.clock != nil {
		return s.clock(), nil
	}
	return s.Store.Clock(ctx)
}

// TestALongListing takes longer for the whole replica than a listing may be old, as one
// of a million objects does. All goes that has expired.
func TestALongListing(t *testing.T) {
	h := newHistory(t)
	h.maintainOnce(t)
	want := h.copied(t)
	want.kept(t, 3*time.Minute)
	s := hooked{Store: h.store, listed: func(prefix string) {
		if prefix == "ltx/" {
			h.clock.sleep(3*time.Minute - time.Second)
		}
	}}
	report, err := h.maintain(t.Context(), s, time.Second)
	if err != nil || len(report.Left) > 0 {
		t.Fatalf("left %d objects, %v; want none", len(report.Left), err)
	}
	if got, want := h.keys(t), want.keys(t); !slices.Equal(got, want) {
		t.Errorf("it came to %d objects, want %d", len(got), len(want))
	}
}

// TestAStoreThatIsTooSlow needs more than a minute for each listing: what was seen is old
// by the time that it could be removed. The run says so.
func TestAStoreThatIsTooSlow(t *testing.T) {
	h := newHistory(t)
	h.maintainOnce(t)
	before := h.keys(t)
	s := hooked{Store: h.store, listed: func(string) { h.clock.sleep(61 * time.Second) }}
	report, err := h.maintain(t.Context(), s, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if after := h.keys(t); len(report.Expired) > 0 || !slices.Equal(before, after) {
		t.Errorf("%d objects were removed", len(report.Expired))
	}
	if len(report.Left) < puts/2 || report.LeftBytes == 0 || !strings.Contains(report.LeftWhy, "more than a minute old") {
		t.Errorf("%d objects of %d bytes are left because %q", len(report.Left), report.LeftBytes, report.LeftWhy)
	}
}

// TestASleepingRun has the machine sleep once after each kind of call, for longer than
// what was listed may be old. It looks again before it removes anything.
func TestASleepingRun(t *testing.T) {
	h := newHistory(t)
	h.maintainOnce(t)
	want := h.copied(t)
	want.kept(t, 10*time.Minute)
	slept := make(map[string]bool)
	sleep := func(after string) bool {
		if slept[after] {
			return false
		}
		slept[after] = true
		h.clock.sleep(2 * time.Minute)
		return true
	}
	var looked time.Time
	s := hooked{Store: h.store}
	s.listed = func(prefix string) {
		looked = h.clock.now()
		sleep(prefix)
	}
	s.removing = func(keys []string) error {
		if old := h.clock.now().Sub(looked); old > time.Minute {
			t.Errorf("%d objects from %s on were removed %v after the look at them", len(keys), keys[0], old)
		}
		if sleep("removing") {
			return fmt.Errorf("%w: slept", blob.ErrUnavailable) // nothing was done, and nothing may be now
		}
		return nil
	}
	o := h.options(s, time.Second)
	report, err := maintain.Run(t.Context(), o)
	if err != nil || len(report.Left) > 0 || len(slept) < 3 {
		t.Fatalf("left %d objects, %v, and slept after %v; want that it goes on", len(report.Left), err, slept)
	}
	h.kept(t, 10*time.Minute)
	if got, want := h.keys(t), want.keys(t); !slices.Equal(got, want) {
		t.Errorf("it came to %d objects, want %d", len(got), len(want))
	}
}

// TestAWrongClock has the machine that maintains ahead of the store, or behind it.
func TestAWrongClock(t *testing.T) {
	for _, row := range []struct {
		apart   time.Duration
		refused bool
	}{{4 * time.Minute, false}, {6 * time.Minute, true}, {-4 * time.Minute, false}, {-6 * time.Minute, true}} {
		h := newHistory(t)
		h.maintainOnce(t)
		before := h.keys(t)
		s := hooked{Store: h.store, clock: func() time.Time { return h.clock.now().Add(-row.apart) }}
		report, err := h.maintain(t.Context(), s, 10*time.Minute)
		if errors.Is(err, maintain.ErrClock) != row.refused || !row.refused && err != nil {
			t.Errorf("%v ahead: got %v", row.apart, err)
		}
		if after := h.keys(t); row.refused != slices.Equal(before, after) || row.refused != (len(report.Left) > 0) {
			t.Errorf("%v ahead: %d objects of %d are there, %d are left", row.apart, len(after), len(before), len(report.Left))
		}
		if row.refused && (!strings.Contains(err.Error(), "6m0s") || !strings.HasSuffix(err.Error(), "set it right, then run again")) {
			t.Errorf("%v ahead: it does not say what to do: %v", row.apart, err)
		}
	}
}

// TestAWriterThatIsBehind has labelled its objects with times of long ago. Those that the
// store has taken lately stay: their writer looks for the head among them.
func TestAWriterThatIsBehind(t *testing.T) {
	for _, behind := range []time.Duration{policy.Level0, policy.Window / 2, 2 * policy.Window} {
		h := historyBehind(t, behind)
		h.maintainOnce(t)
		report, err := h.maintain(t.Context(), h.store, time.Second)
		if err != nil || len(report.Expired) == 0 {
			t.Fatalf("%v behind: removed %d, %v", behind, len(report.Expired), err)
		}
		keys := h.keys(t)
		for txid := ltx.TXID(puts - 8); txid <= puts; txid++ {
			if !slices.Contains(keys, replica.Key(0, txid, txid)) {
				t.Errorf("%v behind: %d, of %d seconds ago, is gone", behind, txid, puts-txid+1)
			}
		}
	}
}

// TestWhatTakesItsPlaceIsGone removes a merge after the run has read it back: what it was
// made of stays.
func TestWhatTakesItsPlaceIsGone(t *testing.T) {
	h := newHistory(t)
	h.maintainOnce(t)
	merge := replica.Key(1, 34, 41)
	s := hooked{Store: h.store, clock: func() time.Time { // is asked for after the reading
		if err := h.store.Delete(t.Context(), merge); err != nil {
			t.Error(err)
		}
		return h.clock.now()
	}}
	if report, err := h.maintain(t.Context(), s, time.Second); err != nil || len(report.Expired) < puts/2 {
		t.Fatalf("removed %d, %v", len(report.Expired), err)
	}
	for txid := ltx.TXID(34); txid <= 41; txid++ {
		if !slices.Contains(h.keys(t), replica.Key(0, txid, txid)) {
			t.Errorf("%d is gone, and so is %s", txid, merge)
		}
	}
}

// TestTheNewestIsGone removes the newest object that was listed in the middle of a run.
func TestTheNewestIsGone(t *testing.T) {
	h := newHistory(t)
	h.maintainOnce(t)
	s := hooked{Store: h.store, listed: func(prefix string) {
		if err := h.store.Delete(t.Context(), replica.Key(0, puts, puts)); prefix == "ltx/" && err != nil {
			t.Error(err)
		}
	}}
	before := len(h.keys(t))
	report, err := h.maintain(t.Context(), s, time.Second)
	if err != nil || len(report.Expired) > 0 || !strings.Contains(report.LeftWhy, "somebody else removes objects") {
		t.Errorf("removed %d, left %d because %q, %v", len(report.Expired), len(report.Left), report.LeftWhy, err)
	}
	if after := len(h.keys(t)); after != before-1 {
		t.Errorf("%d objects, want %d", after, before-1)
	}
}
