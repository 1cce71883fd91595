package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
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

// TestWhatIsWantedLaterDoesNotWait wants a database while another one backs off for an
// hour, and gives that one up.
func TestWhatIsWantedLaterDoesNotWait(t *testing.T) {
	var logs strings.Builder
	o, r := newOffice(t, &logs, db("a"))
	r.wanted["/srv/a.db"].due = time.Now().Add(time.Hour)
	done := make(chan []config.Database)
	r.registered = func(d []config.Database) { done <- d }
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() { r.run(ctx) })
	defer ended.Wait()
	defer cancel()
	r.want(db("b"))
	if got := <-done; !slices.Equal(got, []config.Database{db("b")}) || o.times("a") != 0 {
		t.Errorf("registered %v, and asked for a %d times", got, o.times("a"))
	}
	o.set("c", errors.New("no"))
	r.want(db("c"))
	eventually(t, func() bool { return o.times("c") > 1 })
	r.drop("/srv/c.db")
	r.want(db("d"))
	<-done
	n := o.times("c")
	r.want(db("e"))
	<-done
	time.Sleep(3 * r.Backoff.Cap)
	if o.times("c") > n {
		t.Error("what was given up is tried again")
	}
}

// TestRegistrationGoesOnWhileMoreMayBeWanted has nothing left to do in between.
func TestRegistrationGoesOnWhileMoreMayBeWanted(t *testing.T) {
	var logs strings.Builder
	_, r := newOffice(t, &logs)
	done, ended := make(chan []config.Database), make(chan struct{})
	r.registered = func(d []config.Database) { done <- d }
	ctx, cancel := context.WithCancel(t.Context())
	go func() { r.run(ctx); close(ended) }()
	for _, name := range []string{"a", "b"} {
		select {
		case <-ended:
			t.Fatal("it has ended")
		case <-time.After(50 * time.Millisecond):
		}
		r.want(db(name))
		if got := <-done; len(got) != 1 || got[0] != db(name) {
			t.Errorf("registered %v, want %s", got, name)
		}
	}
	cancel()
	<-ended
}

// TestAnOldRefusalIsLoggedAnew when it comes after something else: the end of the wish,
// or its fulfilment.
func TestAnOldRefusalIsLoggedAnew(t *testing.T) {
	var logs strings.Builder
	o, r := newOffice(t, &logs)
	round := func(refusal error) {
		o.set("a", refusal)
		r.want(db("a"))
		r.round(t.Context(), []config.Database{db("a")})
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
