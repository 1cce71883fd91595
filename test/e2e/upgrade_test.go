//go:build upgrade

package e2e_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/test/proxy"
	"github.com/holdfast-db/holdfast/workflows"
)

// What the script upgrade, beside this file, hands over.
const (
	formerVariable = "HOLDFAST_TEST_FORMER"  // directory with the programs of an earlier commit
	oneWayVariable = "HOLDFAST_TEST_ONE_WAY" // why there is no way back to them; empty if there is
)

// The databases of an upgrade are called by the state in which their worker is replaced.
const (
	busy    = "busy"    // an application writes into it, and its workflow continues as new every few windows
	parked  = "parked"  // at rest
	paused  = "paused"  // by a person
	cut     = "cut"     // backing off, as the store does not answer for it
	missing = "missing" // backing off, as its file is somewhere else
	kept    = "kept"    // paused, and its replica is being maintained
)

// upgrade is a host whose worker is replaced by that of another commit.
type upgrade struct {
	*site
	client  client.Client
	front   *proxy.Proxy
	former  string // directory of the other commit's programs
	app     *process
	journal string
	work    *process
	rows    map[string][]string // what the test has committed, by database
	windows int                 // of retention that were asked for
}

// TestUpgrade begins databases with the programs of an earlier commit, ends its worker
// while they are in all the states that last, and goes on with the programs of the work
// tree; and then the other way round.
func TestUpgrade(t *testing.T) {
	for _, row := range []struct {
		name string
		end  func(*upgrade)
	}{
		{"ended in order", func(u *upgrade) {
			if code := u.work.interrupt(u.t, 30*time.Second); code != 0 {
				u.t.Errorf("the worker ended with status %d", code)
			}
		}},
		{"killed", func(u *upgrade) { u.work.kill() }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			u := newUpgrade(t)
			u.register()
			u.replace("upgrade", row.end, "")
			if os.Getenv(oneWayVariable) == "" {
				u.replace("rollback", row.end, u.former)
			}
			u.mustHoldAll()
			u.mustHaveFailedNoTask()
		})
	}
}

// newUpgrade starts the former worker on a host of its own.
func newUpgrade(t *testing.T) *upgrade {
	t.Helper()
	former := os.Getenv(formerVariable)
	if former == "" {
		t.Fatalf("%s is not set; run it by make upgrade", formerVariable)
	}
	settings := "sync: {interval: 200ms, heartbeat: 6s, idle-after: 3s}\nbackoff: {cap: 1s}"
	u := &upgrade{site: newSite(t, "", settings), former: former, rows: map[string][]string{}}
	u.programs = former
	u.client = u.apart()
	u.front = proxy.Start(t, u.stack.Blob)
	u.useEndpoint(u.front.URL)
	u.journal = filepath.Join(u.dir, "journal")
	t.Cleanup(func() {
		for _, name := range u.all() {
			_ = u.client.TerminateWorkflow(context.Background(), workflows.WorkflowID(name), "", "the test is over")
		}
	})
	u.work = u.worker()
	return u
}

func (u *upgrade) all() []string { return []string{busy, parked, paused, cut, missing, kept} }

func (u *upgrade) path(name string) string { return filepath.Join(u.dir, name+".db") }

// register makes the databases and has all replicated.
func (u *upgrade) register() {
	u.t.Helper()
	u.app = u.start(nil, "orders", "-db", u.path(busy), "-journal", u.journal, "-rate", "20")
	eventually(u.t, 10*time.Second, func() bool { return exists(u.path(busy)) }, func() string { return "the application made no database" })
	in := workflows.Input{
		Spec: workflows.Spec{
			Name: busy, Host: u.host, Path: u.path(busy), Replica: strings.ReplaceAll(u.replicaURL(busy), u.stack.Blob, u.front.URL),
			Settings: workflows.Settings{Interval: 200 * time.Millisecond, Window: 2 * time.Second, Heartbeat: 6 * time.Second},
		},
		UseSearchAttributes: true, Maintain: true, MaxWindows: 4,
	}
	if _, err := u.client.ExecuteWorkflow(u.t.Context(), workflows.StartOptions(in), workflows.TypeReplicateDatabase, in); err != nil {
		u.t.Fatal(err)
	}
	for _, name := range u.all()[1:] {
		u.commit(name, "before all")
		u.run("register", u.path(name), "--name", name, "--host", u.host, "--config", u.config)
	}
	u.waitPhase(busy, "Replicating", 20*time.Second)
}

