package activities

import (
	"encoding/json"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/host"
)

// Names under which the activities of a host are registered. They are part of
// every recorded history, so they never follow a Go identifier.
const (
	NameSync     = "Sync"
	NameSyncOnce = "SyncOnce"
	NameStopSync = "StopSync"
	NameCleanUp  = "CleanUp"
	NameRelease  = "Release"
)

// SignalReport is the signal that carries a Report to the database's workflow.
const SignalReport = "report"

// Duration is a time.Duration that histories and the Temporal UI show as text,
// like "1.5s".
type Duration time.Duration

// MarshalText writes d as time.Duration prints itself.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// Database is one database as workflows and activities speak of it.
type Database struct {
	Name     string   `json:"name"`
	Path     string   `json:"path"`
	Replica  string   `json:"replica"`
	Writer   string   `json:"writer,omitempty"` // 32 hex digits
	Adopt    bool     `json:"adopt,omitempty"`
	TakeOver bool     `json:"take_over,omitempty"`
	WALLimit int64    `json:"wal_limit_bytes,omitempty"`
	Scrub    Duration `json:"scrub,omitempty"` // in which all pages are compared; 0 for the default, below it for never
}

func (d Database) host() host.Database {
	return host.Database{
		Name: d.Name, Path: d.Path, Replica: d.Replica, Writer: d.Writer,
		Adopt: d.Adopt, TakeOver: d.TakeOver, WALLimit: d.WALLimit, Scrub: time.Duration(d.Scrub),
	}
}

// SyncInput says what a window is to do.
type SyncInput struct {
	Database Database `json:"database"`
	Window   int      `json:"window"` // its number; reports name it, so that late ones are told apart
	Interval Duration `json:"interval"`
	Length   Duration `json:"length"`             // 0 makes one pass
	Failures int      `json:"failures"`           // consecutive failures before this window
	Head     ltx.TXID `json:"head,omitempty"`     // last known head of the replica, a hint
	Announce bool     `json:"announce,omitempty"` // the workflow thinks the host away: report at once
	Rules    Rules    `json:"rules,omitzero"`

	// Spec is what the database was registered as. The host only keeps it, so that it
	// can be registered again should the service lose it.
	Spec json.RawMessage `json:"spec,omitempty"`
}

// Rules are what a host goes by between windows, and when nobody sends one.
type Rules struct {
	IdleAfter  Duration `json:"idle_after,omitempty"`  // without a commit, after which a window ends as idle; 0 for never
	ColdAfter  Duration `json:"cold_after,omitempty"`  // without a commit, after which a small database is closed; 0 for never
	BackoffCap Duration `json:"backoff_cap,omitempty"` // longest wait between two attempts
	Autonomy   Duration `json:"autonomy,omitempty"`    // for which the host goes on by itself; 0 for never
	Heartbeat  Duration `json:"heartbeat,omitempty"`   // after which a silent window counts as dead
}

func (r Rules) host() host.Rules {
	return host.Rules{
		IdleAfter: time.Duration(r.IdleAfter), ColdAfter: time.Duration(r.ColdAfter), BackoffCap: time.Duration(r.BackoffCap),
		Autonomy: time.Duration(r.Autonomy), Heartbeat: time.Duration(r.Heartbeat),
	}
}

// SyncResult is how a window ended well.
type SyncResult struct {
	Reason   host.Reason `json:"reason"`
	Failures int         `json:"failures"` // consecutive failures that stand at its end
	Progress
}

// SyncOnceInput asks for one pass, or with Check only for a judgement.
type SyncOnceInput struct {
	Database Database `json:"database"`
	Head     ltx.TXID `json:"head,omitempty"`
	Check    bool     `json:"check,omitempty"` // open and judge, write nothing

	// Snapshot puts all pages as a snapshot that needs no object before it, unless there is
	// one of a later state than After.
	Snapshot bool     `json:"snapshot,omitempty"`
	After    ltx.TXID `json:"after,omitempty"`
}

// StopSyncInput names the database and the window that is to end.
type StopSyncInput struct {
	Name   string `json:"name"`
	Window int    `json:"window"`
	Hold   bool   `json:"hold,omitempty"` // ship nothing until the next window, also if the service is away
}

