package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/internal/telemetry"
	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

// office registers what it is asked for, but for what it refuses.
type office struct {
	mu     sync.Mutex
	closed error
	refuse map[string]error
	asked  []string
}

func (o *office) open(context.Context) (registrar, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o, o.closed
}

func (o *office) Register(_ context.Context, r workflows.Registration) (control.Registered, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, r.Name)
	return control.Registered{New: true}, o.refuse[r.Name]
}

func (o *office) set(name string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refuse[name] = err
}

// times returns how often name was asked for.
func (o *office) times(name string) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, asked := range o.asked {
		if asked == name {
			n++
		}
	}
	return n
}

func db(name string) config.Database {
	return config.Database{Path: "/srv/" + name + ".db", Name: name, Replica: "file:///r/" + name}
}

// newOffice returns a registration of listed databases with a backoff of up to 20 ms.
func newOffice(t *testing.T, logs *strings.Builder, listed ...config.Database) (*office, *registration) {
	t.Helper()
	h, err := telemetry.NewHandler(logs, telemetry.Text, "info")
	if err != nil {
		t.Fatal(err)
	}
	s := settings{}
	s.Host, s.Backoff.Cap, s.Databases = "web-1", 20*time.Millisecond, listed
	o := &office{refuse: map[string]error{}}
	return o, newRegistration(slog.New(h), s, o.open)
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come")
		}
	}
}

func TestListedDatabasesAreTriedUntilAllAreRegistered(t *testing.T) {
	var logs strings.Builder
	o, r := newOffice(t, &logs, db("a"), db("b"))
	o.set("b", errors.New("its file is missing"))
	refused := 0
	r.counted = func(n int) {
		if n > 0 {
			refused = n
		} else {
			refused += 10 * n
		}
	}
	done := make(chan struct{})
	go func() { r.run(t.Context()); close(done) }()
	eventually(t, func() bool { return o.times("b") > 3 })
	o.set("b", nil)
	<-done
	if o.times("a") != 1 || refused != 1 {
		t.Errorf("a was asked for %d times, want once; %d counted as refused, want 1", o.times("a"), refused)
	}
	if n := strings.Count(logs.String(), "its file is missing"); n != 1 {
		t.Errorf("the refusal was logged %d times, want once:\n%s", n, &logs)
	}
}

func TestNothingIsRefusedWhileTheServiceIsAway(t *testing.T) {
	var logs strings.Builder
	o, r := newOffice(t, &logs, db("a"))
	o.closed = errors.New("unavailable")
	r.counted = func(n int) {
		if n > 0 {
			t.Errorf("%d refused", n)
		}
		o.closed = nil // after the first round
	}
	r.run(t.Context())
	if o.times("a") != 1 {
		t.Errorf("a was asked for %d times, want once", o.times("a"))
	}
}

// TestAServiceThatIsAwayIsAskedSteadily has it away for longer than any backoff.
func TestAServiceThatIsAwayIsAskedSteadily(t *testing.T) {
	var logs strings.Builder
	_, r := newOffice(t, &logs)
	r.Backoff.Cap = time.Hour
	r.want(db("a"))
	for range 8 {
		due, _ := r.due(time.Now().Add(time.Hour))
		r.settle(due, nil)
	}
	if _, next := r.due(time.Now()); time.Until(next) > firstRetry {
		t.Errorf("asked again in %v, want %v", time.Until(next), firstRetry)
	}
}

// running runs r, of which more may be wanted, until the test is over.
func running(t *testing.T, r *registration) (ended <-chan struct{}) {
	t.Helper()
	r.more = true
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { r.run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return done
}

// TestWhatIsWantedLaterDoesNotWait wants a database while another one backs off for an
// hour, and gives one up that is refused.
func TestWhatIsWantedLaterDoesNotWait(t *testing.T) {
	var logs strings.Builder
	o, r := newOffice(t, &logs, db("a"))
	r.wanted["/srv/a.db"].due = time.Now().Add(time.Hour)
	running(t, r)
	o.set("c", errors.New("no"))
	r.want(db("b"))
	r.want(db("c"))
	eventually(t, func() bool { return o.times("b") == 1 && o.times("c") > 1 })
	r.drop("/srv/c.db")
	r.want(db("d"))
	eventually(t, func() bool { return o.times("d") == 1 }) // so a round with c is over
	r.want(db("e"))
	eventually(t, func() bool { return o.times("e") == 1 })
	n := o.times("c")
	time.Sleep(3 * r.Backoff.Cap)
	if o.times("c") > n || o.times("a") > 0 {
		t.Errorf("c, given up, was asked for %d times more; a, which backs off, %d times", o.times("c")-n, o.times("a"))
	}
}

// TestRegistrationGoesOnWhileMoreMayBeWanted has nothing left to do in between.
func TestRegistrationGoesOnWhileMoreMayBeWanted(t *testing.T) {
	var logs strings.Builder
	o, r := newOffice(t, &logs)
	ended := running(t, r)
	for _, name := range []string{"a", "b"} {
		select {
		case <-ended:
			t.Fatal("it has ended")
		case <-time.After(50 * time.Millisecond):
		}
		r.want(db(name))
		eventually(t, func() bool { return o.times(name) == 1 })
	}
}

// TestAnOldRefusalIsLoggedAnew when it comes after something else: the end of the wish,
// or its fulfilment.
func TestAnOldRefusalIsLoggedAnew(t *testing.T) {
	var logs strings.Builder
	o, r := newOffice(t, &logs)
	round := func(refusal error) {
		o.set("a", refusal)
		r.want(db("a"))
		due, _ := r.due(time.Now())
		r.round(t.Context(), due)
	}
	no := errors.New("its file is missing")
	for _, row := range []struct {
		name string
		do   func()
		want int // lines by then
	}{
		{"a refusal", func() { round(no) }, 1},
		{"the same again", func() { round(no) }, 1},
		{"after it was given up", func() { r.drop(db("a").Path); round(no) }, 2},
		{"after it was registered", func() { round(nil); round(no) }, 3},
	} {
		row.do()
		if n := strings.Count(logs.String(), no.Error()); n != row.want {
			t.Errorf("%s: %d lines, want %d", row.name, n, row.want)
		}
	}
}

// TestWhatIsWantedAnewMeanwhileIsWantedStill wants a database again while its
// registration is under way.
func TestWhatIsWantedAnewMeanwhileIsWantedStill(t *testing.T) {
	var logs strings.Builder
	_, r := newOffice(t, &logs, db("a"))
	due, _ := r.due(time.Now())
	r.want(db("a"))
	r.settle(due, []error{nil})
	if again, _ := r.due(time.Now()); len(again) != 1 {
		t.Errorf("%d are due, want it once more", len(again))
	}
}

func TestRoundsAreBounded(t *testing.T) {
	var logs strings.Builder
	_, r := newOffice(t, &logs)
	for i := range roundSize + 1 {
		r.want(db(strings.Repeat("x", i+1)))
	}
	if due, _ := r.due(time.Now()); len(due) != roundSize {
		t.Errorf("%d are due at once, want %d", len(due), roundSize)
	}
}
