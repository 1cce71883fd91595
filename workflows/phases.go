package workflows

// Meaning is what a phase says to a person.
type Meaning struct {
	What string // it means
	Do   string // what to do about it
}

// Phases returns all phases, in the order in which operations.md lists them.
func Phases() []Phase {
	return []Phase{
		Starting, Replicating, Idle, Paused, BackingOff, DiskFull, StoreUnavailable, HostOffline, Fenced, Misconfigured,
		DatabaseMissing, Stopping,
	}
}

var meanings = map[Phase]Meaning{
	Starting: {
		What: "No pass has succeeded yet.",
		Do:   "Wait for the first one; the last error, if there is one, says what keeps it.",
	},
	Replicating: {
		What: "What is committed is in the store an interval and a put later.",
		Do:   "Nothing.",
	},
	Idle: {
		What: "Nothing was committed for a while. The host watches the database and ships the next commit at once.",
		Do:   "Nothing.",
	},
	Paused: {
		What: "Somebody has paused it. Nothing is shipped.",
		Do:   "Resume it when the reason is gone.",
	},
	BackingOff: {
		What: "The last pass failed in a way that can pass by itself. It is tried again, ever later up to the cap.",
		Do:   "Read the error if it lasts; a resume tries again at once.",
	},
	DiskFull: {
		What: "The disk of the database, or of its state, is full. From the third failure on Holdfast removes what it can do without.",
		Do:   "Make room; it goes on by itself, and at once with a resume.",
	},
	StoreUnavailable: {
		What: "The store does not answer, or asks for fewer requests. Changes wait in the log, and beyond its limit in the spool.",
		Do:   "Look at the store, the network and the credentials' time; it goes on by itself.",
	},
	HostOffline: {
		What: "No worker of its host takes orders.",
		Do:   "Start holdfast-worker there; if the host is lost, restore elsewhere and register with --move.",
	},
	Fenced: {
		What: "Another writer has put into the replica, so this one does not.",
		Do:   "Find out which of the two is right and stop the other; then resume, or register with --take-over.",
	},
	Misconfigured: {
		What: "It cannot be replicated the way it is registered.",
		Do:   "Put right what the error names; then resume, or register again.",
	},
	DatabaseMissing: {
		What: "There is no file at its path. It is looked for again every backoff cap.",
		Do:   "Put the file back, register it where it is now with --move, or stop it.",
	},
	Stopping: {
		What: "It makes its last pass and is closed.",
		Do:   "Wait; if the last pass fails, stop it with --no-final-pass.",
	},
}

// Meaning returns what p says to a person.
func (p Phase) Meaning() Meaning { return meanings[p] }
