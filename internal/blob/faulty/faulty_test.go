package faulty_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/blobtest"
	"github.com/holdfast-db/holdfast/internal/blob/faulty"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
)

func TestStoreWithoutAPlanIsAStore(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Store { return faulty.New(mem.New()) })
}

func TestStoreThatIsOnlySlowIsAStore(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Store {
		s := faulty.New(mem.New())
		s.Set(faulty.Always(faulty.Fault{Kind: faulty.Slow, Wait: time.Microsecond}))
		return s
	}, blobtest.Objects(10))
}

// newStore returns a store with the objects a and b, of ten bytes each.
func newStore(t *testing.T) (*faulty.Store, blob.Store) {
	t.Helper()
	below := mem.New()
	for _, key := range []string{"a", "b"} {
		if _, err := below.Put(t.Context(), key, strings.NewReader("0123456789"), nil); err != nil {
			t.Fatal(err)
		}
	}
	return faulty.New(below), below
}

// calls are one of each kind; each says what it has got.
var calls = map[faulty.Op]func(context.Context, blob.Store) (string, error){
	faulty.Put: func(ctx context.Context, s blob.Store) (string, error) {
		n, err := s.Put(ctx, "new", strings.NewReader("0123456789"), blob.Metadata{"k": "v"})
		return fmt.Sprint(n), err
	},
	faulty.Get: func(ctx context.Context, s blob.Store) (string, error) {
		body, err := s.Get(ctx, "a", 0, -1)
		if err != nil {
			return "", err
		}
		return "opened", body.Close()
	},
	faulty.Read: func(ctx context.Context, s blob.Store) (string, error) {
		body, err := s.Get(ctx, "a", 0, -1)
		if err != nil {
			return "", err
		}
		b, err := io.ReadAll(body)
		return string(b), errors.Join(err, body.Close())
	},
	faulty.Stat: func(ctx context.Context, s blob.Store) (string, error) {
		info, err := s.Stat(ctx, "a")
		return info.Key, err
	},
	faulty.List: func(ctx context.Context, s blob.Store) (keys string, err error) {
		for info, err := range s.List(ctx, "") {
			if err != nil {
				return keys, err
			}
			keys += info.Key
		}
		return keys, nil
	},
	faulty.Delete: func(ctx context.Context, s blob.Store) (string, error) { return "", s.Delete(ctx, "b", "c") },
}

