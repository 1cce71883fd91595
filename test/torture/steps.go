package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// step is something that can happen to a database or to its worker.
type step struct {
	name   string
	weight int // how often, beside the others
	do     func(*rig, *rand.Rand) error
}

// allSteps is set by init, as steps use one another.
var allSteps []step

func init() {
	allSteps = []step{
		{"transaction", 24, (*rig).change},
		{"huge transaction", 1, (*rig).huge},
		{"burst of transactions", 7, (*rig).burst},
		{"rows inserted and deleted", 3, (*rig).regret},
		{"rollback", 4, (*rig).rollBack},
		{"savepoint rolled back", 6, (*rig).savepoint},
		{"schema change", 3, (*rig).schema},
		{"incremental vacuum", 4, (*rig).incrementalVacuum},
		{"vacuum", 3, (*rig).vacuum},
		{"checkpoint", 10, (*rig).checkpoint},
		{"settings", 2, (*rig).settings},
		{"reader begins", 3, (*rig).beginReader},
		{"reader ends", 3, (*rig).endReader},
		{"application opens", 4, (*rig).openApp},
		{"application closes", 4, (*rig).closeApp},
		{"application killed", 4, (*rig).killApp},
		{"application with a shim", 4, (*rig).openShimmed},
		{"all applications close", 3, (*rig).leave},
		{"everything killed", 1, (*rig).killEverything},
		{"worker killed", 3, (*rig).killWorker},
		{"worker stopped", 3, (*rig).stopWorker},
		{"worker closes last", 3, (*rig).restWorker},
		{"worker paused", 2, (*rig).pauseWorker},
		{"worker started", 4, (*rig).wakeWorker},
		{"store goes away", 2, (*rig).storeAway},
		{"store comes back", 4, (*rig).storeBack},
		{"file replaced", 2, (*rig).replaceFile},
		{"file away for a while", 2, (*rig).fileAway},
		{"page size changed", 1, (*rig).changePageSize},
		{"disk fills up", 4, (*rig).fillDisk},
		{"disk has room", 3, (*rig).freeDisk},
		{"nothing", 3, (*rig).idle},
	}
}

func drawStep(r *rand.Rand) step {
	total := 0
	for _, s := range allSteps {
		total += s.weight
	}
	n := r.IntN(total)
	for _, s := range allSteps {
		if n -= s.weight; n < 0 {
			return s
		}
	}
	panic("unreachable: the weights add up to total")
}

// anApp returns an application that is not reading, opening one where there is
// none.
func (r *rig) anApp(random *rand.Rand) (*app, error) {
	var free []*app
	for _, a := range r.apps {
		if !a.reading {
			free = append(free, a)
		}
	}
	if len(free) == 0 {
		return r.open(random)
	}
	return free[random.IntN(len(free))], nil
}

// transact runs statements in one transaction that ends with end. The image
// before it is taken while nobody can write.
func (r *rig) transact(a *app, end string, statements ...string) error {
	if _, err := a.run("BEGIN IMMEDIATE;"); err != nil {
		return r.after(a, "begin", err)
	}
	if err := r.observe(); err != nil {
		return err
	}
	lines, err := a.run(append(statements, end)...)
	if isSQL(err) {
		r.note("%s: %v", a.name, err)
		_, _ = a.run("ROLLBACK;") // which may have happened already
	}
	if err == nil {
		r.tally.add("transaction, " + end)
	}
	r.note("%s: %d statements, %s: %v %v", a.name, len(statements), end, lines, err)
	return r.after(a, "transaction", err)
}

