package workflows

import (
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast-db/holdfast/activities"
)

// RegisterWorkflows registers all workflows with a worker on TaskQueue. That
// worker's options must name SignalsInOrder among its interceptors.
func RegisterWorkflows(w worker.WorkflowRegistry) {
	w.RegisterWorkflowWithOptions(ReplicateDatabase, workflow.RegisterOptions{Name: TypeReplicateDatabase})
	w.RegisterWorkflowWithOptions(RestoreDatabase, workflow.RegisterOptions{Name: TypeRestoreDatabase})
	w.RegisterWorkflowWithOptions(VerifyReplica, workflow.RegisterOptions{Name: TypeVerifyReplica})
}

// RegisterSyncActivities registers what a worker on a host's SyncQueue does. Its
// options must set WorkerStopTimeout, so that a window can finish its put.
func RegisterSyncActivities(w worker.ActivityRegistry, a *activities.HostActivities) {
	w.RegisterActivityWithOptions(a.Sync, activity.RegisterOptions{Name: activities.NameSync})
}

// RegisterReplicaActivities registers what a worker on MaintenanceQueue does. Its options
// must set WorkerStopTimeout, so that what is under way ends well.
func RegisterReplicaActivities(w worker.ActivityRegistry, a *activities.ReplicaActivities) {
	w.RegisterActivityWithOptions(a.Maintain, activity.RegisterOptions{Name: activities.NameMaintain})
	w.RegisterActivityWithOptions(a.Verify, activity.RegisterOptions{Name: activities.NameVerify})
	w.RegisterActivityWithOptions(a.Repair, activity.RegisterOptions{Name: activities.NameRepair})
	w.RegisterActivityWithOptions(a.LookUp, activity.RegisterOptions{Name: activities.NameLookUp})
	w.RegisterActivityWithOptions(a.Snapshot, activity.RegisterOptions{Name: activities.NameSnapshot})
}

// RegisterControlActivities registers what a worker on a host's ControlQueue
// does. a must be the very value that the sync worker has.
func RegisterControlActivities(w worker.ActivityRegistry, a *activities.HostActivities) {
	w.RegisterActivityWithOptions(a.SyncOnce, activity.RegisterOptions{Name: activities.NameSyncOnce})
	w.RegisterActivityWithOptions(a.StopSync, activity.RegisterOptions{Name: activities.NameStopSync})
	w.RegisterActivityWithOptions(a.CleanUp, activity.RegisterOptions{Name: activities.NameCleanUp})
	w.RegisterActivityWithOptions(a.Release, activity.RegisterOptions{Name: activities.NameRelease})
}

// RegisterRestoreActivities registers what a worker on a host's RestoreQueue does, and
// what one on its ControlQueue does for it: both need it, with the same value.
func RegisterRestoreActivities(w worker.ActivityRegistry, a *activities.RestoreActivities) {
	w.RegisterActivityWithOptions(a.Restore, activity.RegisterOptions{Name: activities.NameRestore})
}
