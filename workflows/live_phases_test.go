package workflows_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/converter"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/workflows"
)

// soon is how long after its detection a phase may be seen.
const soon = 2 * time.Second

// busy is what leads to no phase of its own.
var busy = errors.New("ship shop: database is locked")

// seen is a phase in the search attributes.
type seen struct {
	phase workflows.Phase
	at    time.Time // by the server
}

// phasesIn returns the phases that a history tells of, but for the first, with which its
// run was started.
func phasesIn(t *testing.T, h *historypb.History) (all []seen) {
	t.Helper()
	for _, e := range h.Events {
		fields := e.GetUpsertWorkflowSearchAttributesEventAttributes().GetSearchAttributes().GetIndexedFields()
		value := fields[workflows.AttributePhase.GetName()]
		if value == nil { // GetVersion writes one, too
			continue
		}
		s := seen{at: e.EventTime.AsTime()}
		if err := converter.GetDefaultDataConverter().FromPayload(value, &s.phase); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// newFailing is a database in good order, whose attempts after failures are a second or
// two apart.
func newFailing(t *testing.T) *site {
	t.Helper()
	s := newSite(t, &liveHost{})
	s.in.Settings = workflows.Settings{
		Interval: 200 * time.Millisecond, Window: 10 * time.Minute, BackoffCap: time.Second, Heartbeat: 2 * time.Second, HostTimeout: 3 * time.Second,
	}
	s.in.UseSearchAttributes = true
	return s
}

// TestLivePhasesAreSeenWithin2Seconds leads a database through all phases. Each is in the
// search attributes within two seconds of what the host has met, or of what it was
// told; and as late as the time-outs say for a host that is gone.
func TestLivePhasesAreSeenWithin2Seconds(t *testing.T) {
	t.Parallel()
	s := newFailing(t)
	stop := s.syncWorker()
	s.start()
	s.inPhase(workflows.Replicating)
	s.windows(2)
	signal := func(name string) func() { return func() { s.signal(name, nil) } }
	want := []seen{{workflows.Replicating, s.h.detected(time.Time{})}}
	for _, step := range []struct {
		phase workflows.Phase
		meets error  // what the host meets from now on
		idle  bool   // nothing is committed from now on
		then  func() // what else happens
		late  time.Duration
	}{
		{phase: workflows.BackingOff, meets: busy},
		{phase: workflows.DiskFull, meets: disk},
		{phase: workflows.StoreUnavailable, meets: net},
		{phase: workflows.BackingOff, meets: busy},
		{phase: workflows.Replicating},
		{phase: workflows.Fenced, meets: fenced},
		{phase: workflows.Misconfigured, meets: notWAL, then: signal(workflows.SignalResume)},
		{phase: workflows.DatabaseMissing, meets: missing, then: signal(workflows.SignalResume)},
		{phase: workflows.Replicating, then: signal(workflows.SignalResume)},
		{phase: workflows.Paused, then: signal(workflows.SignalPause)},
		{phase: workflows.Replicating, then: signal(workflows.SignalResume)},
		{phase: workflows.Idle, idle: true},
		{phase: workflows.Replicating, then: s.wakeToDie},
		{phase: workflows.HostOffline, then: func() { go stop() }, late: s.in.Settings.Heartbeat + s.in.Settings.Interval + s.in.Settings.HostTimeout},
		{phase: workflows.Replicating, then: func() { s.syncWorker() }},
		{phase: workflows.Stopping, then: func() { s.must(workflows.UpdateStop, workflows.StopRequest{}) }},
	} {
		begun := time.Now()
		s.h.become(step.meets, step.idle)
		if step.then != nil {
			step.then()
		}
		s.inPhase(step.phase)
		want = append(want, seen{step.phase, s.h.detected(begun).Add(step.late)})
	}
	got := phasesIn(t, s.history(""))
	if !slices.EqualFunc(got, want, func(a, b seen) bool { return a.phase == b.phase }) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i, p := range got {
		took := p.at.Sub(want[i].at)
		t.Logf("%s after %v", p.phase, took.Round(time.Millisecond))
		if took > soon {
			t.Errorf("phase %d, %s, was seen after %v, want %v at most", i, p.phase, took, soon)
		}
	}
}

// wakeToDie wakes a database that rests, and has the window fall silent that takes over.
func (s *site) wakeToDie() {
	s.t.Helper()
	_, before := s.h.count()
	s.h.next(kill)
	s.signal(workflows.SignalWake, nil)
	s.windows(before + 1)
}

// TestLiveAFailureAfterASyncThatSucceededIsSeen has a sync take back the failures of a
// window whose host still meets them.
func TestLiveAFailureAfterASyncThatSucceededIsSeen(t *testing.T) {
	t.Parallel()
	s := newFailing(t)
	s.in.Settings.Interval, s.in.Settings.BackoffCap = time.Minute, time.Minute
	s.h.become(net, false)
	s.syncWorker()
	s.start()
	s.inPhase(workflows.StoreUnavailable)
	s.h.next(ok)
	s.must(workflows.UpdateSync, workflows.Message{})
	s.windows(2)
	s.inPhase(workflows.StoreUnavailable)
	if st := s.status(); st.Failures != 1 || st.Problem == nil || st.Problem.Type != activities.StoreUnavailable {
		t.Errorf("got %d failures, %+v", st.Failures, st.Problem)
	}
}

// TestLiveEventsOfAFaultAreBounded holds docs/workflows.md to its word: a fault of one kind
// adds five events to the history, and any other one five for each report that it may have.
func TestLiveEventsOfAFaultAreBounded(t *testing.T) {
	t.Parallel()
	const attempts, atATime, ofAReport, atOnce, oneMore = 200, 10, 5, 6, 10 * time.Second
	for _, row := range []struct {
		name string
		met  []error // in turn
		most func(lasted time.Duration) int
	}{
		{"of one kind", []error{net}, func(time.Duration) int { return ofAReport }},
		{"of another kind each time", []error{net, busy}, func(lasted time.Duration) int {
			return ofAReport * (atOnce + int(lasted/oneMore))
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newFailing(t)
			s.in.Settings.Heartbeat, s.in.Settings.HostTimeout = time.Minute, time.Minute // or a slow machine adds to it
			s.hastily(atATime)
			s.start()
			s.windows(2)
			before, begun := len(s.history("").Events), time.Now()
			s.h.become(row.met[len(row.met)-1], false)
			s.h.next(slices.Repeat(row.met, attempts/len(row.met))...)
			s.eventually(4*time.Minute, "the last attempt", func() bool { n, _ := s.pending(); return n > attempts/atATime })
			added, lasted := len(s.history("").Events)-before, time.Since(begun)
			t.Logf("%d attempts in %v added %d events", attempts, lasted.Round(time.Millisecond), added)
			if most := row.most(lasted); added > most || added < ofAReport {
				t.Errorf("%d attempts in %v added %d events, want %d at most", attempts, lasted, added, most)
			}
		})
	}
}

// hastily starts a sync worker each of whose attempts is that many of a host's, as the
// server takes a second for each whatever it is told.
func (s *site) hastily(attempts int) {
	s.t.Helper()
	s.syncBy(func(ctx context.Context, in activities.SyncInput) (res activities.SyncResult, err error) {
		for range attempts {
			if res, err = s.acts.Sync(ctx, in); err == nil {
				break
			}
		}
		return res, err
	})
}