func TestEachFaultDoesWhatItSays(t *testing.T) {
	const short = time.Millisecond
	exists := func(s blob.Store, key string) bool {
		_, err := s.Stat(context.Background(), key)
		return err == nil
	}
	rows := []struct {
		name  string
		fault faulty.Fault
		op    faulty.Op
		got   string // besides the error
		want  error
		done  bool // put or deleted all the same
	}{
		{name: "a refused put stores nothing", fault: faulty.Fault{Kind: faulty.Refuse}, op: faulty.Put, got: "0", want: blob.ErrUnavailable},
		{name: "a refused get opens nothing", fault: faulty.Fault{Kind: faulty.Refuse}, op: faulty.Get, want: blob.ErrUnavailable},
		{name: "a refused read yields nothing", fault: faulty.Fault{Kind: faulty.Refuse}, op: faulty.Read, want: blob.ErrUnavailable},
		{name: "a refused stat tells nothing", fault: faulty.Fault{Kind: faulty.Refuse}, op: faulty.Stat, want: blob.ErrUnavailable},
		{name: "a refused listing is empty", fault: faulty.Fault{Kind: faulty.Refuse}, op: faulty.List, want: blob.ErrUnavailable},
		{name: "a refused delete deletes nothing", fault: faulty.Fault{Kind: faulty.Refuse}, op: faulty.Delete, want: blob.ErrUnavailable},
		{name: "a put that times out stores nothing", fault: faulty.Fault{Kind: faulty.TimeOut, Wait: short}, op: faulty.Put, got: "0", want: blob.ErrUnavailable},
		{name: "a read times out", fault: faulty.Fault{Kind: faulty.TimeOut, Wait: short}, op: faulty.Read, want: blob.ErrUnavailable},
		{name: "a throttled put stores nothing", fault: faulty.Fault{Kind: faulty.Throttle, Wait: time.Minute}, op: faulty.Put, got: "0", want: blob.ErrThrottled},
		{name: "a listing is throttled", fault: faulty.Fault{Kind: faulty.Throttle}, op: faulty.List, want: blob.ErrThrottled},
		{name: "a slow put is done", fault: faulty.Fault{Kind: faulty.Slow, Wait: short}, op: faulty.Put, got: "10", done: true},
		{name: "a slow read gets it all", fault: faulty.Fault{Kind: faulty.Slow, Wait: short}, op: faulty.Read, got: "0123456789"},
		{name: "a put whose answer is lost is done", fault: faulty.Fault{Kind: faulty.LoseAnswer}, op: faulty.Put, got: "0", want: blob.ErrUnavailable, done: true},
		{name: "a delete whose answer is lost is done", fault: faulty.Fault{Kind: faulty.LoseAnswer}, op: faulty.Delete, want: blob.ErrUnavailable, done: true},
		{name: "a stat has no answer to lose", fault: faulty.Fault{Kind: faulty.LoseAnswer}, op: faulty.Stat, got: "a"},
		{name: "a put that breaks off stores nothing", fault: faulty.Fault{Kind: faulty.BreakOff, After: 4}, op: faulty.Put, got: "0", want: blob.ErrUnavailable},
		{name: "a put that breaks off behind its end stores nothing", fault: faulty.Fault{Kind: faulty.BreakOff, After: 400}, op: faulty.Put, got: "0", want: blob.ErrUnavailable},
		{name: "a download breaks off where it is told to", fault: faulty.Fault{Kind: faulty.BreakOff, After: 4}, op: faulty.Read, got: "0123", want: blob.ErrUnavailable},
		{name: "a download breaks off at its end at the latest", fault: faulty.Fault{Kind: faulty.BreakOff, After: 400}, op: faulty.Read, got: "0123456789", want: blob.ErrUnavailable},
		{name: "a listing breaks off in the middle", fault: faulty.Fault{Kind: faulty.BreakOff, After: 1}, op: faulty.List, got: "a", want: blob.ErrUnavailable},
		{name: "a listing breaks off at its end at the latest", fault: faulty.Fault{Kind: faulty.BreakOff, After: 9}, op: faulty.List, got: "ab", want: blob.ErrUnavailable},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s, below := newStore(t)
			s.Set(faulty.Nth(1, row.fault, row.op))
			got, err := calls[row.op](t.Context(), s)
			if got != row.got || !errors.Is(err, row.want) {
				t.Errorf("got %q, %v; want %q, %v", got, err, row.got, row.want)
			}
			if row.want != nil && !strings.Contains(err.Error(), fmt.Sprint(row.fault.Kind)) {
				t.Errorf("%v does not say that the fault was planned", err)
			}
			if row.want == blob.ErrThrottled {
				if wait, _ := blob.RetryAfter(err); wait != row.fault.Wait {
					t.Errorf("got a wait of %v, want %v", wait, row.fault.Wait)
				}
			}
			if put, kept := exists(below, "new"), exists(below, "b"); put != (row.done && row.op == faulty.Put) || kept == (row.done && row.op == faulty.Delete) {
				t.Errorf("put is %v, not deleted is %v; want that it was done: %v", put, kept, row.done)
			}
			if _, err := calls[faulty.Stat](t.Context(), s); err != nil {
				t.Errorf("the call after it got %v", err)
			}
		})
	}
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	for _, f := range []faulty.Fault{{Kind: faulty.TimeOut}, {Kind: faulty.TimeOut, Wait: time.Hour}, {Kind: faulty.Slow, Wait: time.Hour}} {
		for op, call := range calls {
			s, _ := newStore(t)
			s.Set(faulty.Nth(1, f, op))
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if _, err := call(ctx, s); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, blob.ErrUnavailable) {
				t.Errorf("%s, %v: got %v, want only that the time was over", op, f, err)
			}
			cancel()
		}
	}
}

