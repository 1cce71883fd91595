package workflows_test

import (
	"context"
	"errors"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/superfly/ltx"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/workflows"
)

// Between two heartbeats of a window at the default time-out, as worker/tuning_test.go
// has it: with up to 250 at work on a host, and with a thousand.
const (
	beatAlone   = 10 * time.Second
	beatCrowded = 40 * time.Second
)

// bill is what some time costs in Temporal.
type bill struct {
	activities, timers, fired, signals, phases, runs float64

	beats, crowded float64 // heartbeats, by beatAlone and beatCrowded
}

// actions are what a service may bill: what begins, and what is told.
func (b bill) actions(beats float64) float64 {
	return b.activities + b.timers + b.signals + b.phases + b.runs + beats
}

// events are those of the history. An activity is scheduled, started and completed, a
// timer started, and fired or cancelled; the end of each, a signal and the start of a run
// bring a workflow task, which is scheduled, started and completed. A run has a first
// event and a last. TestLiveEventsAreCountedRight holds this to a server's.
func (b bill) events() float64 {
	return 3*b.activities + 2*b.timers + b.signals + b.phases + 2*b.runs + 3*(b.activities+b.fired+b.signals+b.runs)
}

func (b bill) over(days float64) bill {
	for _, n := range []*float64{&b.activities, &b.timers, &b.fired, &b.signals, &b.phases, &b.runs, &b.beats, &b.crowded} {
		*n /= days
	}
	return b
}

// beatsIn is how many heartbeats a window sends that has something to say all the time.
func beatsIn(took, every time.Duration) float64 {
	if took <= activities.Quiet {
		return 0
	}
	return 1 + math.Floor(float64(took-activities.Quiet-1)/float64(every))
}

// life is a database in virtual time, over as many runs of its workflow as it takes.
type life struct {
	t      *testing.T
	in     workflows.Input
	window func() (took time.Duration, puts ltx.TXID, end host.Reason) // the next one
	wakes  bool                                                        // every hour

	begin, from, until time.Time // of all, and of what is counted
	bill               bill
	woken              bool
	replica            *kept // nil: nothing ever expires
	head               ltx.TXID
	now                func() time.Time
}

// live goes through days, of which the last ones are counted.
func (l *life) live(days, counted int) bill {
	l.t.Helper()
	l.begin = epoch
	l.until = l.begin.Add(time.Duration(days)*24*time.Hour + time.Minute)
	l.from = l.until.Add(-time.Duration(counted) * 24 * time.Hour)
	for start := l.begin; ; {
		next := l.run(start)
		if next == nil {
			return l.bill.over(float64(counted))
		}
		l.in, start = *next, l.now()
	}
}

// run is one run of the workflow. It returns the input of the next one, nil after the end.
func (l *life) run(begin time.Time) *workflows.Input {
	l.t.Helper()
	f := &fakeHost{}
	env := newEnv(l.t, f)
	env.SetStartTime(begin)
	l.now = env.Now
	l.count(&l.bill.runs, 1)
	env.SetOnActivityStartedListener(func(*activity.Info, context.Context, converter.EncodedValues) { l.count(&l.bill.activities, 1) })
	env.SetOnTimerScheduledListener(func(string, time.Duration) { l.count(&l.bill.timers, 1) })
	env.SetOnTimerFiredListener(func(string) { l.count(&l.bill.fired, 1) })
	env.OnUpsertTypedSearchAttributes(anything).Run(func(mock.Arguments) { l.count(&l.bill.phases, 1) }).Return(nil).Maybe()
	l.host(env, f)
	if l.wakes {
		l.wake(env, begin)
	}
	endAfter(env, l.until.Sub(begin))
	start(env, l.in)
	var next *workflow.ContinueAsNewError
	if !errors.As(env.GetWorkflowError(), &next) {
		if l.now().Before(l.until) {
			l.t.Fatalf("it ended at %v: %v", l.now(), env.GetWorkflowError())
		}
		return nil
	}
	in := mustSuccessor(l.t, env)
	return &in
}

