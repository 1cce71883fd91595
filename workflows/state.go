package workflows

import (
	"slices"
	"time"

	"github.com/holdfast-db/holdfast/activities"
)

// State is what a run hands to the next one at Continue-As-New. Fields are only
// ever added, and the zero value of a new one has to mean what older runs did.
type State struct {
	Spec        Spec                `json:"spec"`
	Writer      string              `json:"writer"`              // who may write the replica: minted by the first run, but the host's own state wins
	Admitted    bool                `json:"admitted"`            // the first check has not refused it
	Synced      bool                `json:"synced"`              // a pass has succeeded
	Paused      bool                `json:"paused"`              // until a resume
	PauseReason string              `json:"pause_reason"`        // as given with the pause
	Claims      []Claim             `json:"claims,omitempty"`    // pauses beside that one
	Failures    int                 `json:"failures"`            // consecutive
	Problem     *Problem            `json:"problem,omitempty"`   // the last of them, until one pass succeeds
	Attention   bool                `json:"attention,omitempty"` // Problem waits for a person
	HostOffline bool                `json:"host_offline,omitempty"`
	Parked      bool                `json:"parked,omitempty"`     // the last window ended as idle, and nothing was heard since
	PauseTold   bool                `json:"pause_told,omitempty"` // to the host, if it answered
	NotBefore   time.Time           `json:"not_before,omitzero"`  // when the next window may begin
	Progress    activities.Progress `json:"progress"`
	CleanUps    CleanUps            `json:"clean_ups"`
	Windows     int                 `json:"windows"`
	Runs        int                 `json:"runs"`
	Handled     Handled             `json:"handled"`
	Phase       Phase               `json:"phase"`
	Since       time.Time           `json:"since,omitzero"`
	Maintenance Maintenance         `json:"maintenance,omitzero"`
	Pins        []Pin               `json:"pins,omitempty"`

	Verified activities.Verification `json:"verified,omitzero"`
}

// Problem is the last failure, for people.
type Problem struct {
	Type    string    `json:"type"` // see package activities
	Message string    `json:"message"`
	At      time.Time `json:"at"` // when the workflow heard of it
}

// CleanUps adds up what clean-ups removed.
type CleanUps struct {
	Count  int       `json:"count"` // that ran to their end
	Failed int       `json:"failed"`
	Files  int       `json:"files"`
	Bytes  int64     `json:"bytes"`
	Last   time.Time `json:"last,omitzero"`

	Tried  bool               `json:"tried,omitempty"`  // one has run since the last success
	Folded *activities.Folded `json:"folded,omitempty"` // what the last one gave up that had to
}

// recentIDs is how many ids of messages are remembered: more than can be under
// way at one time by accident, and small in a history.
const recentIDs = 64

// Handled counts messages, so that whoever sent one with an id can see that it
// has been dealt with, and so that one that is delivered twice acts once.
type Handled struct {
	Signals int      `json:"signals"`
	Updates int      `json:"updates"`
	Recent  []string `json:"recent,omitempty"` // ids, oldest first, at most recentIDs
}

// signal notes a signal. It returns false for one that is known.
func (h *Handled) signal(id string) (fresh bool) {
	if h.knows(id) {
		return false
	}
	h.Signals++
	h.remember(id)
	return true
}

// knows tells whether a message with id was handled lately.
func (h *Handled) knows(id string) bool { return id != "" && slices.Contains(h.Recent, id) }

// update notes an update; the server sees to it that none acts twice.
func (h *Handled) update(id string) {
	h.Updates++
	h.remember(id)
}

func (h *Handled) remember(id string) {
	if id == "" {
		return
	}
	h.Recent = append(h.Recent, id)
	if over := len(h.Recent) - recentIDs; over > 0 {
		h.Recent = slices.Delete(h.Recent, 0, over)
	}
}
