package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/holdfast-db/holdfast/test/ledger"
	"github.com/holdfast-db/holdfast/workflows"
)

// mustFill makes the database as many MiB larger, with what cannot be compressed.
func (s *stand) mustFill(mebibytes int) {
	s.t.Helper()
	fill := fmt.Sprintf(`CREATE TABLE IF NOT EXISTS filler(v);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d) INSERT INTO filler SELECT randomblob(1048576) FROM n;`, mebibytes)
	if out, err := exec.CommandContext(s.t.Context(), "sqlite3", "-cmd", ".timeout 20000", s.path, fill).CombinedOutput(); err != nil {
		s.t.Fatalf("sqlite3: %v: %s", err, out)
	}
}

// gate holds all reads of objects but the first few until it is opened.
type gate struct {
	mu     sync.Mutex
	passed int
	held   int
	opened chan struct{}
}

// closeGate lets few reads pass.
func (s *stand) closeGate(few int) *gate {
	g := &gate{opened: make(chan struct{})}
	s.front.Before(func(r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, ".ltx") || r.URL.Query().Has("comp") {
			return true
		}
		g.mu.Lock()
		g.passed++
		through := g.passed <= few
		if !through {
			g.held++
		}
		g.mu.Unlock()
		if through {
			return true
		}
		select {
		case <-g.opened:
			return true
		case <-r.Context().Done():
			return false
		}
	})
	return g
}

func (g *gate) mustHold(t *testing.T) {
	t.Helper()
	eventually(t, 20*time.Second, func() bool { g.mu.Lock(); defer g.mu.Unlock(); return g.held > 0 }, func() string { return "no read is held" })
}

// sight is what was at a path when something was there first.
type sight struct {
	mu      sync.Mutex
	content []byte
}

// lookOut looks at a path all the time until the test ends.
func lookOut(t *testing.T, path string) *sight {
	s, over, ended := &sight{}, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-over:
				return
			case <-time.After(time.Millisecond):
			}
			if content, err := os.ReadFile(path); err == nil {
				s.mu.Lock()
				s.content = content
				s.mu.Unlock()
				return
			}
		}
	}()
	t.Cleanup(func() { close(over); <-ended })
	return s
}

func (s *sight) first() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.content
}

