package host

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/ship"
)

// ErrConflict says that two databases of this host cannot both be what they are
// configured to be: the same file, or the same replica, under two names.
var ErrConflict = errors.New("conflicting databases")

// ErrClosed says that the process is about to end.
var ErrClosed = errors.New("worker is closing its databases")

// Database says what to replicate and where to.
type Database struct {
	Name     string        // unique in a Temporal namespace
	Path     string        // of the database file on this host, absolute
	Replica  string        // URL of its own replica
	Writer   string        // 32 hex digits: who may write the replica
	Adopt    bool          // take on a replica whose head names no writer
	TakeOver bool          // take on a replica whose head names another writer
	Scrub    time.Duration // in which all pages are compared with what was shipped; 0 for the default, below it for never
	WALLimit int64         // bytes of log at which a pass that cannot ship spools; 0 for the default
}

// Window is one stretch of syncing.
type Window struct {
	Database
	Rules
	Interval  time.Duration   // between the starts of two passes; 0 starts the next at once
	Length    time.Duration   // 0 makes one pass
	Failures  int             // consecutive failures before this window
	Head      ltx.TXID        // last known head of the replica, a hint
	Spec      json.RawMessage // what the database was registered as, kept for whoever registers it again
	TaskToken []byte          // kept beside the database while the window runs
	Stop      <-chan struct{} // closed when the worker stops

	alone bool // nobody sent it
}

// Rules are what a host goes by between windows.
type Rules struct {
	IdleAfter  time.Duration `json:"idle_after"`  // without a commit, after which a window ends as Idle; 0 for never
	ColdAfter  time.Duration `json:"cold_after"`  // without a commit, after which a small database is closed; 0 for never
	BackoffCap time.Duration `json:"backoff_cap"` // longest wait between two attempts
	Autonomy   time.Duration `json:"autonomy"`    // for which the host goes on while nobody decides; 0 for never
	Heartbeat  time.Duration `json:"heartbeat"`   // after which whoever decides misses a window
}

// Instructions are the last ones that a host was given for a database. They are kept
// beside it, for a process that starts while nobody decides.
type Instructions struct {
	Database Database        `json:"database"`
	Rules    Rules           `json:"rules"`
	Interval time.Duration   `json:"interval"`
	Held     bool            `json:"held"` // nothing is shipped before the next window
	Spec     json.RawMessage `json:"spec,omitempty"`
}

// Attendance is how a Host knows whether somebody decides for its databases.
type Attendance interface {
	// Away tells whether no window can be expected for the database now.
	Away(database string) bool

	// Stirred is told that a database has changed for which no window runs, because
	// the last one ended as Idle. It does not wait for anything.
	Stirred(database string)

	// Missed is told that a window is late which was to follow one that ended well,
	// though somebody decides. It is told again while none comes and Away says no. It
	// does not wait for anything.
	Missed(database string)
}

// Reason says why a window ended well.
type Reason string

// Reasons for the end of a window.
const (
	WindowOver     Reason = "window_over"
	WorkerStopping Reason = "worker_stopping"
	Recovered      Reason = "recovered" // the first pass after failures succeeded
	Stopped        Reason = "stopped"   // StopSync ended it
	Idle           Reason = "idle"      // nothing was committed for a while
	Lost           Reason = "lost"      // its worker died; said by the next one
)

// Progress is what a window has reached so far.
type Progress struct {
	TXID         ltx.TXID  // head of the replica
	SyncedAt     time.Time // when source and replica were last known to be equal; zero if never in this window
	LastPut      time.Time // zero if none in this window
	BehindBytes  int64     // bytes in the log that are not yet shipped
	SpoolBytes   int64     // waiting in the spool
	Passes       int       // that succeeded
	Puts         int       // objects written
	Bytes        int64     // of the objects written
	Transactions int64     // commits shipped
	Resyncs      int       // times that all pages were compared, as the log was not enough
	ResyncReason string    // the rule of the last one
	Writer       string    // under which the replica is written: that of the local state, where there is one
}

// Result is how a window ended.
type Result struct {
	Progress
	Reason Reason
}

// CleanUp says what a clean-up removed.
type CleanUp struct {
	Files  int
	Bytes  int64
	Folded ship.Folded // states that were given up, if any
}

// LostWindow is a window that the last process on this host did not end.
type LostWindow struct {
	Name      string
	TaskToken []byte
	Failures  int
}