func TestEachCallCountsOnce(t *testing.T) {
	s, _ := newStore(t)
	body, err := s.Get(t.Context(), "a", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	for p := make([]byte, 3); err == nil; { // one reading in four pieces
		_, err = body.Read(p)
	}
	unused := s.List(t.Context(), "never")
	_, _ = calls[faulty.List](t.Context(), s)
	_, _ = calls[faulty.Put](t.Context(), s)
	s.Set(faulty.Always(faulty.Fault{Kind: faulty.Refuse}))
	_, _ = calls[faulty.Delete](t.Context(), s)
	s.Set(nil)
	_, _ = calls[faulty.Stat](t.Context(), s)
	for _, err := range unused {
		t.Errorf("an empty listing yields %v", err)
	}
	want := []string{"1 get a", "2 read a", "3 list ", "4 put new", "5 delete b: refused", "6 stat a", "7 list never"}
	var got []string
	for _, c := range s.Calls() {
		got = append(got, c.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if failed := s.Failed(); len(failed) != 1 || failed[0].Number != 5 {
		t.Errorf("failed: %v, want the delete", failed)
	}
}

func TestPlansChooseTheirCalls(t *testing.T) {
	refuse, lose := faulty.Fault{Kind: faulty.Refuse}, faulty.Fault{Kind: faulty.LoseAnswer}
	order := []faulty.Op{faulty.Stat, faulty.Put, faulty.Stat, faulty.Delete, faulty.Stat, faulty.List}
	rows := []struct {
		name string
		plan faulty.Plan
		want []int
	}{
		{name: "none", plan: nil},
		{name: "each", plan: faulty.Always(refuse), want: []int{1, 2, 3, 4, 5, 6}},
		{name: "each that changes something", plan: faulty.Always(lose), want: []int{2, 4}},
		{name: "the third of all", plan: faulty.Nth(3, refuse), want: []int{3}},
		{name: "the second that the fault applies to", plan: faulty.Nth(2, lose), want: []int{4}},
		{name: "the second stat", plan: faulty.Nth(2, refuse, faulty.Stat), want: []int{3}},
		{name: "the second of two kinds", plan: faulty.Nth(2, refuse, faulty.Delete, faulty.List), want: []int{6}},
		{name: "one that never comes", plan: faulty.Nth(7, refuse)},
		{name: "several", plan: faulty.Script(faulty.Nth(1, lose), faulty.Nth(2, refuse), faulty.Nth(6, refuse)), want: []int{2, 6}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s, _ := newStore(t)
			s.Set(row.plan)
			for _, op := range order {
				_, _ = calls[op](t.Context(), s)
			}
			var got []int
			for _, c := range s.Failed() {
				got = append(got, c.Number)
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}

// A put's metadata may grow until its body has ended, so nobody may look at it
// before.
func TestMetadataIsReadAfterTheBody(t *testing.T) {
	s := faulty.New(lateReader{mem.New()})
	meta := blob.Metadata{}
	body := io.MultiReader(strings.NewReader("x"), readerFunc(func([]byte) (int, error) {
		meta["late"] = "yes"
		return 0, io.EOF
	}))
	if _, err := s.Put(t.Context(), "k", body, meta); err != nil {
		t.Fatal(err)
	}
	if info, err := s.Stat(t.Context(), "k"); err != nil || info.Metadata["late"] != "yes" {
		t.Errorf("got %v, %v", info.Metadata, err)
	}
}

// lateReader looks at metadata only when it has all of the body.
type lateReader struct{ blob.Store }

func (l lateReader) Put(ctx context.Context, key string, body io.Reader, meta blob.Metadata) (int64, error) {
	b, err := io.ReadAll(body)
	if err != nil {
		return 0, err
	}
	return l.Store.Put(ctx, key, bytes.NewReader(b), meta)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestErrorOfTheBodyGoesBeforeTheFault(t *testing.T) {
	broken := errors.New("the source broke")
	for _, kind := range []faulty.Kind{faulty.BreakOff, faulty.LoseAnswer} {
		s, _ := newStore(t)
		s.Set(faulty.Always(faulty.Fault{Kind: kind, After: 100}))
		body := readerFunc(func([]byte) (int, error) { return 0, broken })
		if _, err := s.Put(t.Context(), "new", body, nil); !errors.Is(err, broken) || errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("%v: got %v, want %v", kind, err, broken)
		}
	}
}

func TestConcurrentCallsAreEachCounted(t *testing.T) {
	s, _ := newStore(t)
	s.Set(faulty.Nth(40, faulty.Fault{Kind: faulty.Refuse}))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				_, _ = s.Stat(t.Context(), "a")
			}
		})
	}
	wg.Wait()
	if n, failed := len(s.Calls()), s.Failed(); n != 80 || len(failed) != 1 || failed[0].Number != 40 {
		t.Errorf("got %d calls, failed %v; want 80, and the 40th failed", n, failed)
	}
}
