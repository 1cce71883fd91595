package main

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/holdfast-db/holdfast/test/shim"
)

// mostApps is how many applications have the database open at a time.
const mostApps = 4

// open starts an application. It returns nil for one whose shim kills it before
// it has begun.
func (r *rig) open(random *rand.Rand, env ...string) (*app, error) {
	r.started++
	shell := r.old && random.IntN(2) == 0
	name := fmt.Sprintf("app %d", r.started)
	if shell {
		name += " (old)"
	}
	a, err := startApp(name, shell, r.path(), env...)
	if err != nil {
		return nil, err
	}
	r.apps = append(r.apps, a)
	statements := append([]string{fmt.Sprintf(".timeout %d", patience)}, drawSettings(random, r.shape)...)
	lines, err := a.run(statements...)
	r.note("%s: opened with %v: %v %v", name, env, lines, err)
	if err = r.after(a, "open", err); err != nil {
		return nil, err
	}
	r.tally.add(map[bool]string{true: "application opened, old SQLite", false: "application opened"}[shell])
	if len(r.apps) == 0 || r.apps[len(r.apps)-1] != a {
		return nil, nil
	}
	return a, nil
}

func (r *rig) openApp(random *rand.Rand) error {
	if len(r.apps) >= mostApps {
		return nil
	}
	_, err := r.open(random)
	return err
}

// openShimmed opens an application of which the n-th write or sync fails or
// kills it, and lets it work. When a sync of the log does that, a transaction
// stands in it that SQLite does not count as committed; what follows waits until
// the worker may have met it.
func (r *rig) openShimmed(random *rand.Rand) error {
	if len(r.apps) >= mostApps {
		return nil
	}
	action, call, suffix, n := pick(random, shim.Kill, shim.Fail), shim.Sync, "-wal", 1+random.IntN(6)
	if random.IntN(3) == 0 {
		call, suffix, n = shim.Write, pick(random, "-wal", "app.db"), 1+random.IntN(40)
	}
	a, err := r.open(random, shim.Env(r.shim, action, call, suffix, n)...)
	if err != nil || a == nil {
		return err
	}
	r.tally.add("application with a shim")
	if err := r.alone(a, "syncs each transaction", "PRAGMA synchronous=FULL;"); err != nil {
		return err
	}
	for range 1 + random.IntN(8) {
		if err := r.transact(a, "COMMIT;", smallTransaction(random)...); err != nil {
			return err
		}
		time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
		if err := r.observe(); err != nil || !r.has(a) {
			return err
		}
	}
	return nil
}

func (r *rig) has(a *app) bool {
	for _, one := range r.apps {
		if one == a {
			return true
		}
	}
	return false
}

// closeApp ends an application in order.
func (r *rig) closeApp(random *rand.Rand) error {
	if len(r.apps) == 0 {
		return nil
	}
	return r.close(r.apps[random.IntN(len(r.apps))])
}

func (r *rig) close(a *app) error {
	r.forget(a)
	err := a.quit()
	r.note("%s: closed: %v", a.name, err)
	r.tally.add("application closed")
	if err != nil && !a.shimmed && !a.shell { // the sqlite3 program ends with 1 when it has met any error
		return fmt.Errorf("%s: %w", a.name, err)
	}
	return nil
}

// leave ends all applications in order, and the observer, unless the database would be
// lost with the last of them.
func (r *rig) leave(random *rand.Rand) error {
	if doomed, err := r.doomed(); doomed || err != nil {
		return err
	}
	return r.closeAll(random)
}

// closeAll ends all applications in order, and the observer: if the worker is
// not there, the last one deletes the log.
func (r *rig) closeAll(*rand.Rand) error {
	for len(r.apps) > 0 {
		if err := r.close(r.apps[0]); err != nil {
			return err
		}
	}
	if err := r.observe(); err != nil {
		return err
	}
	r.tally.add("all closed")
	return r.unobserve()
}

// killApp kills an application in the middle of a transaction, or of its commit.
func (r *rig) killApp(random *rand.Rand) error {
	a, err := r.anApp(random)
	if err != nil || a == nil {
		return err
	}
	if _, err := a.run("BEGIN IMMEDIATE;"); err != nil {
		return r.after(a, "begin", err)
	}
	if err := r.observe(); err != nil {
		return err
	}
	statements := append([]string{"PRAGMA cache_size=3;"}, drawTransaction(random)...)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = a.run(append(statements, "COMMIT;")...) // which the kill cuts off, or not
	}()
	time.Sleep(time.Duration(random.IntN(12_000)) * time.Microsecond)
	_ = a.cmd.Process.Kill()
	<-ended
	a.kill()
	r.forget(a)
	r.note("%s: killed", a.name)
	r.tally.add("application killed")
	return nil
}

func (r *rig) beginReader(random *rand.Rand) error {
	a, err := r.anApp(random)
	if err != nil || a == nil {
		return err
	}
	_, err = a.run("BEGIN;", "SELECT count(*) FROM t;")
	if err == nil {
		a.reading = true
		r.tally.add("long reader")
	}
	r.note("%s: reads: %v", a.name, err)
	return r.after(a, "read", err)
}

func (r *rig) endReader(random *rand.Rand) error {
	for _, a := range r.apps {
		if a.reading {
			a.reading = false
			_, err := a.run("SELECT count(*) FROM u;", "COMMIT;")
			r.note("%s: has read: %v", a.name, err)
			return r.after(a, "read", err)
		}
	}
	return nil
}

// killEverything kills all that has the database open, so that the next to open
// it must recover the log.
func (r *rig) killEverything(*rand.Rand) error {
	if err := r.observe(); err != nil {
		return err
	}
	if r.worker != nil { // first, as it may be copying the log
		r.worker.kill()
		r.worker = nil
	}
	if mortal, err := r.mortal(); mortal || err != nil {
		return err
	}
	signalled := make([]*app, 0, len(r.apps))
	for _, a := range r.apps {
		_ = a.cmd.Process.Signal(syscall.SIGKILL)
		signalled = append(signalled, a)
	}
	for _, a := range signalled {
		a.kill()
	}
	r.apps = nil
	r.note("everything killed")
	r.tally.add("everything killed")
	return r.crashObserver()
}