// StopSyncResult says how the window's failures stand, where the host knows.
type StopSyncResult struct {
	Beat *Beat `json:"beat,omitempty"`
}

// CleanUpInput names the database whose leftovers may go.
type CleanUpInput struct {
	Database Database `json:"database"`

	// Fold gives up states that wait in the spool, because a clean-up before did
	// not make enough room.
	Fold bool `json:"fold,omitempty"`
}

// CleanUpResult says what went.
type CleanUpResult struct {
	Files  int     `json:"files"`
	Bytes  int64   `json:"bytes"`
	Folded *Folded `json:"folded,omitempty"` // states that were given up, if any
}

// Folded says which states cannot be restored one by one, because the spool that
// they waited in was given up to make room. The latest state is not among them.
type Folded struct {
	Files int       `json:"files"`
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
}

// ReleaseInput names the database that is to be closed.
type ReleaseInput struct {
	Database Database `json:"database"`
}

// Progress is what a window has reached, over all of its attempts.
type Progress struct {
	TXID         ltx.TXID  `json:"txid,omitempty"`
	SyncedAt     time.Time `json:"synced_at,omitzero"`
	BehindBytes  int64     `json:"behind_bytes"`
	LastPut      time.Time `json:"last_put,omitzero"`
	SpoolBytes   int64     `json:"spool_bytes,omitempty"`
	Passes       int       `json:"passes"` // that succeeded
	Puts         int       `json:"puts"`
	Bytes        int64     `json:"bytes"` // of the puts
	Transactions int64     `json:"transactions"`
	Resyncs      int       `json:"resyncs,omitempty"`
	ResyncReason string    `json:"resync_reason,omitempty"` // of the last one
	Writer       string    `json:"writer,omitempty"`        // who writes the replica
}

// After returns p continued by q: counts add up, and what q knows of the state
// replaces what p knew.
func (p Progress) After(q Progress) Progress {
	sum := p
	sum.Passes += q.Passes
	sum.Puts += q.Puts
	sum.Bytes += q.Bytes
	sum.Transactions += q.Transactions
	sum.Resyncs += q.Resyncs
	if q.ResyncReason != "" {
		sum.ResyncReason = q.ResyncReason
	}
	if q.Writer != "" {
		sum.Writer = q.Writer
	}
	if q.TXID != 0 {
		sum.TXID = q.TXID
	}
	if !q.LastPut.IsZero() {
		sum.LastPut = q.LastPut
	}
	if q.Passes > 0 || !q.SyncedAt.IsZero() || q.BehindBytes > 0 {
		sum.BehindBytes, sum.SpoolBytes = q.BehindBytes, q.SpoolBytes
	}
	if !q.SyncedAt.IsZero() {
		sum.SyncedAt = q.SyncedAt
	}
	return sum
}

func progressOf(p host.Progress) Progress {
	return Progress{
		TXID: p.TXID, SyncedAt: p.SyncedAt.UTC(), BehindBytes: p.BehindBytes, LastPut: p.LastPut.UTC(), SpoolBytes: p.SpoolBytes,
		Passes: p.Passes, Puts: p.Puts, Bytes: p.Bytes, Transactions: p.Transactions,
		Resyncs: p.Resyncs, ResyncReason: p.ResyncReason, Writer: p.Writer,
	}
}

// Beat is what a window puts into its heartbeats. It is also the detail of each
// error that Sync returns, and of its cancellation: the count of failures has
// to survive every way in which an attempt can end.
type Beat struct {
	Failures int    `json:"failures"`       // consecutive failures up to now
	Type     string `json:"type,omitempty"` // of the last of them, see Types
	Progress
}

// Report is what a host tells the workflow about attempts, because retries that
// the server makes by itself are invisible to it.
type Report struct {
	ID       string    `json:"id,omitempty"`
	Window   int       `json:"window"`         // that the attempt belonged to
	Failures int       `json:"failures"`       // 0 adds none to those that are known
	Type     string    `json:"type,omitempty"` // of the error
	Error    string    `json:"error,omitempty"`
	TXID     ltx.TXID  `json:"txid,omitempty"`
	SyncedAt time.Time `json:"synced_at,omitzero"`
}
