package workflows

// For tests of what decides when a replica is maintained.
var (
	Due    = Maintenance.due
	Heard  = (*Maintenance).heard
	Ended  = (*Maintenance).ended
	Failed = (*Maintenance).failed
	Filled = Pace.filled
)
