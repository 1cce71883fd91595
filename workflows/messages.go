package workflows

import (
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast-db/holdfast/activities"
)

// inbox reads signals. Nothing ever blocks in a receive on these channels, so
// that a signal is either in its channel or dealt with, and unread says so:
// one that had been handed to a blocked receiver would be in neither place, and
// lost at Continue-As-New.
type inbox struct {
	arrived *arrivals
	slots   []slot
}

type slot struct {
	name    string
	channel workflow.ReceiveChannel
	handle  func(workflow.Context, converter.RawValue)
}

// open makes r's signals readable. Updates need that before they are answered.
func (i *inbox) open(ctx workflow.Context, r *replication) {
	i.arrived = arrivalsOf(ctx)
	for _, s := range []slot{
		{name: SignalReport, handle: r.onReport},
		{name: SignalWake, handle: r.onWake},
		{name: SignalResume, handle: r.onResume},
		{name: SignalPause, handle: r.onPause},
		{name: SignalPin, handle: r.onPin},
		{name: SignalUnpin, handle: r.onUnpin},
		{name: SignalVerified, handle: r.onVerified},
	} {
		s.channel = workflow.GetSignalChannel(ctx, s.name)
		i.slots = append(i.slots, s)
	}
}

// listen starts to deal with signals, in the order in which they came.
func (r *replication) listen(ctx workflow.Context) {
	workflow.GoNamed(ctx, "signals", func(ctx workflow.Context) {
		for {
			_ = workflow.Await(ctx, func() bool { return r.inbox.unread() > 0 })
			r.inbox.read(ctx)
			r.refresh(ctx)
		}
	})
}

// unread is the number of signals that have not been dealt with.
func (i *inbox) unread() int {
	n := 0
	for _, s := range i.slots {
		n += s.channel.Len()
	}
	return n
}

// read deals with all signals there are: as they came, then any whose arrival
// was not noted.
func (i *inbox) read(ctx workflow.Context) {
	for name, ok := i.arrived.next(); ok; name, ok = i.arrived.next() {
		for _, s := range i.slots {
			if s.name == name {
				s.take(ctx)
			}
		}
	}
	for _, s := range i.slots {
		for s.take(ctx) {
		}
	}
}

// take deals with the oldest signal of one name.
func (s slot) take(ctx workflow.Context) bool {
	var payload converter.RawValue
	if !s.channel.ReceiveAsync(&payload) {
		return false
	}
	s.handle(ctx, payload)
	return true
}

// decode reads a payload that may be absent or anything at all: a person who
// pauses from the UI gets a pause, whatever was typed into its input.
func decode[T any](payload converter.RawValue) (v T) {
	if payload.Payload() == nil || converter.GetDefaultDataConverter().FromPayload(payload.Payload(), &v) != nil {
		var none T
		return none
	}
	return v
}

func (r *replication) onPause(_ workflow.Context, payload converter.RawValue) {
	m := decode[Message](payload)
	if !r.st.Handled.signal(m.ID) {
		return
	}
	r.log.Info("signal handled", "signal", SignalPause, "id", m.ID, "reason", m.Reason)
	r.pause(m)
}

func (r *replication) onResume(_ workflow.Context, payload converter.RawValue) {
	m := decode[Message](payload)
	if !r.st.Handled.signal(m.ID) {
		return
	}
	r.log.Info("signal handled", "signal", SignalResume, "id", m.ID, "reason", m.Reason)
	r.resume(m)
}

// onWake hears that something may have changed for the better. A window that is
// not known to fail needs nobody to tell it.
func (r *replication) onWake(_ workflow.Context, payload converter.RawValue) {
	m := decode[Message](payload)
	if !r.st.Handled.signal(m.ID) {
		return
	}
	r.log.Debug("signal handled", "signal", SignalWake, "id", m.ID)
	r.roused = true
	if !r.st.Attention && (r.window == 0 || r.failing()) {
		r.nudged, r.st.Parked = true, false
	}
}

// onReport hears how an attempt fares of which the server tells nothing. A
// report from a window that has ended is older than what its end said.
func (r *replication) onReport(ctx workflow.Context, payload converter.RawValue) {
	m := decode[activities.Report](payload)
	if !r.st.Handled.signal(m.ID) {
		return
	}
	r.log.Debug("signal handled", "signal", SignalReport, "id", m.ID, "failures", m.Failures)
	if m.Window != r.window || r.window == 0 || r.forgiven {
		return
	}
	r.st.HostOffline = false
	r.progressed(activities.Progress{TXID: m.TXID, SyncedAt: m.SyncedAt})
	if r.reported = nil; m.Failures > 0 {
		r.reported = &failing{count: m.Failures, problem: Problem{Type: m.Type, Message: m.Error, At: workflow.Now(ctx)}}
	}
}

// pause lets no window begin, and ends the one under way.
func (r *replication) pause(m Message) {
	if m.By != "" {
		r.claim(m.By, m.Reason)
		return
	}
	r.st.Paused, r.st.PauseReason = true, m.Reason
}

// resume goes on at once, whatever kept the database: a pause, a backoff, or a
// problem that waited for a person. Maintenance that failed is tried again, too. Who
// claimed the database lets go of it, no more; what is to be tried again then may be
// another file.
func (r *replication) resume(m Message) {
	switch {
	case m.By == "":
		r.st.Paused, r.st.PauseReason, r.st.Claims = false, "", nil
		r.st.Maintenance.Failures, r.st.Maintenance.Rest = 0, time.Time{}
	case !r.letGo(m.By):
		return
	}
	r.st.Attention, r.nudged = false, true
	if !r.paused() {
		r.st.Parked, r.st.PauseTold = false, false
	}
}