// leftovers are the names of all in a directory.
func leftovers(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// restoredAs is the part of the answer of restore --on --json that tests look at.
type restoredAs struct {
	ID       string `json:"id"`
	TXID     string `json:"txid"`
	Replaced string `json:"replaced"`
	Digested bool   `json:"digest_checked"`
}

func mustRead(t *testing.T, answer string) (r restoredAs) {
	t.Helper()
	if err := json.Unmarshal([]byte(answer), &r); err != nil {
		t.Fatalf("%v in %q", err, answer)
	}
	return r
}

// mustEqual compares a file with the state at txid, as the command alone restores it.
func (s *stand) mustEqual(path, txid string) {
	s.t.Helper()
	want := filepath.Join(s.t.TempDir(), "want.db")
	s.run("restore", s.replicaURL(s.name), "-o", want, "--txid", txid)
	a, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	b, err := os.ReadFile(want)
	if err != nil || !bytes.Equal(a, b) {
		s.t.Errorf("%s is not the state at %s: %d bytes, want %d, %v", path, txid, len(a), len(b), err)
	}
}

// synced makes a pass and returns the TXID of all that was committed before.
func (s *stand) synced() (txid string) {
	s.t.Helper()
	return mustRead(s.t, s.run("sync", s.name, "-o", "json")).TXID
}

// pins are the signals about restores that the database's workflow has got, in order.
func (s *stand) pins() (names []string) {
	s.t.Helper()
	for it := s.client.GetWorkflowHistory(s.t.Context(), workflows.WorkflowID(s.name), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
		event, err := it.Next()
		if err != nil {
			s.t.Fatal(err)
		}
		name := event.GetWorkflowExecutionSignaledEventAttributes().GetSignalName()
		if slices.Contains([]string{workflows.SignalPin, workflows.SignalUnpin, workflows.SignalPause, workflows.SignalResume}, name) {
			names = append(names, name)
		}
	}
	return names
}

// mustPin checks for how many restores the database's workflow keeps what they read.
func (s *stand) mustPin(restores int) {
	s.t.Helper()
	var st workflows.Status
	value, err := s.client.QueryWorkflow(s.t.Context(), workflows.WorkflowID(s.name), "", workflows.QueryStatus)
	if err == nil {
		err = value.Get(&st)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	if len(st.Pins) != restores {
		s.t.Errorf("it keeps %+v, want what %d restores read", st.Pins, restores)
	}
}

func (s *stand) mustHavePinned(want ...string) {
	s.t.Helper()
	if got := s.pins(); !slices.Equal(got, want) {
		s.t.Errorf("the database's workflow got %q, want %q", got, want)
	}
}

// TestRestoreOnAHost restores a database by the worker of its host while the
// application goes on.
func TestRestoreOnAHost(t *testing.T) {
	s := newStand(t, "", "50")
	s.replicate()
	dir := t.TempDir()
	path := filepath.Join(dir, "copy.db")
	res := mustRead(t, s.run("restore", s.name, "-o", path, "--on", s.host, "--integrity", "full", "--mode", "0640", "--json"))
	if !res.Digested || res.Replaced != "" || !strings.HasPrefix(res.ID, "holdfast/restore/"+s.name+"/") {
		t.Errorf("got %+v", res)
	}
	s.mustEqual(path, res.TXID)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("got %v, %v, want mode 0640", info, err)
	}
	s.mustHavePinned("pin", "unpin")
	again := s.try("restore", s.name, "-o", path, "--on", s.host)
	if again.code != 1 || !strings.Contains(again.stderr, "output exists") {
		t.Errorf("over a file: exit status %d, %s", again.code, again.stderr)
	}
	none := s.try("restore", s.replicaURL("nobody"), "-o", filepath.Join(dir, "other.db"), "--on", s.host)
	if none.code != 1 || !strings.Contains(none.stderr, "the replica holds nothing; check the replica's URL") {
		t.Errorf("of nothing: exit status %d, %s", none.code, none.stderr)
	}
	if got := leftovers(t, dir); !slices.Equal(got, []string{"copy.db"}) {
		t.Errorf("there is %q", got)
	}
	s.mustLoseNothing()
}

// TestARestoreOutlivesItsWorker kills the worker with -9 in the middle of a restore.
func TestARestoreOutlivesItsWorker(t *testing.T) {
	t.Parallel()
	s := newStand(t, "", "20")
	s.mustFill(96)
	s.replicate()
	s.run("sync", s.name)
	dir := t.TempDir()
	path := filepath.Join(dir, "copy.db")
	seen := lookOut(t, path)
	g := s.closeGate(4)
	answer := s.start(nil, "holdfast", "restore", s.name, "-o", path, "--on", s.host, "--json")
	g.mustHold(t)
	s.mustPin(1)
	if got := leftovers(t, dir); len(got) != 1 || got[0] == "copy.db" {
		t.Errorf("in the middle there is %q", got)
	}
	s.work.kill()
	close(g.opened)
	s.work = s.worker()
	select {
	case <-answer.done:
	case <-time.After(90 * time.Second):
		t.Fatalf("it did not end; it said %s", answer.out.String())
	}
	if code := answer.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("exit status %d: %s", code, answer.out.String())
	}
	s.mustEqual(path, mustRead(t, answer.out.String()).TXID)
	if final, err := os.ReadFile(path); err != nil || !bytes.Equal(seen.first(), final) {
		t.Errorf("what was there first has %d bytes, in the end there are %d, %v", len(seen.first()), len(final), err)
	}
	if got := leftovers(t, dir); !slices.Equal(got, []string{"copy.db"}) {
		t.Errorf("there is %q", got)
	}
	s.mustHavePinned("pin", "unpin")
	s.mustPin(0)
	s.mustLoseNothing()
}

// TestARestoreGoesOnWithTheNextWorker ends the worker in order in the middle.
func TestARestoreGoesOnWithTheNextWorker(t *testing.T) {
	t.Parallel()
	s := newStand(t, "", "20")
	s.mustFill(96)
	s.replicate()
	s.run("sync", s.name)
	path := filepath.Join(t.TempDir(), "copy.db")
	g := s.closeGate(4)
	answer := s.start(nil, "holdfast", "restore", s.name, "-o", path, "--on", s.host, "--json")
	g.mustHold(t)
	if code := s.work.interrupt(t, 30*time.Second); code != 0 {
		t.Errorf("the worker ended with status %d", code)
	}
	close(g.opened)
	begun := time.Now()
	s.work = s.worker()
	<-answer.done
	t.Logf("done %v after the next worker's start", time.Since(begun).Round(100*time.Millisecond))
	if code := answer.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("exit status %d: %s", code, answer.out.String())
	}
	s.mustEqual(path, mustRead(t, answer.out.String()).TXID)
	if took := time.Since(begun); took > 25*time.Second {
		t.Errorf("it took %v, as if the worker had been killed", took)
	}
}

