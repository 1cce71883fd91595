package workflows_test

import (
	"slices"
	"testing"
	"time"

	"github.com/superfly/ltx"
	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/workflows"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestWhenMaintenanceIsDue(t *testing.T) {
	const never = -1
	ago := func(d time.Duration) time.Time { return epoch.Add(-d) }
	kept := workflows.Maintenance{Runs: 1, Began: ago(5 * time.Minute), TXID: 1000, Shipped: ago(6 * time.Minute)}
	with := func(change func(m *workflows.Maintenance)) workflows.Maintenance {
		m := kept
		change(&m)
		return m
	}
	for _, row := range []struct {
		name string
		m    workflows.Maintenance
		head ltx.TXID
		want time.Duration // from now; 0 for at once, or since long
	}{
		{"an empty replica never", workflows.Maintenance{}, 0, never},
		{"one that is followed since long at once", workflows.Maintenance{}, 50_000, 0},
		{"its first puts when each of them is not kept any more", workflows.Maintenance{Grown: ago(10 * time.Minute)}, 3, 50 * time.Minute},
		{"nothing was put since, and nothing expires", kept, 1000, never},
		{"enough was put, and some time went by", with(func(m *workflows.Maintenance) { m.Began = ago(20 * time.Minute) }), 1512, 0},
		{"enough was put, but just now there was a run", kept, 1512, 10 * time.Minute},
		{"one put too few waits", with(func(m *workflows.Maintenance) { m.Grown = ago(time.Minute) }), 1511, 59 * time.Minute},
		{"something expires", with(func(m *workflows.Maintenance) { m.Next = epoch.Add(time.Hour) }), 1000, 2 * time.Hour},
		{"something has expired, but just now there was a run", with(func(m *workflows.Maintenance) { m.Next = ago(time.Hour) }), 1000, 55 * time.Minute},
		{"what is old has time", with(func(m *workflows.Maintenance) { m.Next, m.Shipped = epoch.Add(8*time.Hour), ago(32*time.Hour) }), 1000, 13 * time.Hour},
		{"what expires before the puts are due", with(func(m *workflows.Maintenance) { m.Grown, m.Next = epoch, ago(30*time.Minute) }), 1001, 55 * time.Minute},
		{"a failure makes it wait", with(func(m *workflows.Maintenance) { m.Rest = epoch.Add(40 * time.Minute) }), 9000, 40 * time.Minute},
		{"another retention is wanted", with(func(m *workflows.Maintenance) { m.Due = true }), 1000, 0},
		{"a replica that was begun anew", with(func(m *workflows.Maintenance) { m.Grown = epoch }), 7, time.Hour},
	} {
		at, ok := workflows.Due(row.m, row.head, workflows.Filled(workflows.Pace{}, time.Hour))
		got := max(0, at.Sub(epoch))
		if !ok {
			got = never
		}
		if got != row.want {
			t.Errorf("%s: got %v, want %v", row.name, got, row.want)
		}
	}
}

func TestMaintenanceThatFailsWaitsLongerEachTime(t *testing.T) {
	m, now := workflows.Maintenance{}, epoch
	var waits []time.Duration
	for range 7 {
		workflows.Failed(&m, now, activities.StoreUnavailable, "no route")
		at, _ := workflows.Due(m, 9000, workflows.Filled(workflows.Pace{}, time.Hour))
		waits, now = append(waits, at.Sub(now)), at
	}
	if want := seconds(900, 1800, 3600, 7200, 14400, 21600, 21600); !slices.Equal(waits, want) || m.Failures != 7 || m.Problem.Message != "no route" {
		t.Errorf("got %v, want %v; %+v", waits, want, m)
	}
	workflows.Ended(&m, now, now, 9000, 9000, activities.MaintainResult{}, time.Time{})
	if m.Failures != 0 || m.Problem != nil || !m.Rest.IsZero() {
		t.Errorf("a success leaves %+v", m)
	}
}

