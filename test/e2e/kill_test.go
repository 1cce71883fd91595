package e2e_test

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/test/ledger"
	"github.com/holdfast-db/holdfast/test/proxy"
	"github.com/holdfast-db/holdfast/test/shim"
)

// death is how a worker dies.
type death struct {
	name string
	env  func(lib string) []string
	// arm prepares the death of w and returns when it is near.
	arm func(p *proxy.Proxy, w *process)
}

// isPut tells whether a request creates an object.
func isPut(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, ".ltx")
}

// inPut kills w while one of its puts is under way: before the store has seen
// it, or after the store has taken it.
func inPut(before bool) func(*proxy.Proxy, *process) {
	return func(p *proxy.Proxy, w *process) {
		var once sync.Once
		hook := func(r *http.Request) bool {
			if isPut(r) {
				once.Do(func() { _ = w.Process.Kill() })
				<-w.done
				return !before
			}
			return true
		}
		if before {
			p.Before(hook)
		} else {
			p.After(hook)
		}
		<-w.done
		p.Before(nil)
		p.After(nil)
	}
}

func deaths() []death {
	inCheckpoint := func(n int) death {
		return death{
			name: "inside a checkpoint",
			env:  func(lib string) []string { return shim.Env(lib, shim.Kill, shim.Write, "orders.db", n) },
			arm:  func(_ *proxy.Proxy, w *process) { <-w.done },
		}
	}
	all := []death{}
	for i := range 6 {
		all = append(all,
			death{name: "inside a put, before the store has it", arm: inPut(true)},
			death{name: "inside a put, after the store has it", arm: inPut(false)},
			inCheckpoint(1+i*7),
		)
	}
	for range 4 {
		all = append(all, death{name: "at any moment", arm: func(_ *proxy.Proxy, w *process) {
			time.Sleep(time.Duration(rand.IntN(700)) * time.Millisecond)
			w.kill()
		}})
	}
	return all
}

