package workflows_test

import (
	"slices"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/workflows"
)

// holder is a workflow that pauses a database for its own ends.
func holder(by string) workflows.Message {
	return workflows.Message{By: by, Reason: by + " is at work"}
}

func TestWhoHoldsADatabaseLetsItGo(t *testing.T) {
	type message struct {
		after  time.Duration
		signal string
		arg    any
	}
	pause, resume := workflows.SignalPause, workflows.SignalResume
	for _, row := range []struct {
		name string
		send []message
		want []time.Duration // attempts within 5 minutes
	}{
		{"it goes on at once", []message{{70, pause, holder("a")}, {80, resume, holder("a")}}, seconds(0, 60, 80, 140, 200, 260)},
		{"a person's pause stays", []message{{65, pause, nil}, {70, pause, holder("a")}, {80, resume, holder("a")}}, seconds(0, 60)},
		{"a person's pause meanwhile stays", []message{{70, pause, holder("a")}, {75, pause, nil}, {80, resume, holder("a")}}, seconds(0, 60)},
		{"each has to let go", []message{{70, pause, holder("a")}, {75, pause, holder("b")}, {80, resume, holder("a")}, {90, resume, holder("b")}}, seconds(0, 60, 90, 150, 210, 270)},
		{"holding twice is holding once", []message{{70, pause, holder("a")}, {75, pause, holder("a")}, {80, resume, holder("a")}}, seconds(0, 60, 80, 140, 200, 260)},
		{"a person's resume ends all", []message{{70, pause, holder("a")}, {80, resume, nil}}, seconds(0, 60, 80, 140, 200, 260)},
		{"who holds nothing resumes nothing", []message{{65, pause, nil}, {70, resume, holder("a")}}, seconds(0, 60)},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &fakeHost{}
			env := newEnv(t, f)
			forever(f)
			begin := env.Now()
			for _, m := range row.send {
				at(env, m.after*time.Second, func() { env.SignalWorkflow(m.signal, m.arg) })
			}
			endAfter(env, 5*time.Minute-time.Second)
			start(env, minute())
			if got := f.attemptsAt(begin); !slices.Equal(got, row.want) {
				t.Errorf("attempts at %v, want %v", got, row.want)
			}
		})
	}
}

func TestAHeldDatabaseSaysByWhom(t *testing.T) {
	f := &fakeHost{}
	env := newEnv(t, f)
	forever(f)
	var held, both workflows.Status
	at(env, 70*time.Second, func() { env.SignalWorkflow(workflows.SignalPause, holder("a")) })
	at(env, 80*time.Second, func() { held = mustStatus(t, env) })
	at(env, 85*time.Second, func() { env.SignalWorkflow(workflows.SignalPause, workflows.Message{Reason: "moving house"}) })
	at(env, 90*time.Second, func() { both = mustStatus(t, env) })
	endAfter(env, 2*time.Minute)
	start(env, minute())
	if held.Phase != workflows.Paused || !held.Paused || held.PauseReason != "a is at work" {
		t.Errorf("got %s, %t, %q", held.Phase, held.Paused, held.PauseReason)
	}
	if both.PauseReason != "moving house" {
		t.Errorf("got %q, want the person's reason", both.PauseReason)
	}
}

// A file that was replaced may be what its database's problem was.
func TestWhoLetsGoHasWhatFailedTriedAgain(t *testing.T) {
	f := &fakeHost{script: []error{ok, notWAL, ok, ok}}
	env := newEnv(t, f)
	begin := env.Now()
	at(env, 70*time.Second, func() { env.SignalWorkflow(workflows.SignalPause, holder("a")) })
	at(env, 80*time.Second, func() { env.SignalWorkflow(workflows.SignalResume, holder("a")) })
	endAfter(env, 100*time.Second)
	start(env, minute())
	if got, want := f.attemptsAt(begin), seconds(0, 60, 80); !slices.Equal(got, want) {
		t.Errorf("attempts at %v, want %v", got, want)
	}
}
