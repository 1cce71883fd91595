package activities

import (
	"errors"
	"syscall"

	"go.temporal.io/sdk/temporal"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/inuse"
	"github.com/holdfast-db/holdfast/internal/maintain"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
)

// Types of the errors that activities return. Workflows and people decide by
// them; the message is the domain's own.
const (
	DiskFull         = "DiskFull"
	StoreUnavailable = "StoreUnavailable"
	StoreThrottled   = "StoreThrottled"
	DatabaseBusy     = "DatabaseBusy"
	Fenced           = "Fenced"
	Misconfigured    = "Misconfigured"
	DatabaseMissing  = "DatabaseMissing"
	ReplicaDamaged   = "ReplicaDamaged"
	Internal         = "Internal"

	OwnHost = "OwnHost" // a verification that another worker may make better
)

// Types of errors that only restores have.
const (
	Exists         = "Exists"         // something is at the path already
	InUse          = "InUse"          // a program has the file at the path open
	Registered     = "Registered"     // a database is replicated from the path
	NoSuchState    = "NoSuchState"    // the replica is empty, or keeps no such state
	WorkerStopping = "WorkerStopping" // the next attempt goes on
)

// table is the only place where an error of the data plane becomes a type, and
// where it is said whether trying again can help. The first row that matches
// holds, so a cause stands above what it may be wrapped in.
var table = []struct {
	is      error
	typ     string
	retries bool
}{
	{source.ErrDiskFull, DiskFull, true},
	{syscall.ENOSPC, DiskFull, true},
	{syscall.EDQUOT, DiskFull, true},
	{restore.ErrNoSpace, DiskFull, true},
	{ship.ErrFenced, Fenced, false},
	{ship.ErrForeign, Fenced, false},
	{source.ErrMissing, DatabaseMissing, false},
	{source.ErrNotDatabase, Misconfigured, false},
	{source.ErrNotWAL, Misconfigured, false},
	{source.ErrPermission, Misconfigured, false},
	{source.ErrContract, Misconfigured, false},
	{host.ErrConflict, Misconfigured, false},
	{replica.ErrNewerFormat, Misconfigured, false},
	{maintain.ErrClock, Misconfigured, true}, // another worker's may be right
	{replica.ErrDamaged, ReplicaDamaged, false},
	{blob.ErrConfig, Misconfigured, false},
	{blob.ErrNoContainer, Misconfigured, false},
	{blob.ErrDenied, Misconfigured, false},
	{blob.ErrThrottled, StoreThrottled, true},
	{blob.ErrUnavailable, StoreUnavailable, true},
	{restore.ErrExists, Exists, false},
	{inuse.ErrInUse, InUse, false},
	{host.ErrRegistered, Registered, false},
	{restore.ErrUnsound, ReplicaDamaged, false},
	{plan.ErrGap, ReplicaDamaged, false},
	{plan.ErrNoSnapshot, ReplicaDamaged, false},
	{plan.ErrEmpty, NoSuchState, false},
	{plan.ErrTarget, NoSuchState, false},
	{source.ErrBusy, DatabaseBusy, true},
	{source.ErrReplaced, DatabaseBusy, true}, // twice within one pass
}

// Classify returns the type of err and whether trying again can help. What the
// table does not know is Internal, and tried again.
func Classify(err error) (typ string, retries bool) {
	for _, row := range table {
		if errors.Is(err, row.is) {
			return row.typ, row.retries
		}
	}
	return Internal, true
}

// cleanUpFrom is the number of consecutive failures from which on a full disk
// is handed to the workflow, which cleans up.
const cleanUpFrom = 3

// judge is Classify for the failures-th consecutive failure of a database.
func judge(err error, failures int) (typ string, retries bool) {
	typ, retries = Classify(err)
	return typ, retries && (typ != DiskFull || failures < cleanUpFrom)
}

// failed returns err as Temporal is to see it: its type, its message alone, and
// beat as its detail. A wait that the store asked for replaces the policy's.
func failed(err error, beat Beat) error {
	typ, retries := judge(err, beat.Failures)
	options := temporal.ApplicationErrorOptions{NonRetryable: !retries, Details: []any{beat}}
	if wait, ok := blob.RetryAfter(err); ok && typ == StoreThrottled {
		options.NextRetryDelay = wait
	}
	return temporal.NewApplicationErrorWithOptions(err.Error(), typ, options)
}
