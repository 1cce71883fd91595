package workflows

import "slices"

// Claim is a pause by somebody who ends it himself: a restore over the file of the
// database, say. It stands beside a person's pause, and neither ends the other. A
// person who resumes ends all: whoever claimed the database may be gone.
type Claim struct {
	By     string `json:"by"` // id of a workflow
	Reason string `json:"reason"`
}

// paused tells whether somebody wants no window to run.
func (r *replication) paused() bool { return r.st.Paused || len(r.st.Claims) > 0 }

// pauseReason is the person's, else that of whoever came first.
func (r *replication) pauseReason() string {
	if !r.st.Paused && len(r.st.Claims) > 0 {
		return r.st.Claims[0].Reason
	}
	return r.st.PauseReason
}

// claim notes a pause that is by's to end.
func (r *replication) claim(by, reason string) {
	r.letGo(by)
	r.st.Claims = append(r.st.Claims, Claim{By: by, Reason: reason})
}

// letGo ends what by claims, and tells whether that was anything.
func (r *replication) letGo(by string) bool {
	before := len(r.st.Claims)
	r.st.Claims = slices.DeleteFunc(r.st.Claims, func(c Claim) bool { return c.By == by })
	return len(r.st.Claims) < before
}
