package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/workflows/control"
)

// tended is an attendance with a service and a host that write down what is asked of
// them.
type tended struct {
	*attendance
	t        *testing.T
	standing control.Standing // of each database
	held     bool             // each database was, as the host knows
	names    []string

	mu    sync.Mutex
	asked []string // names
	told  []string // orders
}

func (d *tended) Answers(context.Context) bool { return true }

func (d *tended) Standing(_ context.Context, name, _, _ string) (control.Standing, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, name)
	return d.standing, nil
}

func (d *tended) tell(order, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = append(d.told, order+" "+name)
	return nil
}

func (d *tended) Wake(_ context.Context, name string) error     { return d.tell("wake", name) }
func (d *tended) Hold(name string)                              { _ = d.tell("hold", name) }
func (d *tended) GoOn(string)                                   {}
func (d *tended) StopSync(_ context.Context, name string) error { return d.tell("stop", name) }

func (d *tended) Release(_ context.Context, db host.Database) error {
	return d.tell("release", db.Name)
}

func (d *tended) Instructions() map[string]host.Instructions {
	all := map[string]host.Instructions{}
	for _, name := range d.names {
		all[name] = host.Instructions{Database: host.Database{Name: name}, Held: d.held}
	}
	return all
}

func (d *tended) asks() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.asked)
}

// perSecond is how many are asked about in a second.
const perSecond = 50

// newTended has n databases, connected and asked about.
func newTended(t *testing.T, n int, s control.Standing) *tended {
	t.Helper()
	d := &tended{attendance: newAttendance(slog.New(slog.DiscardHandler), "web-1"), t: t, standing: s}
	for i := range n {
		d.names = append(d.names, fmt.Sprintf("db%d", i))
	}
	d.connected(d, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() {
		d.run(ctx, d, perSecond, func(_ context.Context, i host.Instructions) error { return d.tell("register", i.Database.Name) })
	})
	t.Cleanup(func() {
		cancel()
		ended.Wait()
	})
	return d
}

// settles waits until nobody is to be asked any more, and returns how long that took.
func (d *tended) settles() time.Duration {
	d.t.Helper()
	begun := time.Now()
	for slices.ContainsFunc(d.names, d.Away) {
		if time.Since(begun) > 20*time.Second {
			d.t.Fatal("not all was asked about")
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(begun)
}

// TestAMissedDatabaseIsAskedAbout has nobody decide for a database until it was.
func TestAMissedDatabaseIsAskedAbout(t *testing.T) {
	for _, row := range []struct {
		name string
		says control.Standing
		held bool
		want []string
	}{
		{name: "its windows will come", says: control.Expected},
		{name: "it rests", says: control.Resting, want: []string{"wake db0"}},
		{name: "it is paused", says: control.Paused, want: []string{"hold db0", "stop db0"}},
		{name: "it is paused, as is known", says: control.Paused, held: true},
		{name: "it was stopped", says: control.Stopped, want: []string{"release db0"}},
		{name: "it is another host's", says: control.Moved, want: []string{"release db0"}},
		{name: "it was never heard of", says: control.Lost, want: []string{"register db0"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := newTended(t, 1, row.says)
			d.held = row.held
			if d.Away("db0") {
				t.Error("away before it was missed")
			}
			d.mu.Lock() // so that it cannot be asked about yet
			d.Missed("db0")
			if !d.Away("db0") {
				t.Error("somebody decides though a window is missed")
			}
			d.mu.Unlock()
			d.settles()
			if !slices.Equal(d.told, row.want) || d.asks() != 1 {
				t.Errorf("asked %d times, told %q; want once and %q", d.asks(), d.told, row.want)
			}
		})
	}
}

// TestAfterAnOutageDatabasesAreAskedAboutInTurn has more databases than may be asked
// about in a second, and as many again at once.
func TestAfterAnOutageDatabasesAreAskedAboutInTurn(t *testing.T) {
	d := newTended(t, 3*perSecond, control.Expected)
	d.noted(false, d)
	time.Sleep(100 * time.Millisecond)
	if n := d.asks(); n != 0 {
		t.Errorf("asked about %d databases while nobody answers", n)
	}
	d.noted(true, d)
	if took := d.settles(); took < 1500*time.Millisecond {
		t.Errorf("%d databases were asked about in %v, want 2 s", len(d.names), took)
	}
	if n := d.asks(); n != len(d.names) {
		t.Errorf("asked %d times about %d databases", n, len(d.names))
	}
}
