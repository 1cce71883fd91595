package e2e_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/test/proxy"
	"github.com/holdfast-db/holdfast/workflows"
)

// quietFor is how long a paused database is watched.
const quietFor = 3 * time.Second

// pausing is a moment at which a pause may come.
type pausing struct {
	name string
	// prepare brings the moment about. What it returns is called when Sync has
	// ended, and puts right again what it did to the store.
	prepare func(s *stand) (undo func())
	late    bool // the store has all of a put already, and carries it out while paused
}

func pausings() []pausing {
	return []pausing{
		{name: "in mid-window", prepare: func(*stand) func() { return func() {} }},
		{name: "in a backoff of seconds", prepare: func(s *stand) func() {
			s.away()
			s.waitForBackoff(2500 * time.Millisecond)
			return s.back
		}},
		{name: "in a put that a slow store drops", prepare: func(s *stand) func() {
			put := s.slowPut()
			return func() {
				put.end(false)
				s.back()
			}
		}},
		{name: "in a put whose answer is slow", prepare: (*stand).slowAnswer},
		{name: "in a put that is carried out while paused", late: true, prepare: func(s *stand) func() {
			put := s.slowPut()
			return func() {
				put.end(true)
				s.back()
			}
		}},
		{name: "in a put that is carried out after the resume", prepare: func(s *stand) func() {
			put := s.slowPut()
			return func() { s.front.Before(s.behind(put)) }
		}},
	}
}

// TestPauseAndResumeWithinASecond signals a database under load to pause, at
// good moments and at bad ones, and then to resume.
func TestPauseAndResumeWithinASecond(t *testing.T) {
	s := newStand(t, "sync: {interval: 200ms}\nbackoff: {cap: 1m}", "150")
	s.replicate()
	for _, p := range pausings() {
		s.waitForWindow()
		undo := p.prepare(s)
		s.mustPause(p, undo)
		s.mustResume(p)
	}
	s.mustLoseNothing()
	s.mustNotHaveResynced(s.work)
}

// mustPause signals a pause and watches what comes of it.
func (s *stand) mustPause(p pausing, undo func()) {
	s.t.Helper()
	s.signal(workflows.SignalPause)
	closed := s.closed()
	took := closed.Sub(s.signalled(workflows.SignalPause).EventTime.AsTime())
	objects, committed := s.objects(), s.committed()
	undo()
	time.Sleep(quietFor)
	appeared, wrote := s.objects()-objects, s.committed()-committed
	s.t.Logf("pause %-45s Sync ended %4d ms after the signal; in the %v after it %d objects and %d transactions", p.name+":", took.Milliseconds(), quietFor, appeared, wrote)
	if took > time.Second {
		s.t.Errorf("%s: Sync ended %v after the signal, want 1 s at most", p.name, took)
	}
	want := 0
	if p.late {
		want = 1
	}
	if appeared != want {
		s.t.Errorf("%s: %d objects appeared while it was paused, want %d", p.name, appeared, want)
	}
	if last := s.puts.lastAnswered(); !p.late && last.After(closed) {
		s.t.Errorf("%s: the store took a put %v after the end of Sync", p.name, last.Sub(closed))
	}
	if wrote == 0 {
		s.t.Errorf("%s: the application committed nothing meanwhile", p.name)
	}
	if st := s.status(s.name); st["phase"] != "Paused" || st["paused"] != true {
		s.t.Errorf("%s: phase %v, want Paused", p.name, st["phase"])
	}
}

// closed waits until the newest Sync has ended and returns when that was.
func (s *stand) closed() (at time.Time) {
	s.t.Helper()
	eventually(s.t, 20*time.Second, func() bool {
		all := s.orders(activities.NameSync)
		last := all[len(all)-1].closed
		at = last.GetEventTime().AsTime()
		return last != nil
	}, func() string { return "Sync goes on" })
	return at
}

// mustResume signals a resume and waits for the first object after it.
func (s *stand) mustResume(p pausing) {
	s.t.Helper()
	r := s.replicaOf(s.name)
	before := headOf(s.t, r)
	s.signal(workflows.SignalResume)
	for begun := time.Now(); headOf(s.t, r) == before; time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			s.t.Fatalf("%s: no object since the resume", p.name)
		}
	}
	took := time.Since(s.signalled(workflows.SignalResume).EventTime.AsTime())
	s.t.Logf("resume %-44s first object %4d ms after the signal", p.name+":", took.Milliseconds())
	if took > time.Second {
		s.t.Errorf("%s: the first object came %v after the resume, want 1 s at most", p.name, took)
	}
}

func (s *stand) signal(name string) {
	s.t.Helper()
	if err := s.client.SignalWorkflow(s.t.Context(), workflows.WorkflowID(s.name), "", name, nil); err != nil {
		s.t.Fatal(err)
	}
}

// waitForBackoff waits until the next attempt is more than left away.
func (s *stand) waitForBackoff(left time.Duration) {
	s.t.Helper()
	eventually(s.t, 30*time.Second, func() bool {
		a, _ := s.pending()
		return a.GetState() == enumspb.PENDING_ACTIVITY_STATE_SCHEDULED && time.Until(a.GetNextAttemptScheduleTime().AsTime()) > left
	}, func() string { return "no backoff is that long" })
}

// slowPut is a put that the store holds, also after its connection has ended.
type slowPut struct {
	reached chan struct{}
	fate    chan bool // whether it is carried out
}

// slowPut waits for a put, which the store then holds.
func (s *stand) slowPut() *slowPut {
	put := &slowPut{make(chan struct{}), make(chan bool, 1)}
	var once sync.Once
	s.front.Before(func(r *http.Request) bool {
		first := false
		if isPut(r) {
			once.Do(func() { first = true })
		}
		return !first || put.wait(r)
	})
	<-put.reached
	return put
}

// wait holds r, which is not cut off from the store when its connection ends.
func (p *slowPut) wait(r *http.Request) bool {
	body, err := io.ReadAll(r.Body) // or the end of the connection would go unnoticed
	if err != nil {
		return false
	}
	close(p.reached)
	<-r.Context().Done()
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	time.AfterFunc(time.Minute, cancel)
	*r = *r.WithContext(ctx)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return <-p.fate
}

func (p *slowPut) end(carriedOut bool) { p.fate <- carriedOut }

// behind lets the next put through when the slow one has been carried out.
func (s *stand) behind(slow *slowPut) proxy.Hook {
	var once sync.Once
	before := s.puts.lastAnswered()
	return func(r *http.Request) bool {
		if isPut(r) {
			once.Do(func() {
				slow.end(true)
				for s.puts.lastAnswered().Equal(before) && r.Context().Err() == nil {
					time.Sleep(time.Millisecond)
				}
			})
		}
		return true
	}
}

// slowAnswer waits for a put that the store has carried out, of which the caller
// does not hear.
func (s *stand) slowAnswer() (undo func()) {
	reached := make(chan struct{})
	var once sync.Once
	s.puts.holdAnswers(func(r *http.Request) bool {
		once.Do(func() { close(reached) })
		<-r.Context().Done()
		return false
	})
	<-reached
	return func() { s.puts.holdAnswers(nil) }
}

// objects is the number of objects in the replica.
func (s *stand) objects() int {
	s.t.Helper()
	all, err := s.replicaOf(s.name).All(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return len(all)
}

// committed is the number of transactions in the application's journal.
func (s *stand) committed() int {
	s.t.Helper()
	b, err := os.ReadFile(s.journal)
	if err != nil {
		s.t.Fatal(err)
	}
	return bytes.Count(b, []byte("\n"))
}
