package workflows

import (
	"fmt"
	"time"

	"github.com/superfly/ltx"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/holdfast-db/holdfast/activities"
)

// RestorePhase is what a restore is doing, in one word.
type RestorePhase string

// All phases that a restore can be in.
const (
	RestoreChecking    RestorePhase = "Checking"    // whether it can be done
	RestoreHostOffline RestorePhase = "HostOffline" // no worker of the host answers; waits for a while
	RestoreRestoring   RestorePhase = "Restoring"
	RestoreWaiting     RestorePhase = "Waiting" // for other restores on the host
	RestoreUndoing     RestorePhase = "Undoing" // what was begun
	RestoreDone        RestorePhase = "Restored"
	RestoreFailed      RestorePhase = "Failed"
	RestoreCancelled   RestorePhase = "Cancelled"
)

// RestoreRequest starts RestoreDatabase. The replica need not be a registered
// database's.
type RestoreRequest struct {
	Name      string    `json:"name"` // of the database, or called after its replica
	Host      string    `json:"host"`
	Path      string    `json:"path"`    // on Host, absolute
	Replica   string    `json:"replica"` // URL
	TXID      ltx.TXID  `json:"txid,omitempty"`
	At        time.Time `json:"at,omitzero"` // the last state before; without TXID and At the latest
	Force     bool      `json:"force,omitempty"`
	Integrity string    `json:"integrity,omitempty"` // quick or full
	Mode      uint32    `json:"mode,omitempty"`      // permissions; 0 for those of a replaced file
	Owner     string    `json:"owner,omitempty"`     // USER or USER:GROUP of Host

	Database string              `json:"database,omitempty"` // registered, with this replica: it is told what must not expire
	Occupant string              `json:"occupant,omitempty"` // registered for Path; the host knows better, if it does
	Patience activities.Duration `json:"patience,omitempty"` // with a host that does not answer; 0 for the default
}

// Restored is what a restore came to.
type Restored struct {
	Host     string              `json:"host"`
	Path     string              `json:"path"`
	Replica  string              `json:"replica"`
	TXID     ltx.TXID            `json:"txid"`
	Created  time.Time           `json:"created"` // when the state was captured
	Bytes    int64               `json:"bytes"`   // of the file
	Objects  int                 `json:"objects"`
	Fetched  int64               `json:"fetched_bytes"`
	Digested bool                `json:"digested"` // the digest of the whole database was compared
	Took     activities.Duration `json:"took"`
	Replaced string              `json:"replaced,omitempty"` // registered database whose file it was, and which goes on from it
}

// RestoreStatus is how a restore stands, as its workflow knows it. How far it is, and
// what its last attempt has met, is in the pending activity.
type RestoreStatus struct {
	ID      string         `json:"id"`
	Request RestoreRequest `json:"request"`
	Phase   RestorePhase   `json:"phase"`
	Since   time.Time      `json:"since"`          // of the phase
	Until   time.Time      `json:"until,omitzero"` // HostOffline: when it is given up
	Pinned  bool           `json:"pinned"`         // Request.Database keeps what is read
	Held    string         `json:"held,omitempty"` // registered database that is paused for it
	Problem *Problem       `json:"problem,omitempty"`
	Result  *Restored      `json:"result,omitempty"`
}

// RestoreID is the id of a restore of the database name that was asked for at t.
func RestoreID(name string, t time.Time) string {
	return "holdfast/restore/" + name + "/" + t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// RestoreOptions are the options with which to start r under id.
func RestoreOptions(id string, r RestoreRequest, searchAttributes bool) client.StartWorkflowOptions {
	options := client.StartWorkflowOptions{
		ID: id, TaskQueue: TaskQueue,
		Memo:          map[string]any{MemoHost: r.Host, MemoPath: r.Path, MemoReplica: r.Replica},
		StaticSummary: fmt.Sprintf("%s of %s to %s:%s", r.target(), r.Replica, r.Host, r.Path),
		StaticDetails: r.details(),
	}
	if searchAttributes {
		options.TypedSearchAttributes = temporal.NewSearchAttributes(AttributeHost.ValueSet(r.Host), AttributeDatabase.ValueSet(r.Name))
	}
	return options
}

// target names the state that is wanted.
func (r RestoreRequest) target() string {
	switch {
	case r.TXID != 0:
		return "TXID " + r.TXID.String()
	case !r.At.IsZero():
		return "the state before " + stamp(r.At)
	}
	return "the latest state"
}

// details say in the Temporal UI what the workflow is, in Markdown.
func (r RestoreRequest) details() string {
	return fmt.Sprintf(`Restores %s of **%s** to a path of a host.

- from: %s
- to: %s on host %s

The heartbeat of the *pending Restore activity* says how far it is; an attempt above 1 goes on after a worker's end, or
waits for a store that is away. Cancel the workflow to give the restore up: nothing stays of it.`,
		r.target(), r.Name, r.Replica, r.Path, r.Host)
}
