package workflows

import (
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/activities"
)

// SignalVerified carries a Verified to the database's workflow.
const SignalVerified = "verified"

// UpdateSnapshot has the host put a snapshot that needs no object before it:
// SnapshotRequest -> Synced.
const UpdateSnapshot = "snapshot"

// ErrNotProven is the type of the error with which VerifyReplica ends when it found a
// fault that it has not repaired. Its detail is the VerifyAnswer.
const ErrNotProven = "NotProven"

// AttributeProven is when the latest state was last proven to restore. It is younger
// than the others: a namespace may have those and not this one.
var AttributeProven = temporal.NewSearchAttributeKeyTime("HoldfastProven")

// VerifyID is the id of the workflow that verifies the replica of the database name, and
// of the schedule that does.
func VerifyID(name string) string { return "holdfast/verify/" + name }

// SnapshotRequest asks for a snapshot of a later state than After.
type SnapshotRequest struct {
	ID    string   `json:"id,omitempty"`
	After ltx.TXID `json:"after"`
}

// Verified is what a verification tells the database's workflow.
type Verified struct {
	activities.Verification
	UseAttribute bool `json:"use_attribute,omitempty"` // the namespace has AttributeProven
}

// VerifyRequest says how the replica of a registered database is verified.
type VerifyRequest struct {
	Name        string              `json:"name"`
	Cheap       bool                `json:"cheap,omitempty"` // restore nothing; read what came after the last proof
	Check       string              `json:"check,omitempty"` // SQL that must give 1
	CheckWithin activities.Duration `json:"check_within,omitempty"`
	Repair      bool                `json:"repair,omitempty"`
	Budget      int64               `json:"budget_bytes,omitempty"` // to be read in a day, UTC; 0 for no limit

	UseAttribute bool `json:"use_attribute,omitempty"`
}

// VerifyAnswer is what a verification has found and done.
type VerifyAnswer struct {
	Name     string                   `json:"name"`
	Replica  string                   `json:"replica"`
	OK       bool                     `json:"ok"` // nothing is wrong, or not any more
	Found    activities.VerifyResult  `json:"found"`
	Fresh    []string                 `json:"fresh_gaps,omitempty"` // gaps that no repair has told of before
	Repair   *RepairAnswer            `json:"repair,omitempty"`
	Again    *activities.VerifyResult `json:"again,omitempty"` // after the repair
	Remember activities.Verification  `json:"remember"`        // what the database's workflow was told
}

// RepairAnswer is what was done about a fault.
type RepairAnswer struct {
	Snapshot ltx.TXID           `json:"snapshot,omitempty"` // that the database's host has put
	Refused  string             `json:"refused,omitempty"`  // why it has not
	Mending  activities.Mending `json:"mending,omitzero"`
}

// VerifyOptions are the options with which to start a verification by hand.
func VerifyOptions(in VerifyRequest) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID:                       VerifyID(in.Name),
		TaskQueue:                TaskQueue,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		StaticSummary:            in.Summary(),
	}
}

// Summary is the line by which the Temporal UI lists a verification.
func (in VerifyRequest) Summary() string {
	what := "prove that the replica of %s restores"
	if in.Cheap {
		what = "look at the objects of the replica of %s"
	}
	if in.Repair {
		what += ", and repair it"
	}
	return fmt.Sprintf(what, in.Name)
}

// VerifySchedule is the schedule that verifies a replica again and again. Databases begin
// at different times of the period, by their names, so that a thousand of them do not
// begin together; one that is late does not begin a second time.
func VerifySchedule(in VerifyRequest, every time.Duration) client.ScheduleOptions {
	return client.ScheduleOptions{
		ID: VerifyID(in.Name),
		Spec: client.ScheduleSpec{
			Intervals: []client.ScheduleIntervalSpec{{Every: every, Offset: share(in.Name, every)}},
			Jitter:    every / jitterShare,
		},
		Action: &client.ScheduleWorkflowAction{
			ID: VerifyID(in.Name), Workflow: TypeVerifyReplica, Args: []any{in}, TaskQueue: TaskQueue, StaticSummary: in.Summary(),
		},
		Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		Note:    in.Summary(),
	}
}

// jitterShare is the part of the period by which a verification may begin later.
const jitterShare = 20

// share is where in a period name has its place, in whole seconds.
func share(name string, every time.Duration) time.Duration {
	var h uint64 = 14695981039346656037 // FNV-1a
	for _, c := range []byte(name) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	seconds := uint64(every / time.Second)
	if seconds == 0 {
		return 0
	}
	return time.Duration(h%seconds) * time.Second
}
