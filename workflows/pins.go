package workflows

import (
	"slices"
	"time"

	"github.com/superfly/ltx"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"
)

// Pin says that a state is being restored: until it is taken back, or its time is over,
// maintenance removes nothing that may be read for that. Another with the same id
// replaces it.
type Pin struct {
	ID    string    `json:"id"`
	TXID  ltx.TXID  `json:"txid,omitempty"` // the state; with no time either, the latest
	At    time.Time `json:"at,omitzero"`    // the last state before
	Until time.Time `json:"until,omitzero"` // zero for pinDefault from now
}

const (
	// pinDefault is how long a pin lasts that does not say.
	pinDefault = 24 * time.Hour

	// pinMost is how long a pin lasts at most: one that is forgotten must not keep a
	// replica growing.
	pinMost = 7 * 24 * time.Hour
)

func (r *replication) onPin(ctx workflow.Context, payload converter.RawValue) {
	p, now := decode[Pin](payload), workflow.Now(ctx)
	if p.ID == "" {
		r.log.Warn("pin without an id ignored", "db", r.st.Spec.Name)
		return
	}
	if p.Until.IsZero() {
		p.Until = now.Add(pinDefault)
	}
	if most := now.Add(pinMost); p.Until.After(most) {
		p.Until = most
	}
	r.log.Info("signal handled", "signal", SignalPin, "id", p.ID, "until", p.Until)
	r.unpin(p.ID)
	r.st.Pins = append(r.st.Pins, p)
	r.unpinExpired(now)
	r.outdate() // the run under way knows nothing of it
}

// onUnpin lets what was pinned go, at once: else its turn would have come when the pin's
// time was over.
func (r *replication) onUnpin(ctx workflow.Context, payload converter.RawValue) {
	p := decode[Pin](payload)
	r.log.Info("signal handled", "signal", SignalUnpin, "id", p.ID)
	if m := &r.st.Maintenance; r.unpin(p.ID) && !m.Next.IsZero() && m.Next.After(workflow.Now(ctx)) {
		m.Next = workflow.Now(ctx)
	}
}

func (r *replication) unpin(id string) (there bool) {
	left := slices.DeleteFunc(slices.Clone(r.st.Pins), func(p Pin) bool { return p.ID == id })
	there = len(left) < len(r.st.Pins)
	r.st.Pins = left
	return there
}

func (r *replication) unpinExpired(now time.Time) {
	r.st.Pins = slices.DeleteFunc(slices.Clone(r.st.Pins), func(p Pin) bool { return !p.Until.After(now) })
}

// firstEnd is when the first of pins ends; zero for none.
func firstEnd(pins []Pin) (first time.Time) {
	for _, p := range pins {
		if first.IsZero() || p.Until.Before(first) {
			first = p.Until
		}
	}
	return first
}
