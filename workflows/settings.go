package workflows

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/plan"
)

// Settings say how a database is followed. The zero value stands for
// DefaultSettings; in any other, Interval and Window mean what they say, and
// whatever else is zero has its default.
type Settings struct {
	Interval    time.Duration // between the starts of two passes; 0 for at once
	Window      time.Duration // of one Sync activity; 0 for the plain form, one pass each
	Heartbeat   time.Duration // after which a silent window counts as dead
	BackoffCap  time.Duration // longest wait between two attempts
	HostTimeout time.Duration // after which a window that no worker takes means HostOffline
	Scrub       time.Duration // in which all pages are compared with what was shipped; 0 for the host's default, below it for never
	WALLimit    int64         // bytes of log before a pass that cannot ship spools; 0 for the host's default
	IdleAfter   time.Duration // without a commit, after which the database is parked; below 0 for never
	ColdAfter   time.Duration // without a commit, after which a parked one is closed; below 0 for never
	Autonomy    time.Duration // for which the host goes on while the service is away; below 0 for never

	Retention    time.Duration // states of this age can be restored
	Level0       time.Duration // for this long, the state after each put
	StoreExpires bool          // the store's own rules remove what has expired; Holdfast removes nothing
}

// DefaultSettings are for a database that matters.
func DefaultSettings() Settings {
	return Settings{
		Interval:    time.Second,
		Window:      10 * time.Minute,
		Heartbeat:   time.Minute,
		BackoffCap:  5 * time.Minute,
		HostTimeout: 5 * time.Minute,
		IdleAfter:   5 * time.Minute,
		ColdAfter:   time.Hour,
		Autonomy:    24 * time.Hour,
		Retention:   7 * 24 * time.Hour,
		Level0:      time.Hour,
	}
}

// filled returns s with defaults where they are due.
func (s Settings) filled() Settings {
	d := DefaultSettings()
	if s == (Settings{}) {
		return d
	}
	for _, f := range []struct{ have, want *time.Duration }{
		{&s.Heartbeat, &d.Heartbeat}, {&s.BackoffCap, &d.BackoffCap}, {&s.HostTimeout, &d.HostTimeout},
		{&s.IdleAfter, &d.IdleAfter}, {&s.ColdAfter, &d.ColdAfter}, {&s.Autonomy, &d.Autonomy},
		{&s.Retention, &d.Retention}, {&s.Level0, &d.Level0},
	} {
		if *f.have == 0 {
			*f.have = *f.want
		}
	}
	return s
}

// Validate says which of the filled-in settings cannot work.
func (s Settings) Validate() error {
	s = s.filled()
	for _, f := range []struct {
		name        string
		have, least time.Duration
	}{
		{"interval", s.Interval, 0},
		{"window", s.Window, 0},
		{"heartbeat", s.Heartbeat, time.Second},
		{"backoff cap", s.BackoffCap, time.Second},
		{"host timeout", s.HostTimeout, time.Second},
		{"retention of each put (level0)", s.Level0, plan.LeastLevel0},
		{"retention window", s.Retention, s.Level0},
	} {
		if f.have < f.least {
			return fmt.Errorf("%s: got %s, want %s or more", f.name, f.have, f.least)
		}
	}
	if s.WALLimit < 0 {
		return fmt.Errorf("wal limit: got %d bytes, want 0 or more", s.WALLimit)
	}
	return nil
}

// rules are what the host goes by between windows. Those of a run that began before
// there was one of them are filled in.
func (s Settings) rules() activities.Rules {
	s = s.filled()
	return activities.Rules{
		IdleAfter: orNever(s.IdleAfter), ColdAfter: orNever(s.ColdAfter), Autonomy: orNever(s.Autonomy),
		BackoffCap: activities.Duration(s.BackoffCap), Heartbeat: activities.Duration(s.Heartbeat),
	}
}

// orNever is d for a host, for which 0 is never.
func orNever(d time.Duration) activities.Duration { return activities.Duration(max(0, d)) }

// sameRetention tells whether t keeps what s keeps.
func (s Settings) sameRetention(t Settings) bool {
	return s.Retention == t.Retention && s.Level0 == t.Level0 && s.StoreExpires == t.StoreExpires
}

// length is how long a window is: one pass, where more would not fit.
func (s Settings) length() time.Duration {
	if s.Window <= s.Interval {
		return 0
	}
	return s.Window
}

// settingsText is how Settings are written into histories: durations as text.
type settingsText struct {
	Interval    *activities.Duration `json:"interval,omitempty"`
	Window      *activities.Duration `json:"window,omitempty"`
	Heartbeat   activities.Duration  `json:"heartbeat,omitempty"`
	BackoffCap  activities.Duration  `json:"backoff_cap,omitempty"`
	HostTimeout activities.Duration  `json:"host_timeout,omitempty"`
	Scrub       activities.Duration  `json:"scrub,omitempty"`
	WALLimit    int64                `json:"wal_limit_bytes,omitempty"`
	IdleAfter   activities.Duration  `json:"idle_after,omitempty"`
	ColdAfter   activities.Duration  `json:"cold_after,omitempty"`
	Autonomy    activities.Duration  `json:"autonomy,omitempty"`

	Retention    activities.Duration `json:"retention_window,omitempty"`
	Level0       activities.Duration `json:"retention_level0,omitempty"`
	StoreExpires bool                `json:"retention_store,omitempty"`
}

// MarshalJSON writes durations as text, like "1s".
func (s Settings) MarshalJSON() ([]byte, error) {
	interval, window := activities.Duration(s.Interval), activities.Duration(s.Window)
	return json.Marshal(settingsText{
		Interval: &interval, Window: &window, Heartbeat: activities.Duration(s.Heartbeat),
		BackoffCap: activities.Duration(s.BackoffCap), HostTimeout: activities.Duration(s.HostTimeout), WALLimit: s.WALLimit,
		Scrub: activities.Duration(s.Scrub), IdleAfter: activities.Duration(s.IdleAfter), ColdAfter: activities.Duration(s.ColdAfter),
		Autonomy:  activities.Duration(s.Autonomy),
		Retention: activities.Duration(s.Retention), Level0: activities.Duration(s.Level0), StoreExpires: s.StoreExpires,
	})
}

// UnmarshalJSON reads what MarshalJSON wrote, or a part of it: an interval or a
// window that is not there at all has its default.
func (s *Settings) UnmarshalJSON(data []byte) error {
	var t settingsText
	if err := json.Unmarshal(data, &t); err != nil {
		return err
	}
	d := DefaultSettings()
	*s = Settings{
		Interval: d.Interval, Window: d.Window, Heartbeat: time.Duration(t.Heartbeat),
		BackoffCap: time.Duration(t.BackoffCap), HostTimeout: time.Duration(t.HostTimeout), WALLimit: t.WALLimit,
		Scrub: time.Duration(t.Scrub), IdleAfter: time.Duration(t.IdleAfter), ColdAfter: time.Duration(t.ColdAfter),
		Autonomy:  time.Duration(t.Autonomy),
		Retention: time.Duration(t.Retention), Level0: time.Duration(t.Level0), StoreExpires: t.StoreExpires,
	}
	if t.Interval != nil {
		s.Interval = time.Duration(*t.Interval)
	}
	if t.Window != nil {
		s.Window = time.Duration(*t.Window)
	}
	return nil
}