// after looks at how an application fared. That SQLite refuses something, or
// that an application with a shim dies, is part of the plan.
func (r *rig) after(a *app, what string, err error) error {
	switch {
	case err == nil:
		return nil
	case isSQL(err):
		r.note("%s: %s refused: %v", a.name, what, err)
		r.tally.add("refused by SQLite: " + what)
		return nil
	case errors.Is(err, errDied) && (a.shimmed || what == "open" && r.lastFull):
		r.note("%s: died of its shim, or of the full disk, during %s", a.name, what)
		r.tally.add(map[bool]string{true: "application killed by its shim", false: "application could not open on a full disk"}[a.shimmed])
		a.kill()
		r.forget(a)
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (r *rig) forget(gone *app) {
	for i, a := range r.apps {
		if a == gone {
			r.apps = append(r.apps[:i], r.apps[i+1:]...)
			return
		}
	}
}

func (r *rig) change(random *rand.Rand) error {
	a, err := r.anApp(random)
	if err != nil || a == nil {
		return err
	}
	return r.transact(a, "COMMIT;", drawTransaction(random)...)
}

func (r *rig) huge(random *rand.Rand) error {
	a, err := r.anApp(random)
	if err != nil || a == nil {
		return err
	}
	r.tally.add("huge transaction")
	return r.transact(a, "COMMIT;", hugeTransaction()...)
}

func (r *rig) rollBack(random *rand.Rand) error {
	a, err := r.anApp(random)
	if err != nil || a == nil {
		return err
	}
	return r.transact(a, "ROLLBACK;", append([]string{"PRAGMA cache_size=3;"}, drawTransaction(random)...)...)
}

func (r *rig) savepoint(random *rand.Rand) error {
	a, err := r.anApp(random)
	if err != nil || a == nil {
		return err
	}
	r.tally.add("savepoint rolled back")
	return r.transact(a, "COMMIT;", append([]string{"PRAGMA cache_size=3;"}, withSavepoint(random)...)...)
}

func (r *rig) regret(random *rand.Rand) error {
	a, err := r.anApp(random)
	if err != nil || a == nil {
		return err
	}
	r.tally.add("rows inserted and deleted at once")
	return r.transact(a, "COMMIT;", regretted(random)...)
}

func (r *rig) schema(random *rand.Rand) error {
	a, err := r.anApp(random)
	if err != nil || a == nil {
		return err
	}
	n := random.IntN(4)
	return r.transact(a, "COMMIT;", bump,
		fmt.Sprintf("DROP TABLE IF EXISTS extra%d;", (n+1)%4),
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS extra%d AS SELECT * FROM t LIMIT %d;", n, random.IntN(200)))
}

func (r *rig) incrementalVacuum(random *rand.Rand) error {
	a, err := r.anApp(random)
	if err != nil || a == nil {
		return err
	}
	r.tally.add("incremental vacuum")
	return r.transact(a, "COMMIT;", bump, "DELETE FROM u;", fmt.Sprintf("PRAGMA incremental_vacuum(%d);", random.IntN(60)))
}

// alone runs statements that begin and end their transactions themselves.
func (r *rig) alone(a *app, what string, statements ...string) error {
	lines, err := a.run(statements...)
	r.note("%s: %s: %v %v", a.name, what, lines, err)
	if err == nil {
		r.tally.add(what)
	}
	return r.after(a, what, err)
}

func (r *rig) vacuum(random *rand.Rand) error {
	a, err := r.anApp(random)
	if err != nil || a == nil {
		return err
	}
	return r.alone(a, "VACUUM", "VACUUM;")
}

func (r *rig) checkpoint(random *rand.Rand) error {
	a, err := r.anApp(random)
	if err != nil || a == nil {
		return err
	}
	mode := pick(random, "PASSIVE", "FULL", "RESTART", "TRUNCATE")
	lines, err := a.run("PRAGMA wal_checkpoint(" + mode + ");")
	r.note("%s: checkpoint %s: %v %v", a.name, mode, lines, err)
	if err == nil && len(lines) == 1 {
		done := "done"
		if lines[0][0] != '0' {
			done = "busy"
		}
		r.tally.add("checkpoint " + mode + ", " + done)
	}
	return r.after(a, "checkpoint", err)
}

func (r *rig) settings(random *rand.Rand) error {
	a, err := r.anApp(random)
	if err != nil || a == nil {
		return err
	}
	return r.alone(a, "settings changed", drawSettings(random, r.shape)...)
}

func (r *rig) idle(random *rand.Rand) error {
	time.Sleep(time.Duration(random.IntN(250)) * time.Millisecond)
	return nil
}
