package workflows

import (
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/activities"
)

// Maintenance is what a workflow remembers of the runs that keep its replica small. The
// zero value is a replica that was never maintained.
type Maintenance struct {
	Runs     int                   `json:"runs"`           // that ended, well or with damage
	Began    time.Time             `json:"began,omitzero"` // the last of them
	Ended    time.Time             `json:"ended,omitzero"`
	TXID     ltx.TXID              `json:"txid,omitempty"` // the head when it began, as far as was known
	Total    activities.Maintained `json:"total"`          // of all runs, also those that were stopped
	Last     activities.Maintained `json:"last"`
	Objects  int                   `json:"objects"` // in the replica, after the last run
	Bytes    int64                 `json:"bytes"`
	Oldest   time.Time             `json:"oldest,omitzero"`    // of the first state that can be restored
	Left     int                   `json:"left,omitempty"`     // objects that nothing needs, not removed yet
	Next     time.Time             `json:"next,omitzero"`      // when there is something to remove though nothing is put; zero for never
	Failures int                   `json:"failures,omitempty"` // consecutive
	Problem  *Problem              `json:"problem,omitempty"`  // of the last run, or of a later one that failed
	Rest     time.Time             `json:"rest,omitzero"`      // no run begins before
	Due      bool                  `json:"due,omitempty"`      // at once, as something else is wanted than the last run was asked for
	Grown    time.Time             `json:"grown,omitzero"`     // when the head was first heard to be beyond TXID
	Shipped  time.Time             `json:"shipped,omitzero"`   // when it was heard to move last
}

// Pace says how often a replica is maintained. A field that is zero has its default.
type Pace struct {
	Puts  int                 `json:"puts,omitempty"`  // since the last run, that are enough for another
	Every activities.Duration `json:"every,omitempty"` // least time between the beginnings of two
	Late  activities.Duration `json:"late,omitempty"`  // how long fewer puts, or what has expired, may wait
}

// filled returns p with its defaults. Puts is some hundred merges' worth: the price of a
// run is a listing and one billed action, that of waiting is objects for a restore to
// read, some thousand after Every at a put a second, which takes about a second.
func (p Pace) filled(level0 time.Duration) Pace {
	if p.Puts <= 0 {
		p.Puts = 512
	}
	if p.Every <= 0 {
		p.Every = activities.Duration(15 * time.Minute)
	}
	if p.Late <= 0 {
		p.Late = activities.Duration(level0)
	}
	return p
}

// due returns when the next run is due, if nothing happens until then; ok is false for
// never. head is the last TXID that was heard of.
//
// Enough puts bring a run at once. Fewer wait for as long as each put is kept anyway.
// What expires without a put waits longer the older it is, an eighth of its age, so that
// the last runs of a database that has fallen silent are few.
func (m Maintenance) due(head ltx.TXID, p Pace) (at time.Time, ok bool) {
	puts := m.puts(head)
	if puts > 0 {
		at, ok = m.Grown.Add(time.Duration(p.Late)), true
	}
	if puts >= p.Puts {
		at = m.Began.Add(time.Duration(p.Every))
	}
	if gone := m.expires(p); !m.Next.IsZero() && (!ok || gone.Before(at)) {
		at, ok = gone, true
	}
	if m.Due {
		at, ok = time.Time{}, true
	}
	if at.Before(m.Rest) {
		at = m.Rest
	}
	return at, ok
}

// puts is how many puts no run has looked at.
func (m Maintenance) puts(head ltx.TXID) int {
	if head < m.TXID { // a replica that has begun anew
		return int(head)
	}
	return int(head - m.TXID)
}

// expires is when a run for what has expired is due.
func (m Maintenance) expires(p Pace) time.Time {
	from, late := m.Next, time.Duration(p.Late)
	if from.Before(m.Began) {
		from = m.Began
	}
	if age := from.Sub(m.Shipped); !m.Shipped.IsZero() && age/8 > late {
		late = age / 8
	}
	return from.Add(late)
}

// heard takes up that the replica's head is, or has become, another.
func (m *Maintenance) heard(before, after ltx.TXID, now time.Time) {
	if before == after {
		return
	}
	m.Shipped = now
	if m.puts(before) == 0 {
		m.Grown = now
	}
}

// ended takes up a run that began with the replica's head at txid, and ended at now.
// pinned is when the first of the restores ends that kept something from going; zero for
// none.
func (m *Maintenance) ended(began, now time.Time, txid, head ltx.TXID, res activities.MaintainResult, pinned time.Time) {
	m.Total, m.Last = m.Total.Plus(res.Done), res.Done
	if res.Stopped {
		m.Rest = now.Add(stoppedRests)
		return
	}
	m.Runs++
	m.Began, m.Ended, m.TXID = began, now, txid
	m.Objects, m.Bytes, m.Oldest, m.Left = res.Objects, res.Bytes, res.Oldest, res.Left
	m.Failures, m.Problem, m.Rest, m.Grown, m.Due = 0, nil, time.Time{}, time.Time{}, false
	if m.puts(head) > 0 {
		m.Grown = now
	}
	m.Next = res.Next
	if res.Left > 0 && res.Done.Merged+res.Done.Expired > 0 { // else another run would leave it, too
		m.Next = now
	}
	if !pinned.IsZero() && (m.Next.IsZero() || pinned.Before(m.Next)) {
		m.Next = pinned
	}
	if res.Damage != "" {
		m.Problem = &Problem{Type: activities.ReplicaDamaged, Message: res.Damage, At: now}
	}
}

// failed takes up a run that came to nothing.
func (m *Maintenance) failed(now time.Time, typ, message string) {
	m.Failures++
	m.Problem = &Problem{Type: typ, Message: message, At: now}
	m.Rest = now.Add(maintenanceBackoff(m.Failures))
}
