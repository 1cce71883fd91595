package workflows_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"github.com/holdfast-db/holdfast/workflows"
)

// TestLiveTenClientsAtOnce has ten clients send all kinds of messages, each of them twice,
// to one database, which is parked and woken meanwhile and continues as new every few
// windows. Each message has to be answered fittingly and to act once, and what is sent
// last, one after the other, has to hold in the end.
func TestLiveTenClientsAtOnce(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		pauses int // clients that do; of ten that hold it, one always would
		holds  bool
	}{
		{"people, of whom any ends any pause", 10, false},
		{"workflows, each of which ends its own", 3, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newIdle(t)
			s.in.MaxWindows = 3
			s.h.slowly = 50 * time.Millisecond
			s.in.Settings.HostTimeout = time.Minute
			s.in.Pace.Puts = 1_000_000 // nobody maintains it
			s.start()
			s.inPhase(workflows.Idle)
			sent := &sendings{}
			var all sync.WaitGroup
			for n := range 10 {
				c := &caller{site: s, sent: sent, n: n, pauses: n < row.pauses}
				if row.holds {
					c.by = fmt.Sprint("holder ", n)
				}
				all.Go(func() { c.call(16) })
			}
			all.Wait()
			s.h.become(nil, true)
			if st := s.status(); st.Paused {
				t.Errorf("paused by %q though each pause was followed by a resume", st.PauseReason)
			}
			s.wantLastToHold(&caller{site: s, sent: sent, n: 10})
			s.wantHeard(sent)
		})
	}
}

// sendings are the ids of signals that were sent, and run and id of the updates that were
// answered. Each was sent twice.
type sendings struct{ signals, answers ids }

// caller is one client.
type caller struct {
	*site
	sent   *sendings
	n      int
	by     string // whose its pauses are; empty for a person
	pauses bool
	last   int // number of its messages
}

func (c *caller) id() string {
	c.last++
	return fmt.Sprintf("%d of %d", c.last, c.n)
}

// call sends messages of all kinds in turn, to a database that rests or does not.
func (c *caller) call(turns int) {
	kinds := []func(){c.wake, c.register, c.sync, c.reconfigure}
	if c.pauses {
		kinds = append(kinds, c.pauseBySignal, c.wake, c.sync, c.pauseByUpdate)
	}
	for turn := range turns {
		c.h.become(nil, rand.IntN(2) == 0)
		kinds[(turn+c.n)%len(kinds)]()
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
	}
}

func (c *caller) message() workflows.Message {
	return workflows.Message{ID: c.id(), Reason: fmt.Sprint("for client ", c.n), By: c.by}
}

func (c *caller) tell(signal string) {
	m := c.message()
	c.sent.signals.add(m.ID)
	c.signal(signal, m)
	c.signal(signal, m)
}

// answerTo is that of an update which is sent twice: by the same run, it is the same.
func answerTo[T any](c *caller, update string, arg any) (first T, err error) {
	c.t.Helper()
	id := c.id()
	run, err := c.ask(update, id, arg, &first)
	if err != nil {
		return first, err
	}
	c.sent.answers.add(run + " " + id)
	var second T
	again, errAgain := c.ask(update, id, arg, &second)
	if again == run && (errAgain != nil || !reflect.DeepEqual(first, second)) {
		c.t.Errorf("%s, %s: answered %+v, then %+v, %v", update, id, first, second, errAgain)
	}
	return first, nil
}

func (c *caller) wake() { c.tell(workflows.SignalWake) }

func (c *caller) register() {
	got, err := answerTo[workflows.Registered](c, workflows.UpdateRegister, workflows.Registration{Spec: c.in.Spec})
	if want := workflows.DefaultSettings().IdleAfter; err != nil || !got.Answering || got.Status.Settings.IdleAfter != want {
		c.t.Errorf("register: got %+v, answering %t, %v", got.Status.Settings, got.Answering, err)
	}
}

// reconfigure wants another value than all other clients.
func (c *caller) reconfigure() {
	want := time.Duration(c.n+1) * time.Hour
	change := workflows.Reconfiguration{Settings: json.RawMessage(fmt.Sprintf(`{"idle_after": "%s"}`, want))}
	got, err := answerTo[workflows.Reconfigured](c, workflows.UpdateReconfigure, change)
	if err != nil || got.Status.Settings.IdleAfter != want {
		c.t.Errorf("reconfigure: got %+v, %v", got.Status.Settings, err)
	}
}

// sync gets what is durable afterwards, or a refusal while somebody pauses.
func (c *caller) sync() {
	c.h.mu.Lock()
	before := c.h.txid
	c.h.mu.Unlock()
	got, err := answerTo[workflows.Synced](c, workflows.UpdateSync, workflows.Message{})
	if !isPaused(err) && (err != nil || got.TXID <= before) {
		c.t.Errorf("sync: got TXID %s after %s, %v", got.TXID, before, err)
	}
}

func isPaused(err error) bool {
	var refused *temporal.ApplicationError
	return errors.As(err, &refused) && refused.Type() == workflows.ErrPaused
}

func (c *caller) pauseBySignal() {
	c.tell(workflows.SignalPause)
	c.wantHeld()
	c.tell(workflows.SignalResume)
}

func (c *caller) pauseByUpdate() {
	got, err := answerTo[workflows.Status](c, workflows.UpdatePause, c.message())
	if err != nil || c.by != "" && got.Phase != workflows.Paused {
		c.t.Errorf("pause: got phase %s, %v", got.Phase, err)
	}
	c.wantHeld()
	if _, err := answerTo[workflows.Status](c, workflows.UpdateResume, c.message()); err != nil {
		c.t.Errorf("resume: %v", err)
	}
}