// What a run leaves though it could not be more due is not worth another one.
func TestWhatEachRunLeavesBringsNoMore(t *testing.T) {
	for _, row := range []struct {
		name   string
		res    activities.MaintainResult
		pinned time.Time
		want   time.Time // Next
	}{
		{name: "nothing left", res: activities.MaintainResult{}},
		{name: "the rest, when this one came on", res: activities.MaintainResult{Left: 5, Done: activities.Maintained{Merged: 1}}, want: epoch},
		{name: "nothing came of it", res: activities.MaintainResult{Left: 5, Damage: "one"}},
		{name: "more expires later", res: activities.MaintainResult{Left: 5, Next: epoch.Add(time.Hour)}, want: epoch.Add(time.Hour)},
		{name: "a restore ends", pinned: epoch.Add(time.Minute), want: epoch.Add(time.Minute)},
		{name: "a restore ends after more has expired", res: activities.MaintainResult{Next: epoch}, pinned: epoch.Add(time.Minute), want: epoch},
	} {
		m := workflows.Maintenance{Due: true}
		workflows.Ended(&m, epoch.Add(-time.Second), epoch, 7, 7, row.res, row.pinned)
		if !m.Next.Equal(row.want) || m.Due || (m.Problem != nil) != (row.res.Damage != "") {
			t.Errorf("%s: next is %v, want %v; %+v", row.name, m.Next, row.want, m)
		}
	}
}

func TestARunThatWasStoppedIsMadeAgainInAMoment(t *testing.T) {
	m := workflows.Maintenance{}
	workflows.Ended(&m, epoch.Add(-time.Second), epoch, 9000, 9000, activities.MaintainResult{Stopped: true, Done: activities.Maintained{Merged: 4}}, time.Time{})
	at, ok := workflows.Due(m, 9000, workflows.Filled(workflows.Pace{}, time.Hour))
	if wait := at.Sub(epoch); !ok || wait <= 0 || wait > time.Minute || m.Runs != 0 || m.Total.Merged != 4 {
		t.Errorf("due after %v, %t; %+v", wait, ok, m)
	}
}

// kept is a replica whose maintenance is decided by the workflow and planned by package
// plan, and nothing else.
type kept struct {
	t       *rapid.T
	policy  plan.Policy
	pace    workflows.Pace
	now     time.Time
	head    ltx.TXID
	files   []plan.File
	expired map[plan.File]time.Time // when it was first seen that nothing needs it
	m       workflows.Maintenance
	runs    []time.Time
}

func (k *kept) put(every time.Duration, n int) {
	for range n {
		k.now = k.now.Add(every)
		k.head++
		k.files = append(k.files, plan.File{Min: k.head, Max: k.head, Size: 1, Created: k.now})
	}
}

// run is what Maintain does, and what the workflow makes of it.
func (k *kept) run() {
	workflows.Ended(&k.m, k.now, k.now, k.head, k.head, k.maintain(), time.Time{})
	k.runs = append(k.runs, k.now)
}

// maintain is what Maintain does.
func (k *kept) maintain() (res activities.MaintainResult) {
	gone := map[plan.File]bool{}
	for _, r := range plan.Retention(k.files, k.policy, nil, k.now) {
		gone[r.File] = true
		res.Done.Expired++
	}
	k.files = slices.DeleteFunc(k.files, func(f plan.File) bool { return gone[f] })
	for due := plan.Compaction(k.files); len(due) > 0; due = plan.Compaction(k.files) {
		for _, m := range due {
			res.Done.Merged++
			k.files = append(k.files, plan.File{Level: m.Level, Min: m.Min, Max: m.Max, Size: 8, Created: m.From[len(m.From)-1].Created})
		}
	}
	res.Left = len(plan.Retention(k.files, k.policy, nil, k.now))
	res.Next, _ = plan.NextRemoval(k.files, k.policy, nil, k.now)
	return res
}

// look is the end of a window: what was put is heard of, and a run is made if it is due.
func (k *kept) look(before ltx.TXID) {
	workflows.Heard(&k.m, before, k.head, k.now)
	if at, ok := workflows.Due(k.m, k.head, k.pace); ok && !at.After(k.now) {
		k.run()
	}
}

// mustBeInTime fails when something stays for longer than was promised that nothing needs.
func (k *kept) mustBeInTime() {
	for _, r := range plan.Retention(k.files, k.policy, nil, k.now) {
		since, known := k.expired[r.File]
		if !known {
			k.expired[r.File], since = k.now, k.now
		}
		if late, most := k.now.Sub(since), 2*k.policy.Level0+k.now.Sub(r.File.Created)/8+2*window; late > most {
			k.t.Fatalf("%v is not needed for %v, %v at most were promised", r.File, late, most)
		}
	}
}

const window = 10 * time.Minute

