package main

import (
	"cmp"
	"time"

	"go.temporal.io/sdk/worker"

	"github.com/holdfast-db/holdfast/internal/config"
)

// What a worker is tuned to where nobody says otherwise. The arithmetic is in
// docs/operations.md.
const (
	// spareWindows are slots for databases that are found, or registered, while the worker
	// runs: what nobody takes looks like a host that is away. A slot that is not used costs
	// nothing.
	spareWindows = 100_000

	// leastControl orders run beside the windows of a few databases: one of them may have
	// ten updates under way. mostControl of them keep a machine busy, however many
	// databases it has.
	leastControl = 16
	mostControl  = 100

	// restoresAtOnce run side by side. One takes what network and disk give; a second one
	// keeps a small database from waiting for a large one.
	restoresAtOnce = 2

	// stopLeast is what windows get to finish their put when the worker stops, and orders
	// to end; stopEach is added for each database, as the end of each is told to the
	// service. stopMost leaves time to close databases within the minute and a half that
	// systemd gives a service.
	stopLeast = 20 * time.Second
	stopEach  = 10 * time.Millisecond
	stopMost  = 50 * time.Second

	// heartbeatsPerSecond is what all windows of a host together may send. That is a
	// twentieth of the 500 actions a second that a namespace of Temporal Cloud has at
	// least, and keeps a thousand windows within two thirds of a minute.
	heartbeatsPerSecond = 25

	// mostBeats is how many heartbeats one window sends in the time after which a silent
	// one counts as dead, for whoever looks at the status. None comes sooner than
	// leastBeat.
	mostBeats = 6
	leastBeat = time.Second

	// All databases of a host are asked about, or told of, within turnAround, though no
	// fewer than leastWakes in a second, and no more than mostWakes: one that rests costs a
	// query, a signal, a window, two changes of phase and a timer, and six times mostWakes
	// stays below 500 actions a second.
	turnAround = time.Minute
	leastWakes = 50
	mostWakes  = 80

	// pollTakes is the time in which one poll has brought one task, through a slow line.
	pollTakes = 100 * time.Millisecond

	// restPolls of each queue are open while nothing comes. A poll that hangs, with a
	// connection that is dead or in a part of the queue that has no task, is noticed by
	// nobody for a minute; a second one takes what comes meanwhile.
	restPolls = 2

	// fewPollers of a queue may be open all the time.
	fewPollers = 10
)

// tuning is what a worker takes on at one time, and how often it speaks to Temporal.
type tuning struct {
	windows, control, restores int // slots

	pollers     int // of one queue, at most
	stopTimeout time.Duration
	wakes       int // a second

	beat  time.Duration // between two heartbeats of one window; 0 for what follows from beats
	beats int           // heartbeats of all windows together in a second
}

// tune derives from the number of databases what c does not say.
func tune(databases int, c config.Tuning) tuning {
	wakes := cmp.Or(c.WakesPerSecond, min(max(databases/int(turnAround/time.Second), leastWakes), mostWakes))
	return tuning{
		windows:     cmp.Or(c.Windows, databases+spareWindows),
		control:     cmp.Or(c.Control, min(max(databases, leastControl), mostControl)),
		restores:    cmp.Or(c.Restores, restoresAtOnce),
		pollers:     cmp.Or(c.Pollers, (wakes*int(pollTakes)+int(time.Second)-1)/int(time.Second)),
		stopTimeout: cmp.Or(c.StopTimeout, min(stopLeast+time.Duration(databases)*stopEach, stopMost)),
		wakes:       wakes,
		beat:        c.Heartbeat,
		beats:       cmp.Or(c.HeartbeatsPerSecond, heartbeatsPerSecond),
	}
}

// beatEvery is the least time between two heartbeats of a window, while that many are
// at work and a silent one counts as dead after timeout. It is as short as somebody who
// looks may want it, and longer where all together would be too many, but never so long
// that a window that is well counts as dead.
func (t tuning) beatEvery(windows int, timeout time.Duration) time.Duration {
	most := config.LeastOften(timeout)
	if t.beat > 0 {
		return min(t.beat, most)
	}
	fair := time.Duration(windows) * time.Second / time.Duration(t.beats)
	return min(max(fair, timeout/mostBeats, leastBeat), most)
}

// scaled is for what comes often. Of many pollers restPolls are left while no task comes,
// and the service asks for more when some do. Few stay as they are: whether more are
// needed is looked at ten times a second for each queue, which was a third of all that a
// worker did while its databases rested.
func (t tuning) scaled() worker.PollerBehavior {
	if t.pollers <= fewPollers {
		return constant(t.pollers)
	}
	return worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{
		InitialNumberOfPollers: restPolls, MinimumNumberOfPollers: restPolls, MaximumNumberOfPollers: t.pollers,
	})
}

// forWorkflows is scaled for the two queues of the workflows: that which all workers
// have, and this worker's own, which share those that are constant.
func (t tuning) forWorkflows() worker.PollerBehavior {
	if t.pollers <= fewPollers {
		return constant(2 * t.pollers)
	}
	return t.scaled()
}

// fixed is for what comes seldom and takes long.
func (t tuning) fixed() worker.PollerBehavior { return constant(min(restPolls, t.pollers)) }

func constant(pollers int) worker.PollerBehavior {
	return worker.NewPollerBehaviorSimpleMaximum(worker.PollerBehaviorSimpleMaximumOptions{MaximumNumberOfPollers: pollers})
}