// commit adds a row to a database.
func (u *upgrade) commit(name, row string) {
	u.t.Helper()
	shell := sqlitetest.StartShell(u.t, u.path(name))
	defer shell.Quit()
	shell.Run(u.t, "CREATE TABLE IF NOT EXISTS t(v);", fmt.Sprintf("INSERT INTO t VALUES ('%s');", row))
	u.rows[name] = append(u.rows[name], row)
}

// replace brings all databases into their states, ends the worker, starts the one of the
// other programs, and looks that all go on.
func (u *upgrade) replace(what string, end func(*upgrade), programs string) {
	u.t.Helper()
	u.bringAbout(what)
	end(u)
	still := headOf(u.t, u.replicaOf(paused))
	for _, name := range []string{parked, paused, cut, kept} {
		u.commit(name, what+": between the workers")
	}
	begun := time.Now()
	u.programs = programs
	u.work = u.worker()
	u.mustShip(u.t, busy, 20*time.Second)
	u.mustShipRows(parked, 20*time.Second)
	u.waitPhase(cut, "StoreUnavailable", 20*time.Second)
	u.waitPhase(missing, "DatabaseMissing", 20*time.Second)
	u.waitPhase(paused, "Paused", 20*time.Second)
	if head := headOf(u.t, u.replicaOf(paused)); head != still {
		u.t.Errorf("%s: %s was shipped while it was paused, up to TXID %s from %s", what, paused, head, still)
	}
	u.goOn(what)
	u.t.Logf("%s: all go on %v after the other worker's start", what, time.Since(begun).Round(time.Second))
}

// bringAbout has each database reach the state that it is called by.
func (u *upgrade) bringAbout(what string) {
	u.t.Helper()
	for _, name := range u.all()[1:] {
		u.commit(name, what+": before")
		u.run("sync", name)
	}
	u.run("pause", paused, "--reason", what)
	u.run("pause", kept)
	u.hold()
	u.retain()
	eventually(u.t, 20*time.Second, func() bool { return u.retention(kept)["running_since"] != nil }, func() string { return "no run of maintenance begins" })
	u.commit(cut, what+": while the store is away")
	must(u.t, os.Rename(u.path(missing), u.path(missing)+".away"))
	u.waitPhase(cut, "StoreUnavailable", 20*time.Second)
	u.waitPhase(missing, "DatabaseMissing", 20*time.Second)
	u.waitPhase(parked, "Idle", 20*time.Second)
	if phase := u.status(busy)["phase"]; phase != "Replicating" {
		u.t.Errorf("%s is %v, want Replicating", busy, phase)
	}
}

// hold makes the store refuse the database cut, and keep the maintenance of kept waiting.
func (u *upgrade) hold() {
	u.front.Before(func(r *http.Request) bool {
		switch {
		case about(r, cut):
			return false
		case about(r, kept):
			<-r.Context().Done()
			return false
		}
		return true
	})
}

// about tells whether a request is about a database's replica.
func about(r *http.Request, name string) bool {
	return strings.Contains(r.URL.Path, "/e2e/"+name+"/") || strings.HasPrefix(r.URL.Query().Get("prefix"), "e2e/"+name+"/")
}

// retain asks for another retention of kept, which brings a run of maintenance at once.
func (u *upgrade) retain() {
	u.t.Helper()
	u.windows++
	text, err := os.ReadFile(u.config)
	must(u.t, err)
	config := filepath.Join(u.dir, "retention.yml")
	must(u.t, os.WriteFile(config, fmt.Appendf(text, "retention: {window: %dh}\n", 200+u.windows), 0o600))
	u.run("register", u.path(kept), "--name", kept, "--host", u.host, "--config", config)
}

func (u *upgrade) retention(name string) map[string]any {
	u.t.Helper()
	of, _ := u.status(name)["retention"].(map[string]any)
	return of
}

