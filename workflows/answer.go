package workflows

import (
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-db/holdfast/activities"
)

// Last is what the last look has found.
func (a VerifyAnswer) Last() activities.VerifyResult {
	if a.Again != nil {
		return *a.Again
	}
	return a.Found
}

// Broken tells whether there is something to repair, or to tell of.
func (a VerifyAnswer) Broken() bool {
	s := a.Found.Survey
	return a.replicaFails() || s.Damages > 0 || s.Missing != 0 || len(a.Fresh) > 0
}

func (a VerifyAnswer) replicaFails() bool {
	return a.Found.Fault != nil && a.Found.Fault.Kind == activities.FaultReplica
}

// NeedsSnapshot tells whether only the database itself can make the latest state
// restorable, as far as is known.
func (a VerifyAnswer) NeedsSnapshot() bool {
	certain := slices.ContainsFunc(a.Found.Survey.Damaged, func(d activities.DamagedObject) bool { return d.Certain })
	return a.Found.Mending.Snapshot || a.Found.Survey.Missing != 0 || a.replicaFails() && !certain
}

// Problems says in words what is wrong, and stays so.
func (a VerifyAnswer) Problems() (all []string) {
	last := a.Last()
	if last.Fault != nil {
		all = append(all, last.Fault.Message)
	}
	if a.Repair != nil {
		return append(all, a.left(last)...)
	}
	s := last.Survey
	if s.Missing != 0 {
		all = append(all, fmt.Sprintf("TXID %s had been put, and is gone", s.Missing))
	}
	if s.Damages > 0 {
		all = append(all, fmt.Sprintf("damaged objects: %d, the first is %s: %s", s.Damages, s.Damaged[0].Key, s.Damaged[0].Why))
	}
	if n := len(a.Fresh); n > 0 {
		all = append(all, fmt.Sprintf("gaps: %d, the first is that %s", n, a.Fresh[0]))
	}
	return all
}

// left says what a repair could not help.
func (a VerifyAnswer) left(last activities.VerifyResult) (all []string) {
	if a.Repair.Refused != "" {
		return []string{fmt.Sprintf("the newest state that can be restored is TXID %s, and the database did not help: %s",
			a.Repair.Mending.Newest, a.Repair.Refused)}
	}
	if last.Mending.Snapshot && last.Fault == nil {
		return []string{"a restore of the latest state still meets a damaged object"}
	}
	return nil
}

// String says in words what was done.
func (r *RepairAnswer) String() string {
	if r == nil {
		return ""
	}
	var did []string
	if r.Snapshot != 0 {
		did = append(did, fmt.Sprintf("the database has put a snapshot, TXID %s", r.Snapshot))
	}
	if n := len(r.Mending.Aside); n > 0 {
		did = append(did, fmt.Sprintf("%d damaged objects were set aside", n))
	}
	if r.Mending.Merged != "" {
		did = append(did, "what is sound was kept as "+r.Mending.Merged)
	}
	if n := len(r.Mending.Later); n > 0 {
		did = append(did, fmt.Sprintf("%d damaged objects stay for now", n))
	}
	return strings.Join(did, ", ")
}

// LeftOut says what was not looked at.
func LeftOut(r activities.VerifyResult) string {
	var left []string
	if r.Skipped != "" {
		left = append(left, r.Skipped)
	}
	if s := r.Survey; s.Unread > 0 {
		left = append(left, fmt.Sprintf("%d objects, %d bytes, were not read", s.Unread, s.Unsize))
	}
	return strings.Join(left, "; ")
}

// Markdown is the answer for people, as the Temporal UI shows it.
func (a VerifyAnswer) Markdown() string {
	var b strings.Builder
	head := "### Nothing is wrong"
	if !a.OK {
		head = "### Not as it should be"
	}
	fmt.Fprintf(&b, "%s\n\n", head)
	for _, line := range a.Remember.Lines() {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	return b.String()
}