func (l *life) count(what *float64, n float64) {
	if now := l.now(); !now.Before(l.from) && now.Before(l.until) {
		*what += n
	}
}

// host has windows as l.window says, and maintenance as the plan decides.
func (l *life) host(env *testsuite.TestWorkflowEnvironment, f *fakeHost) {
	var puts ltx.TXID
	var end host.Reason
	acts := &activities.HostActivities{Host: f}
	env.RegisterActivityWithOptions((&activities.ReplicaActivities{}).Maintain, activity.RegisterOptions{Name: activities.NameMaintain})
	env.OnActivity(activities.NameSync, anything, anything).Return(acts.Sync).AfterFn(func() (took time.Duration) {
		took, puts, end = l.window()
		l.count(&l.bill.beats, beatsIn(took, beatAlone))
		l.count(&l.bill.crowded, beatsIn(took, beatCrowded))
		return took
	})
	f.sync = func(context.Context, host.Window, func(host.Progress)) (host.Result, error) {
		l.put(puts)
		return host.Result{Reason: end, Progress: host.Progress{Passes: 1, TXID: l.head, SyncedAt: env.Now()}}, nil
	}
	env.OnActivity(activities.NameMaintain, anything, anything).After(5 * time.Second).Return(
		func(context.Context, activities.MaintainInput) (activities.MaintainResult, error) {
			if l.replica == nil {
				return activities.MaintainResult{}, nil
			}
			l.replica.now = env.Now()
			return l.replica.maintain(), nil
		})
}

func (l *life) put(n ltx.TXID) {
	for range n {
		l.head++
		if l.replica != nil {
			l.replica.files = append(l.replica.files, plan.File{Min: l.head, Max: l.head, Size: 1, Created: l.now()})
		}
	}
}

// wake has the host tell of a change at half past each hour of a run.
func (l *life) wake(env *testsuite.TestWorkflowEnvironment, begin time.Time) {
	for when := l.begin.Add(30 * time.Minute); when.Before(l.until); when = when.Add(time.Hour) {
		if after := when.Sub(begin); after > 0 && after < 8*24*time.Hour {
			at(env, after, func() {
				l.count(&l.bill.signals, 1)
				l.woken = true
				env.SignalWorkflow(workflows.SignalWake, nil)
			})
		}
	}
}

// daily are the databases of the table in docs/operations.md.
var daily = []struct {
	name          string // as the table has it
	days, counted int
	set           func(l *life)
}{
	{"is written to all the time", 2, 1, func(l *life) {
		l.replica = nil // a run is due by what was put, always
		l.window = func() (time.Duration, ltx.TXID, host.Reason) { return 10 * time.Minute, 600, host.WindowOver }
	}},
	{"wakes once an hour", 15, 6, func(l *life) {
		l.wakes = true
		l.window = func() (time.Duration, ltx.TXID, host.Reason) {
			if !l.woken {
				return 0, 0, host.Idle
			}
			l.woken = false
			return l.in.Settings.IdleAfter, 1, host.Idle
		}
	}},
	{"rests all day", 12, 6, func(l *life) {
		l.window = func() (time.Duration, ltx.TXID, host.Reason) { return 0, 0, host.Idle }
	}},
	{"is plain, with a pass and a put a minute", 3, 1, func(l *life) {
		l.in.Settings.Interval, l.in.Settings.Window = time.Minute, 0
		l.window = func() (time.Duration, ltx.TXID, host.Reason) { return 0, 1, host.WindowOver }
	}},
}