// Law: runs are no closer than they may be; what nothing needs goes in time; after the
// last put there are few more, and in the end nothing is left to do and nothing is due.
func TestMaintenanceFollowsPutsAndEnds(t *testing.T) {
	most := 0
	rapid.Check(t, func(t *rapid.T) {
		k := &kept{t: t, now: epoch, expired: map[plan.File]time.Time{}}
		k.policy = plan.Policy{Level0: time.Hour, Window: time.Duration(rapid.IntRange(1, 168).Draw(t, "hours")) * time.Hour}
		k.pace = workflows.Filled(workflows.Pace{Puts: rapid.SampledFrom([]int{16, 64, 512}).Draw(t, "puts")}, k.policy.Level0)
		for range rapid.IntRange(1, 6).Draw(t, "bursts") {
			per := rapid.SampledFrom([]int{0, 1, 2, 5, 30}).Draw(t, "puts in a window")
			for range rapid.IntRange(1, 60).Draw(t, "windows") {
				before, begun := k.head, k.now
				k.put(time.Second, per)
				k.now = begun.Add(window)
				k.look(before)
				k.mustBeInTime()
			}
		}
		active := len(k.runs)
		for at, ok := workflows.Due(k.m, k.head, k.pace); ok; at, ok = workflows.Due(k.m, k.head, k.pace) {
			if k.now = at; len(k.runs)-active > 20 {
				t.Fatalf("it was maintained %d times since the last put, and is due again at %v; %+v", len(k.runs)-active, at, k.m)
			}
			k.look(k.head)
			k.mustBeInTime()
		}
		most = max(most, len(k.runs)-active)
		for i := 1; i < len(k.runs); i++ {
			if gap := k.runs[i].Sub(k.runs[i-1]); gap < 15*time.Minute {
				t.Fatalf("two runs are %v apart", gap)
			}
		}
		if left := plan.Retention(k.files, k.policy, nil, k.now.Add(20*k.policy.Window)); len(left) > 0 || len(plan.Compaction(k.files)) > 0 {
			t.Fatalf("%d objects would expire, and no run is due", len(left))
		}
	})
	t.Logf("after the last put there were %d runs at most", most)
}

// TestRunsADay counts what docs/operations.md says: with steady puts, by plan's own
// decisions.
func TestRunsADay(t *testing.T) {
	for _, row := range []struct {
		name  string
		every time.Duration // between puts
		after time.Duration // which the day, or its part, begins
		part  int           // of a day
		want  int           // runs a day
	}{
		{"a put a second", time.Second, 0, 4, 72},
		{"a put a minute", time.Minute, 48 * time.Hour, 1, 22},
		{"a put in ten minutes", 10 * time.Minute, 144 * time.Hour, 1, 21},
		{"a put in six hours", 6 * time.Hour, 240 * time.Hour, 1, 4},
	} {
		k := &kept{now: epoch, policy: plan.Policy{Window: 7 * 24 * time.Hour, Level0: time.Hour}}
		k.pace = workflows.Filled(workflows.Pace{}, k.policy.Level0)
		last := 0
		for next := epoch; k.now.Before(epoch.Add(row.after + 24*time.Hour/time.Duration(row.part))); {
			before, runs := k.head, len(k.runs)
			k.now = k.now.Add(window)
			for ; !next.After(k.now); next = next.Add(row.every) {
				k.head++
				k.files = append(k.files, plan.File{Min: k.head, Max: k.head, Size: 1, Created: next})
			}
			k.look(before)
			if k.now.After(epoch.Add(row.after)) {
				last += len(k.runs) - runs
			}
		}
		if got := last * row.part; got != row.want {
			t.Errorf("%s: %d runs a day, want %d", row.name, got, row.want)
		}
	}
}

// TestNoPutIsForgottenSoonerThanAHostMayNeedIt keeps the two ends of the rule together.
func TestNoPutIsForgottenSoonerThanAHostMayNeedIt(t *testing.T) {
	s := workflows.DefaultSettings()
	s.Level0 = 2*ship.DefaultSilence - time.Second
	if err := s.Validate(); err == nil {
		t.Errorf("each put is kept for %v, and hosts look again after %v", s.Level0, ship.DefaultSilence)
	}
	s.Level0, s.Retention = 2*ship.DefaultSilence, 2*ship.DefaultSilence-time.Second
	if err := s.Validate(); err == nil {
		t.Errorf("the window is %v, each put is kept for %v", s.Retention, s.Level0)
	}
	s.Retention = s.Level0
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
}
