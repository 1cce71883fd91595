// Package config is what a person can set: one struct, read from one YAML file,
// from HOLDFAST_* variables and from flags.
//
// A flag wins over the environment, the environment over the file. A key or a
// HOLDFAST_* variable that nobody reads is an error that names the nearest known
// one, because a misspelt setting is one that silently does not hold.
//
// The package reads no environment of its own: the main packages pass it in.
// A Config may be printed: secrets are never part of it, only the names of files
// that hold them, and a URL with a secret inside is refused. Credentials reads
// the secrets, and Secrets lists what a log must never show.
package config

import (
	"time"

	"github.com/holdfast-db/holdfast/internal/plan"
)

// Config is everything that can be set, checked.
type Config struct {
	Host      string // of this machine; empty when nothing names it
	Replica   string // URL of the root for databases without their own; may be empty
	StateDir  string // instead of a directory beside each database; may be empty
	Databases []Database

	Directories []Directory
	Discovery   Discovery

	Sync    Sync
	Backoff Backoff
	Azure   Azure

	Janitor   Azure // of what maintains; without a secret of its own it is Azure
	Retention Retention

	Maintenance Maintenance
	Tuning      Tuning

	Log     Log
	Metrics Metrics
}

// Database is one listed database.
type Database struct {
	Path    string // absolute, clean
	Name    string
	Replica string // URL of its own replica; empty only when there is no root either
}

// Sync says how a database is followed.
type Sync struct {
	Interval  time.Duration // between the starts of two passes; 0 for at once
	Window    time.Duration // of one Sync activity; 0 for one pass each
	Heartbeat time.Duration // after which a silent window counts as dead
	Scrub     time.Duration // in which all pages are compared with what was shipped; 0 for never
	IdleAfter time.Duration // without a commit, after which a database is parked; 0 for never
	ColdAfter time.Duration // without a commit, after which a parked one is closed; 0 for never
	Autonomy  time.Duration // for which databases are shipped though Temporal is away; 0 for never
	WALLimit  Size          // of the log before a pass spools
}

// OrNever returns d as workflows have it, where less than 0 is never and 0 the default.
func OrNever(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// Backoff says how failures are spaced.
type Backoff struct {
	Cap time.Duration // longest wait between two attempts
}

// Maintenance says what this worker does for replicas, its own and others'.
type Maintenance struct {
	Slots int // how many it maintains side by side; 0 for none

	Scratch string // directory for verifications; empty for one beside the worker's state
}

// Tuning says what a worker takes on at one time, and how often it speaks to Temporal.
// What is 0 follows from the number of its databases.
type Tuning struct {
	Windows  int // that run side by side; no fewer than there are listed databases
	Control  int // passes, clean-ups and closings beside windows
	Restores int // side by side
	Pollers  int // of one queue, at most

	StopTimeout time.Duration // that windows have to finish when the worker stops

	Heartbeat           time.Duration // between two of one window; no more than LeastOften of Sync.Heartbeat
	HeartbeatsPerSecond int           // of all windows together
	WakesPerSecond      int           // of databases that change while they rest, or whose worker starts
}

// LeastOften is the longest time between two heartbeats of a window that counts as dead
// after timeout of silence. What is left is for one that is late.
func LeastOften(timeout time.Duration) time.Duration { return timeout * 2 / 3 }

// Azure says how to reach the store, but for the secrets themselves.
type Azure struct {
	Endpoint             string
	ConnectionStringFile string
	AccountKeyFile       string
	SASFile              string
	Tier                 string
}

// Retention says for how long states are kept.
type Retention struct {
	Window time.Duration // they can be restored; no less than Level0
	Level0 time.Duration // each put is a state of its own; plan.LeastLevel0 at least
	Store  bool          // maintenance removes nothing
}

// Policy is what package plan goes by.
func (r Retention) Policy() plan.Policy { return plan.Policy{Window: r.Window, Level0: r.Level0} }

// Metrics says where they are served.
type Metrics struct {
	Listen string // host:port; empty for nowhere
}

// Log says what is logged, and how.
type Log struct {
	Level  string // debug, info, warn, error
	Format string // text, json
}