// TestADayCostsWhatIsDocumented goes through the days of docs/operations.md in virtual
// time, with the workflow's own code and the plan's own decisions, and holds each number
// of its table to a tenth.
func TestADayCostsWhatIsDocumented(t *testing.T) {
	table := mustTable(t, "| a day of a database that ")
	if len(table) != len(daily) {
		t.Errorf("%d rows are documented, want %d", len(table), len(daily))
	}
	for _, row := range daily {
		t.Run(row.name, func(t *testing.T) {
			settings := workflows.DefaultSettings()
			l := &life{t: t, in: workflows.Input{Spec: spec(), Maintain: true, UseSearchAttributes: true}}
			l.in.Settings = settings
			l.replica = &kept{policy: plan.Policy{Window: settings.Retention, Level0: settings.Level0}}
			row.set(l)
			b := l.live(row.days, row.counted)
			got := []float64{b.activities, b.timers, b.signals, b.phases, b.runs, b.beats, b.actions(b.beats), b.crowded, b.actions(b.crowded), b.events()}
			t.Logf("%.1f", got)
			documented := table[row.name]
			if len(documented) != len(got) {
				t.Fatalf("%d numbers are documented, want %d", len(documented), len(got))
			}
			for i, want := range documented {
				if off := math.Abs(got[i] - want); off > max(want, got[i])/10 && off > 0.05 {
					t.Errorf("number %d: documented %v, got %.2f", i+1, want, got[i])
				}
			}
		})
	}
}

// TestManyDatabasesCostWhatIsDocumented computes the large numbers of docs/operations.md
// from its small ones.
func TestManyDatabasesCostWhatIsDocumented(t *testing.T) {
	day, size := mustTable(t, "| a day of a database that "), mustTable(t, "| an event of a database that ")
	table := mustTable(t, "| databases | actions a day ")
	for _, row := range []struct {
		name, day, size string
		databases       float64
		crowded         bool
	}{
		{"1, busy", daily[0].name, daily[0].name, 1, false},
		{"1,000, busy", daily[0].name, daily[0].name, 1000, true},
		{"100,000, busy", daily[0].name, daily[0].name, 100_000, true},
		{"1 that wakes once an hour", daily[1].name, daily[1].name, 1, false},
		{"1,000 that wake once an hour", daily[1].name, daily[1].name, 1000, false},
		{"100,000 that wake once an hour", daily[1].name, daily[1].name, 100_000, false},
		{"1 at rest", daily[2].name, daily[3].name, 1, false},
		{"1,000 at rest", daily[2].name, daily[3].name, 1000, false},
		{"100,000 at rest", daily[2].name, daily[3].name, 100_000, false},
	} {
		actions, events := day[row.day][6], day[row.day][9]
		if row.crowded {
			actions = day[row.day][8]
		}
		second := row.databases * actions / 86400
		want := []float64{row.databases * actions, second, math.Ceil(second / 500), row.databases * events, row.databases * events * size[row.size][0] / (1 << 20)}
		got := table[row.name]
		if len(got) != len(want) {
			t.Fatalf("%s: %d numbers are documented, want %d", row.name, len(got), len(want))
		}
		for i := range want {
			if off := math.Abs(got[i] - want[i]); off > want[i]/20 && off > 0.005 {
				t.Errorf("%s: number %d: documented %v, want %.4f", row.name, i+1, got[i], want[i])
			}
		}
	}
	if len(table) != 9 {
		t.Errorf("%d rows are documented, want 9", len(table))
	}
}

// mustTable reads the table of docs/operations.md whose head begins so: the numbers of
// each row by its first cell.
func mustTable(t *testing.T, head string) map[string][]float64 {
	t.Helper()
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "\n"+head)
	if !found {
		t.Fatalf("no table begins with %q", head)
	}
	rows := map[string][]float64{}
	for _, line := range strings.Split(after, "\n")[2:] {
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(line, "| "), "|")
		var numbers []float64
		for _, cell := range cells[1:] {
			n, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimSpace(cell), ",", ""), 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			numbers = append(numbers, n)
		}
		rows[strings.TrimSpace(cells[0])] = numbers
	}
	return rows
}