// TestKilledWorkerGoesOn kills the worker with -9 under load, in the middle of
// puts and of checkpoints. Nothing that was committed is missing afterwards, a
// log that still continues is gone on with, and shipping resumes within seconds.
func TestKilledWorkerGoesOn(t *testing.T) {
	lib := shim.Build(t)
	s := newSite(t, "", "sync: {interval: 100ms, heartbeat: 60s}")
	front := proxy.Start(t, s.stack.Blob)
	s.useEndpoint(front.URL)
	path, journal := filepath.Join(s.dir, "orders.db"), filepath.Join(s.dir, "journal")
	app := s.start(nil, "orders", "-db", path, "-journal", journal, "-rate", "150", "-note", "400")
	w := s.worker()
	eventually(t, 10*time.Second, func() bool { return exists(path) }, func() string { return "the application made no database" })
	s.run("register", path, "--name", "orders", "--host", s.host)
	s.waitPhase("orders", "Replicating", 20*time.Second)

	continued, counts := 0, map[string]int{}
	var slowest time.Duration
	for i, d := range deaths() {
		w.kill()
		var env []string
		if d.env != nil {
			env = d.env(lib)
		}
		w = s.worker(env...)
		s.mustShip(t, "orders", 10*time.Second)
		d.arm(front, w)
		select {
		case <-w.done:
		case <-time.After(30 * time.Second):
			t.Fatalf("death %d, %s: the worker lives", i, d.name)
		}
		counts[d.name]++
		time.Sleep(50 * time.Millisecond) // there is something to ship
		app.signal(t, syscall.SIGSTOP)    // so that what is decided stays true
		goesOn := logContinues(t, s.replicaOf("orders"), path)
		start := time.Now()
		w = s.worker()
		s.mustShip(t, "orders", 10*time.Second)
		app.signal(t, syscall.SIGCONT)
		took := time.Since(start)
		slowest = max(slowest, took)
		resynced := resyncs(w.out.String()) > 0
		t.Logf("death %2d %-40s log continues: %-5v all pages: %-5v shipping again after %v", i, d.name, goesOn, resynced, took.Round(time.Millisecond))
		if goesOn {
			continued++
			if resynced {
				t.Errorf("death %d, %s: resynced although the log goes on", i, d.name)
			}
		}
		if took > 2*time.Second {
			t.Errorf("death %d, %s: shipping again after %v, want 2 s at most", i, d.name, took)
		}
	}
	t.Logf("%v; the log still continued %d times; slowest start %v", counts, continued, slowest)
	if continued < 10 {
		t.Errorf("the log still continued %d times only, want at least 10", continued)
	}
	if code := app.interrupt(t, 10*time.Second); code != 0 {
		t.Errorf("the application ended with status %d", code)
	}
	s.run("sync", "orders")
	s.mustHoldPrefixes(t, "orders", journal)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// useEndpoint makes the site's programs reach the store at another endpoint.
func (s *site) useEndpoint(endpoint string) {
	s.t.Helper()
	b, err := os.ReadFile(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	changed := strings.ReplaceAll(s.root, s.stack.Blob, endpoint)
	if err := os.WriteFile(s.config, []byte(strings.ReplaceAll(string(b), s.root, changed)), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// mustShip waits until the replica has a newer head than now.
func (s *site) mustShip(t *testing.T, name string, within time.Duration) {
	t.Helper()
	r := s.replicaOf(name)
	before := headOf(t, r)
	eventually(t, within, func() bool { return headOf(t, r) > before }, func() string { return fmt.Sprintf("the head is still %s", before) })
}

// heads remembers where each replica's head was last, to find it again cheaply.
var heads sync.Map

func headOf(t *testing.T, r *replica.Replica) ltx.TXID {
	t.Helper()
	hint, _ := heads.LoadOrStore(r, new(atomic.Uint64))
	at := hint.(*atomic.Uint64)
	o, err := r.Head(t.Context(), ltx.TXID(at.Load()))
	if errors.Is(err, replica.ErrEmpty) || errors.Is(err, context.Canceled) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	at.Store(uint64(o.Max))
	return o.Max
}

// logContinues decides for itself, from the log's bytes and the newest object,
// whether the log still holds what was shipped last, in the same generation.
func logContinues(t *testing.T, r *replica.Replica, path string) bool {
	t.Helper()
	head, err := r.Head(t.Context(), headOf(t, r))
	if err != nil {
		t.Fatal(err)
	}
	body, err := r.Raw(t.Context(), head)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close() //nolint:errcheck // only read
	h, _, err := ltx.DecodeHeader(body)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(path + "-wal")
	if err != nil || len(log) < 32 {
		return false
	}
	end := int(h.WALOffset + h.WALSize)
	start := end - int(h.PageSize) - 24
	if start < 32 || end > len(log) {
		return false
	}
	sameSalts := binary.BigEndian.Uint32(log[16:]) == h.WALSalt1 && binary.BigEndian.Uint32(log[20:]) == h.WALSalt2
	chain := fmt.Sprintf("%08x%08x", head.Chain[0], head.Chain[1])
	return sameSalts && hex.EncodeToString(log[start+16:start+24]) == chain
}

// mustHoldPrefixes restores the latest state, which must be all that the journal
// has, and states in between, each of which must be a prefix.
func (s *site) mustHoldPrefixes(t *testing.T, name, journal string) {
	t.Helper()
	entries, err := ledger.ReadJournal(journal)
	if err != nil || len(entries) == 0 {
		t.Fatalf("journal: %d entries, %v", len(entries), err)
	}
	objects, err := s.replicaOf(name).Objects(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	targets := []string{""}
	for range 8 {
		targets = append(targets, objects[rand.IntN(len(objects))].Max.String())
	}
	for i, txid := range targets {
		out := filepath.Join(t.TempDir(), fmt.Sprintf("%d.db", i))
		args := []string{"restore", s.replicaURL(name), "-o", out}
		if txid != "" {
			args = append(args, "--txid", txid)
		}
		s.run(args...)
		last, err := ledger.Verify(t.Context(), out)
		if err != nil {
			t.Errorf("TXID %q: %v", txid, err)
			continue
		}
		if txid == "" && last != entries[len(entries)-1].Order {
			t.Errorf("the latest state ends with order %d, the journal with %d", last.Number, entries[len(entries)-1].Number)
		}
		if n := last.Number; n > 0 && entries[n-1].Order != last {
			t.Errorf("TXID %q: order %d is not the one that was committed", txid, n)
		}
	}
	t.Logf("%d objects, %d orders; verified %d restored states", len(objects), len(entries), len(targets))
}

func (s *site) replicaURL(name string) string {
	base, query, _ := strings.Cut(s.root, "?")
	return base + "/" + name + "?" + query
}