// goOn takes away what the databases wait for, and has each ship what is committed then.
func (u *upgrade) goOn(what string) {
	u.t.Helper()
	runs := u.retention(kept)["runs"]
	u.front.Before(nil)
	must(u.t, os.Rename(u.path(missing)+".away", u.path(missing)))
	u.waitPhase(cut, "Replicating", 20*time.Second)
	eventually(u.t, 20*time.Second, func() bool { return u.status(missing)["phase"] != "DatabaseMissing" }, func() string { return "a file that is back is not seen" })
	eventually(u.t, 40*time.Second, func() bool {
		of := u.retention(kept)
		return of["running_since"] == nil && of["problem"] == nil && of["runs"] != runs
	}, func() string { return fmt.Sprintf("the run of maintenance does not end: %v", u.retention(kept)) })
	u.run("resume", paused)
	u.run("resume", kept)
	for _, name := range u.all()[1:] {
		u.commit(name, what+": after")
	}
	for _, name := range u.all() {
		u.run("sync", name)
		if st := u.status(name); st["paused"] != false || st["failures"] != 0.0 || st["problem"] != nil {
			u.t.Errorf("%s of %s: phase %v, paused %v, failures %v, problem %v", what, name, st["phase"], st["paused"], st["failures"], st["problem"])
		}
	}
}

// mustShipRows waits until the replica has all rows of a database.
func (u *upgrade) mustShipRows(name string, within time.Duration) {
	u.t.Helper()
	var got []string
	eventually(u.t, within, func() bool { got = u.restored(name); return slices.Equal(got, u.rows[name]) },
		func() string { return fmt.Sprintf("%s: the replica has %q, want %q", name, got, u.rows[name]) })
}

// restored are the rows of the latest state.
func (u *upgrade) restored(name string) (rows []string) {
	u.t.Helper()
	out := filepath.Join(u.t.TempDir(), name)
	u.run("restore", u.replicaURL(name), "-o", out)
	db, err := sql.Open("sqlite3", "file:"+out+"?mode=ro&immutable=1")
	must(u.t, err)
	defer db.Close() //nolint:errcheck // only read
	var all string
	must(u.t, db.QueryRowContext(u.t.Context(), "SELECT group_concat(v, char(10)) FROM (SELECT v FROM t ORDER BY rowid)").Scan(&all))
	return strings.Split(all, "\n")
}

// mustHoldAll compares what is restored with what was committed, whoever shipped it.
func (u *upgrade) mustHoldAll() {
	u.t.Helper()
	for _, name := range u.all()[1:] {
		if got := u.restored(name); !slices.Equal(got, u.rows[name]) {
			u.t.Errorf("%s: restored %q, want %q", name, got, u.rows[name])
		}
	}
	if code := u.app.interrupt(u.t, 10*time.Second); code != 0 {
		u.t.Errorf("the application ended with status %d", code)
	}
	u.run("sync", busy)
	u.mustHoldPrefixes(u.t, busy, u.journal)
}

// mustHaveFailedNoTask looks at the histories of all runs: a worker that decides
// otherwise than the one before it fails the task.
func (u *upgrade) mustHaveFailedNoTask() {
	u.t.Helper()
	runs, tasks := map[string]int{}, 0
	for _, name := range u.all() {
		for run := u.newest(name); run != ""; runs[name]++ {
			it := u.client.GetWorkflowHistory(u.t.Context(), workflows.WorkflowID(name), run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
			run = ""
			for it.HasNext() {
				e, err := it.Next()
				must(u.t, err)
				if started := e.GetWorkflowExecutionStartedEventAttributes(); started != nil {
					run = started.ContinuedExecutionRunId
				}
				if e.EventType == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
					tasks++
				}
				failed := e.GetWorkflowTaskFailedEventAttributes()
				if failed != nil && failed.Cause != enumspb.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND { // a message came with the end of a run
					u.t.Errorf("%s, event %d: a workflow task failed, %s: %s", name, e.EventId, failed.Cause, failed.Failure.GetMessage())
				}
			}
		}
	}
	u.t.Logf("%d workflow tasks in %v runs", tasks, runs)
	if runs[busy] < 3 {
		u.t.Errorf("%s has continued as new %d times, want twice at least", busy, runs[busy]-1)
	}
}

// newest is the id of a database's newest run.
func (u *upgrade) newest(name string) string {
	u.t.Helper()
	d, err := u.client.DescribeWorkflowExecution(u.t.Context(), workflows.WorkflowID(name), "")
	must(u.t, err)
	return d.WorkflowExecutionInfo.Execution.RunId
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
