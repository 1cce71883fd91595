package host_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"testing"
	"time"

	"sync"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/host"
)

// crowd counts who asks stores at once.
type crowd struct {
	mu        sync.Mutex
	here, met int
}

func (c *crowd) most() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.met
}

// crowded is a store that takes its time.
type crowded struct {
	blob.Store
	*crowd
	takes time.Duration
}

// serve takes the time of a request.
func (c *crowded) serve(ctx context.Context) {
	c.mu.Lock()
	c.here++
	c.met = max(c.met, c.here)
	c.mu.Unlock()
	select {
	case <-time.After(c.takes):
	case <-ctx.Done():
	}
	c.mu.Lock()
	c.here--
	c.mu.Unlock()
}

func (c *crowded) Put(ctx context.Context, key string, body io.Reader, m blob.Metadata) (int64, error) {
	c.serve(ctx)
	return c.Store.Put(ctx, key, body, m)
}

func (c *crowded) Stat(ctx context.Context, key string) (blob.Info, error) {
	c.serve(ctx)
	return c.Store.Stat(ctx, key)
}

func (c *crowded) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	c.serve(ctx)
	return c.Store.List(ctx, prefix)
}

// many is a host that starts with many databases, each with a commit that an earlier
// process has not shipped, while nobody decides.
type many struct {
	*rig
	t     *testing.T
	names []string
	crowd crowd
}

// newMany has the i-th database's store take takes(i) for each request.
func newMany(t *testing.T, n int, takes func(i int) time.Duration) *many {
	t.Helper()
	m := &many{rig: newRig(t), t: t}
	who := &attendance{}
	m.attendance = who
	h := m.start(t)
	for i := range n {
		d, do := mustDatabase(t, fmt.Sprintf("db%02d", i))
		m.names = append(m.names, d.Name)
		w := host.Window{Database: d, Interval: time.Second, Rules: rules}
		if o := <-window(t.Context(), h, w, nil); o.err != nil {
			t.Fatal(o.err)
		}
		do("INSERT INTO t VALUES (1)")
		m.stores[d.Replica] = &crowded{m.stores[d.Replica], &m.crowd, takes(i)}
	}
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	who.goes(true)
	m.start(t)
	return m
}

// mustShip waits until the second object of a database is in its store.
func (m *many) mustShip(name string) {
	m.t.Helper()
	inner := m.stores["mem:"+name].(*crowded).Store.(*mem.Store)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		n := 0
		for _, err := range inner.List(m.t.Context(), "") {
			if err != nil {
				m.t.Fatal(err)
			}
			n++
		}
		if n > 1 {
			return
		}
		if time.Now().After(end) {
			m.t.Fatalf("%s was not shipped", name)
		}
	}
}

// TestAProcessThatStartsWithManyTakesThemInTurn has more databases than may be opened
// side by side.
func TestAProcessThatStartsWithManyTakesThemInTurn(t *testing.T) {
	m := newMany(t, 80, func(int) time.Duration { return 200 * time.Millisecond })
	for _, name := range m.names {
		m.mustShip(name)
	}
	if n := m.crowd.most(); n > 32 || n < 8 {
		t.Errorf("%d were at work at once, want 32 at most, and not one after the other", n)
	}
}

// TestAStoreThatDoesNotAnswerHoldsUpNoOthers has more databases whose store hangs than
// may be opened side by side.
func TestAStoreThatDoesNotAnswerHoldsUpNoOthers(t *testing.T) {
	m := newMany(t, 70, func(i int) time.Duration {
		if i%12 == 0 {
			return 0
		}
		return time.Hour
	})
	for i, name := range m.names {
		if i%12 == 0 {
			m.mustShip(name)
		}
	}
}