// wantHeld checks that nothing is shipped from a pause that nobody else can end until it
// is ended.
func (c *caller) wantHeld() {
	if c.by == "" {
		return
	}
	if _, err := c.ask(workflows.UpdateSync, c.id(), workflows.Message{}, nil); !isPaused(err) {
		c.t.Errorf("sync after a pause: got %v", err)
	}
	c.inPhase(workflows.Paused)
	before := c.status()
	c.tell(workflows.SignalWake)
	if after := c.status(); after.Phase != workflows.Paused || after.Windows != before.Windows {
		c.t.Errorf("%s after %d windows since the pause", after.Phase, after.Windows-before.Windows)
	}
}

// wantLastToHold sends some messages, one after the other.
func (s *site) wantLastToHold(c *caller) {
	s.t.Helper()
	c.register()
	c.reconfigure()
	c.tell(workflows.SignalPause)
	s.inPhase(workflows.Paused)
	if st := s.status(); st.PauseReason != "for client 10" || st.Settings.IdleAfter != 11*time.Hour {
		s.t.Errorf("paused %s with %+v", st.PauseReason, st.Settings)
	}
	c.tell(workflows.SignalResume)
	s.inPhase(workflows.Idle)
	before := s.status().Windows
	c.wake()
	s.eventually(10*time.Second, "a window after the last wake", func() bool { return s.status().Windows > before })
	s.inPhase(workflows.Idle)
}

// heard is what the histories of all runs have.
type heard struct {
	signals, accepted, completed []string // the signals' ids; run and id of updates
	parks                        int      // each of which would last an hour
	failed                       []*historypb.WorkflowTaskFailedEventAttributes
}

func (h *heard) read(run string, e *historypb.HistoryEvent) {
	if a := e.GetWorkflowExecutionSignaledEventAttributes(); a != nil {
		var m workflows.Message
		_ = converter.GetDefaultDataConverter().FromPayloads(a.Input, &m)
		h.signals = append(h.signals, m.ID)
	}
	if a := e.GetWorkflowExecutionUpdateAcceptedEventAttributes(); a != nil {
		h.accepted = append(h.accepted, run+" "+a.GetAcceptedRequest().GetMeta().GetUpdateId())
	}
	if a := e.GetWorkflowExecutionUpdateCompletedEventAttributes(); a != nil {
		h.completed = append(h.completed, run+" "+a.GetMeta().GetUpdateId())
	}
	if a := e.GetWorkflowTaskFailedEventAttributes(); a != nil && a.Cause != enumspb.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND { // a message came with the end of a run
		h.failed = append(h.failed, a)
	}
	if a := e.GetTimerStartedEventAttributes(); a != nil && a.StartToFireTimeout.AsDuration() > 59*time.Minute {
		h.parks++
	}
}

// wantHeard compares what was sent with what the service and the workflow have of it.
func (s *site) wantHeard(sent *sendings) {
	s.t.Helper()
	var h heard
	st, runs := s.status(), s.runs()
	for _, run := range runs {
		for _, e := range s.history(run).Events {
			h.read(run, e)
		}
	}
	s.t.Logf("%d runs, %d windows, %d parks, %d signals, %d updates, %d sent again", len(runs), st.Windows, h.parks, len(h.signals), len(h.accepted), s.again.Load())
	if len(runs) < 3 || st.Runs != len(runs) || h.parks < 5 {
		s.t.Errorf("%d runs of which the workflow counts %d, with %d parks", len(runs), st.Runs, h.parks)
	}
	if signals := sent.signals.all; !slices.Equal(sorted(append(signals, signals...)), sorted(h.signals)) || st.Handled.Signals != len(signals) {
		s.t.Errorf("%d signals were sent twice, %d came, %d were handled", len(signals), len(h.signals), st.Handled.Signals)
	}
	if lost := sent.answers.without(&ids{all: h.completed}); len(lost) > 0 {
		s.t.Errorf("answered without a trace: %q", lost)
	}
	accepted := sorted(h.accepted)
	if !slices.Equal(accepted, sorted(h.completed)) || len(slices.Compact(accepted)) != len(h.accepted) || st.Handled.Updates != len(h.accepted) {
		s.t.Errorf("%d updates were accepted, %d answered, %d handled", len(h.accepted), len(h.completed), st.Handled.Updates)
	}
	for _, f := range h.failed {
		s.t.Errorf("a workflow task failed, %s: %s", f.Cause, f.Failure.GetMessage())
	}
}

func sorted(all []string) []string { return slices.Sorted(slices.Values(all)) }

// TestLiveUpdatesFollowTheSignalsBeforeThem sends a signal and then an update to a
// workflow whose worker comes later, and finds both in its first task.
func TestLiveUpdatesFollowTheSignalsBeforeThem(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, signal, update string
		phase                workflows.Phase
	}{
		{"a resume and then a pause", workflows.SignalResume, workflows.UpdatePause, workflows.Paused},
		{"a pause and then a resume", workflows.SignalPause, workflows.UpdateResume, workflows.Replicating},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, &liveHost{})
			s.in.Settings = workflows.Settings{Interval: 100 * time.Millisecond, Window: 10 * time.Minute}
			s.syncWorker()
			s.queue += "-later"
			s.start()
			s.signal(row.signal, workflows.Message{ID: "first"})
			answered := make(chan error)
			go func() { answered <- s.update(row.update, "second", workflows.Message{}) }()
			time.Sleep(200 * time.Millisecond) // for the service to have the update
			s.work(s.queue, worker.Options{Interceptors: []interceptor.WorkerInterceptor{workflows.SignalsInOrder()}},
				func(w worker.Worker) { workflows.RegisterWorkflows(w) })
			if err := <-answered; err != nil {
				t.Fatal(err)
			}
			s.inPhase(row.phase)
		})
	}
}
