package workflows

import (
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/holdfast-db/holdfast/activities"
)

// Registered names of workflows.
const (
	TypeReplicateDatabase = "ReplicateDatabase"
	TypeRestoreDatabase   = "RestoreDatabase"
	TypeVerifyReplica     = "VerifyReplica"
)

// TaskQueue is where all workflows run, on any worker.
const TaskQueue = "holdfast"

// MaintenanceQueue is where work on replicas alone is taken from, by any worker that
// has slots for it.
const MaintenanceQueue = "holdfast-maintenance"

// Names of signals. Pause, resume and wake take an optional Message, pin and unpin a Pin.
const (
	SignalPause  = "pause"
	SignalResume = "resume"
	SignalWake   = "wake"
	SignalReport = activities.SignalReport
	SignalPin    = "pin"   // Pin
	SignalUnpin  = "unpin" // Pin, of which only the id counts
)

// Names of updates, with what they take and return.
const (
	UpdateRegister    = "register"        // Registration -> Registered
	UpdateReconfigure = "reconfigure"     // Reconfiguration -> Reconfigured
	UpdatePause       = "pause-and-wait"  // Message -> Status
	UpdateResume      = "resume-and-wait" // Message -> Status
	UpdateSync        = "sync"            // Message -> Synced
	UpdateStop        = "stop"            // StopRequest -> Stopped
)

// QueryStatus is the query that returns a Status.
const QueryStatus = "status"

// Phase is what a database's replication is doing, in one word.
type Phase string

// All phases there are. They are also the values of HoldfastPhase.
const (
	Starting         Phase = "Starting"    // no pass has succeeded yet
	Replicating      Phase = "Replicating" // as it should be
	Idle             Phase = "Idle"        // parked until the database changes
	Paused           Phase = "Paused"      // until a person resumes
	BackingOff       Phase = "BackingOff"  // after a failure of no special kind
	DiskFull         Phase = "DiskFull"
	StoreUnavailable Phase = "StoreUnavailable"
	HostOffline      Phase = "HostOffline" // no worker of its host answers
	Fenced           Phase = "Fenced"      // another writer owns the replica; waits for a person
	Misconfigured    Phase = "Misconfigured"
	DatabaseMissing  Phase = "DatabaseMissing" // looked for again every backoff cap
	Stopping         Phase = "Stopping"
)

// Types of the errors with which updates are refused or fail, beside those of
// package activities.
const (
	ErrRefused              = "Refused"              // the message says by what
	ErrPaused               = "Paused"               // sync while paused
	ErrStopping             = "Stopping"             // being stopped
	ErrHostOffline          = "HostOffline"          // nobody took the task
	ErrContinueAsNewPending = "ContinueAsNewPending" // send it again at once: see RetryLater
	ErrNoMaintainer         = "NoMaintainer"         // nobody took a Maintain; of a Problem alone
)

// RetryLater tells whether err is a refusal that only means "not this moment":
// the workflow is about to continue as new. Sending the update again succeeds
// within a second.
func RetryLater(err error) bool {
	var refused *temporal.ApplicationError
	return errors.As(err, &refused) && refused.Type() == ErrContinueAsNewPending
}

// Search attributes, written on a change of phase only.
var (
	AttributePhase    = temporal.NewSearchAttributeKeyKeyword("HoldfastPhase")
	AttributeHost     = temporal.NewSearchAttributeKeyKeyword("HoldfastHost")
	AttributeDatabase = temporal.NewSearchAttributeKeyKeyword("HoldfastDatabase")
)

// WorkflowID is the id of the workflow that replicates the database name.
func WorkflowID(name string) string { return "holdfast/db/" + name }

// SyncQueue is where host takes windows from: they hold a slot for minutes.
func SyncQueue(host string) string { return "holdfast-sync/" + host }

// ControlQueue is where host takes everything short from. Its worker is not the
// one of SyncQueue, or windows would starve it.
func ControlQueue(host string) string { return "holdfast-control/" + host }

// RestoreQueue is where host takes restores from: they are long, and must not be in
// the way of what is short.
func RestoreQueue(host string) string { return "holdfast-restore/" + host }

// Spec says which database is replicated, from where to where, and how.
type Spec struct {
	Name     string   `json:"name"`
	Host     string   `json:"host"`
	Path     string   `json:"path"`    // absolute, on Host
	Replica  string   `json:"replica"` // URL
	Adopt    bool     `json:"adopt,omitempty"`
	TakeOver bool     `json:"take_over,omitempty"`
	Settings Settings `json:"settings,omitzero"`
}

// Input starts ReplicateDatabase. State is for Continue-As-New alone.
type Input struct {
	Spec
	UseSearchAttributes bool   `json:"use_search_attributes,omitempty"` // only when the namespace has them
	MaxWindows          int    `json:"max_windows,omitempty"`           // of one run; 0 for the default
	Wait                bool   `json:"wait,omitempty"`                  // somebody waits: a store that cannot be reached is refused, too
	State               *State `json:"state,omitempty"`

	// Judged says that the host has found nothing against the database, so that it need not
	// be asked: it registers the database itself.
	Judged bool `json:"judged,omitempty"`

	// Maintain has the replica maintained. Runs that were begun by earlier versions do not
	// have it, as their histories know nothing of maintenance; the runs after them do.
	Maintain bool `json:"maintain,omitempty"`
	Pace     Pace `json:"pace,omitzero"`
}