// TestARestoreThatIsInterruptedLeavesNothing interrupts the command in the middle of a
// restore over a registered database.
func TestARestoreThatIsInterruptedLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newStand(t, "", "20")
	s.mustFill(96)
	s.replicate()
	s.run("sync", s.name)
	if code := s.app.interrupt(t, 10*time.Second); code != 0 {
		t.Errorf("the application ended with status %d", code)
	}
	txid := s.synced()
	before := leftovers(t, s.dir)
	g := s.closeGate(4)
	answer := s.start(nil, "holdfast", "restore", s.name, "-o", s.path, "--on", s.host, "--force")
	g.mustHold(t)
	s.waitPhase(s.name, "Paused", 10*time.Second)
	answer.signal(t, syscall.SIGINT)
	<-answer.done
	if code := answer.ProcessState.ExitCode(); code != 130 || !strings.Contains(answer.out.String(), "the restore was cancelled, and nothing of it is left") {
		t.Errorf("exit status %d: %s", code, answer.out.String())
	}
	close(g.opened)
	s.waitPhase(s.name, "Replicating", 20*time.Second)
	s.run("sync", s.name)
	for _, name := range leftovers(t, s.dir) {
		if !slices.Contains(before, name) && !strings.HasPrefix(name, filepath.Base(s.path)) {
			t.Errorf("%s was left", name)
		}
	}
	s.mustHavePinned("pin", "pause", "resume", "unpin")
	s.mustPin(0)
	s.run("stop", s.name)
	s.mustEqual(s.path, txid)
}

// TestALiveDatabaseIsReplaced puts an older state in the place of a database that is
// replicated, and has its application go on from there.
func TestALiveDatabaseIsReplaced(t *testing.T) {
	t.Parallel()
	s := newStand(t, "sync: {interval: 200ms}", "50")
	s.replicate()
	time.Sleep(time.Second)
	old := s.synced()
	time.Sleep(time.Second)
	if r := s.try("restore", s.name, "-o", s.path, "--on", s.host, "--txid", old); r.code != 1 || !strings.Contains(r.stderr, "stop that one first, or replace its file with --force") {
		t.Errorf("without --force: exit status %d, %s", r.code, r.stderr)
	}
	if r := s.try("restore", s.name, "-o", s.path, "--on", s.host, "--txid", old, "--force"); r.code != 1 || !strings.Contains(r.stderr, fmt.Sprintf("process %d (orders)", s.app.Process.Pid)) {
		t.Errorf("while it is open: exit status %d, %s", r.code, r.stderr)
	}
	if r := s.try("restore", s.replicaURL(s.name), "-o", s.path, "--txid", old, "--force"); r.code != 1 || !strings.Contains(r.stderr, "a worker on this machine replicates "+s.path) {
		t.Errorf("behind the worker's back: exit status %d, %s", r.code, r.stderr)
	}
	s.mustLoseNothing() // and ends the application
	res := mustRead(t, s.run("restore", s.name, "-o", s.path, "--on", s.host, "--txid", old, "--force", "--json"))
	if res.Replaced != s.name || res.TXID != old {
		t.Errorf("got %+v", res)
	}
	s.waitPhase(s.name, "Replicating", 20*time.Second)
	s.run("sync", s.name)
	var resyncs any
	eventually(t, 20*time.Second, func() bool { resyncs = s.status(s.name)["resyncs"]; return resyncs == 1.0 },
		func() string { return fmt.Sprintf("%v resyncs, want 1", resyncs) })
	got := s.pins()
	if !slices.Equal(got[len(got)-4:], []string{"pin", "pause", "resume", "unpin"}) {
		t.Errorf("the database's workflow got %q", got)
	}
	s.mustGoOnFrom(old)
}

// mustGoOnFrom has an application write into the database that has the state txid, and
// checks what is restored then.
func (s *stand) mustGoOnFrom(txid string) {
	s.t.Helper()
	was := filepath.Join(s.t.TempDir(), "was.db")
	s.run("restore", s.replicaURL(s.name), "-o", was, "--txid", txid)
	begin, err := ledger.Verify(s.t.Context(), was)
	if err != nil {
		s.t.Fatal(err)
	}
	s.journal += "-2"
	s.app = s.start(nil, "orders", "-db", s.path, "-journal", s.journal, "-rate", "100")
	time.Sleep(2 * time.Second)
	if code := s.app.interrupt(s.t, 10*time.Second); code != 0 {
		s.t.Errorf("the application ended with status %d", code)
	}
	s.run("sync", s.name)
	entries, err := ledger.ReadJournal(s.journal)
	if err != nil || len(entries) == 0 || entries[0].Order.Number != begin.Number+1 {
		s.t.Fatalf("the application did not go on after order %d: %d entries, %v", begin.Number, len(entries), err)
	}
	now := filepath.Join(s.t.TempDir(), "now.db")
	s.run("restore", s.name, "-o", now, "--on", s.host)
	last, err := ledger.Verify(s.t.Context(), now)
	if want := entries[len(entries)-1].Order; err != nil || last != want {
		s.t.Errorf("restored up to order %d, %v, want %d", last.Number, err, want.Number)
	}
}