// Message goes with pause, resume, wake and sync. All of it is optional; signals
// that carry no payload, or some other one, count just the same.
type Message struct {
	ID     string `json:"id,omitempty"`     // a second signal with a recent id is ignored
	Reason string `json:"reason,omitempty"` // of a pause, for whoever looks
	By     string `json:"by,omitempty"`     // a workflow that pauses, and resumes what it has paused; empty for a person
}

// Registration asks for a database to be replicated as Spec says.
type Registration struct {
	Spec
	Move bool `json:"move,omitempty"` // even if it is registered with another host, path or replica
	Wait bool `json:"wait,omitempty"` // return when the first pass has succeeded or a person is needed
}

// Registered answers a Registration.
type Registered struct {
	Status    Status `json:"status"`
	Changed   bool   `json:"changed"`   // something that was registered before is different now
	Answering bool   `json:"answering"` // a worker of the host has answered
}

// Synced answers a sync: everything up to TXID is durable in the store.
type Synced struct {
	activities.Progress
}

// StopRequest asks for the end of replication. The blobs stay.
type StopRequest struct {
	ID            string `json:"id,omitempty"`
	SkipFinalPass bool   `json:"skip_final_pass,omitempty"`
}

// Stopped answers a StopRequest.
type Stopped struct {
	Status   Status `json:"status"`
	Released bool   `json:"released"` // the host closed the database; else it does when its worker ends
}

// Keys of the workflow's memo: what a listing shows without asking the workflow.
const (
	MemoHost    = "host"
	MemoPath    = "path"
	MemoReplica = "replica"
)

// Memo is the memo of the workflow that replicates s.
func Memo(s Spec) map[string]any {
	return map[string]any{MemoHost: s.Host, MemoPath: s.Path, MemoReplica: s.Replica}
}

// StartOptions are the options with which to start in, so that starting twice is
// harmless.
func StartOptions(in Input) client.StartWorkflowOptions {
	options := client.StartWorkflowOptions{
		ID:                       WorkflowID(in.Name),
		TaskQueue:                TaskQueue,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		Memo:                     Memo(in.Spec),
		StaticSummary:            StaticSummary(in),
		StaticDetails:            StaticDetails(in),
	}
	if in.UseSearchAttributes {
		options.TypedSearchAttributes = temporal.NewSearchAttributes(
			AttributePhase.ValueSet(string(Starting)),
			AttributeHost.ValueSet(in.Host),
			AttributeDatabase.ValueSet(in.Name),
		)
	}
	return options
}

// StaticSummary is the line by which the Temporal UI lists the workflow. It and
// StaticDetails belong to the first run: Continue-As-New does not pass them on.
func StaticSummary(in Input) string {
	return fmt.Sprintf("%s:%s to %s", in.Host, in.Path, in.Replica)
}

// StaticDetails says in the Temporal UI what the workflow is, in Markdown.
func StaticDetails(in Input) string {
	return fmt.Sprintf(`Replicates the SQLite database **%s** for as long as it runs.

- database: %s on host %s
- replica: %s

Current details below say how it stands. A *pending Sync activity* with an attempt above 1 is backing off; its last
failure says why. Signal `+"`pause` or `resume`"+` to stop and go on; `+"`resume`"+` also cuts a backoff short.
To get the data back: `+"`holdfast restore %s -o FILE`"+`.`, in.Name, in.Path, in.Host, in.Replica, in.Replica)
}

// Status is how a database's replication stands, as its workflow knows it. The
// lag is now minus SyncedAt. While a window runs, its heartbeat knows more.
type Status struct {
	Name        string    `json:"name"`
	Host        string    `json:"host"`
	Path        string    `json:"path"`
	Replica     string    `json:"replica"`
	Writer      string    `json:"writer"`
	Settings    Settings  `json:"settings"`
	Phase       Phase     `json:"phase"`
	Since       time.Time `json:"since"` // of the phase
	Paused      bool      `json:"paused"`
	PauseReason string    `json:"pause_reason,omitempty"`
	Failures    int       `json:"failures"` // consecutive
	Problem     *Problem  `json:"problem,omitempty"`
	NextAttempt time.Time `json:"next_attempt,omitzero"` // where the workflow itself waits
	activities.Progress
	CleanUps CleanUps `json:"clean_ups"`
	Windows  int      `json:"windows"` // begun, over all runs
	Runs     int      `json:"runs"`    // of the workflow: one more than it continued as new
	Handled  Handled  `json:"handled"`

	Maintenance Maintenance `json:"maintenance,omitzero"`

	Verified    activities.Verification `json:"verified,omitzero"`
	Maintaining time.Time               `json:"maintaining,omitzero"` // since when a run is under way, or waits for a worker
	Pins        []Pin                   `json:"pins,omitempty"`
}
