package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-db/holdfast/internal/wal"
)

func (r *rig) killWorker(random *rand.Rand) error {
	if r.worker == nil {
		return nil
	}
	time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
	r.worker.kill()
	r.worker = nil
	r.tally.add("worker killed")
	return nil
}

func (r *rig) stopWorker(*rand.Rand) error {
	if r.worker == nil {
		return nil
	}
	err := r.worker.stop()
	r.worker = nil
	r.tally.add("worker stopped in order")
	return err
}

// restWorker lets the worker be the last to close the database, in order, so that
// the next one can tell by the file alone whether anything has changed.
func (r *rig) restWorker(random *rand.Rand) error {
	if r.worker == nil {
		return nil
	}
	if doomed, err := r.doomed(); doomed || err != nil {
		return err
	}
	if err := errors.Join(r.closeAll(random), r.stopWorker(random)); err != nil {
		return err
	}
	r.tally.add("worker closed last")
	switch random.IntN(4) {
	case 0:
		if err := r.replaceFile(random); err != nil {
			return err
		}
	case 1, 2:
		if err := errors.Join(r.change(random), r.change(random), r.leave(random)); err != nil {
			return err
		}
	}
	return r.startWorker()
}

// doomed tells whether the database would be lost with the last process that has it
// open, whoever that is: SQLite 3.40 has left a log that recovery cannot read to its
// end, and the full disk keeps the last one to close from copying it. What it has
// copied of it before makes no sense without the rest.
func (r *rig) doomed() (bool, error) {
	if !r.lastFull {
		return false, nil
	}
	l, err := r.lookAtLog()
	if err != nil || !l.broken || l.copied == l.frames {
		return false, err
	}
	r.note("nobody may leave: the log cannot be recovered")
	r.tally.add("log broken on a full disk, all stay")
	return true, nil
}

// mortal is doomed for a crash, in which nobody copies anything, whatever room there is.
// A log of which nothing was copied loses its last transactions then, no more.
func (r *rig) mortal() (bool, error) {
	l, err := r.lookAtLog()
	if err != nil || !l.broken {
		return false, err
	}
	if l.copied > 0 && l.copied < l.frames {
		r.note("nobody may die: the log cannot be recovered, and %d of its %d frames are copied", l.copied, l.frames)
		r.tally.add("log broken and copied in part, all live")
		return true, nil
	}
	r.tally.add(brokenAtDeath)
	return false, nil
}

// logLook is what can be seen of the log.
type logLook struct {
	broken         bool // recovery could not read it to its end
	frames, copied int64
}

// lookAtLog looks for what only SQLite 3.40 leaves.
func (r *rig) lookAtLog() (l logLook, err error) {
	if !r.old || r.observer == nil {
		return l, nil
	}
	lines, err := r.observer.run("PRAGMA wal_checkpoint(NOOP)")
	if err != nil || len(lines) != 1 {
		return l, err
	}
	var busy int64
	if _, err := fmt.Sscanf(lines[0], "%d|%d|%d", &busy, &l.frames, &l.copied); err != nil || l.frames <= 0 {
		return l, err
	}
	f, err := os.Open(r.path() + "-wal")
	if err != nil {
		return l, err
	}
	defer f.Close() //nolint:errcheck // only read
	h, err := wal.ReadHeader(f)
	if errors.Is(err, wal.ErrNoHeader) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	changes, err := wal.Scan(f, h, 0, h.Chain, uint32(l.frames), 0)
	if err != nil { // it was started over just now
		r.note("the log was not judged: %v", err)
	}
	l.broken = changes.Broken
	return l, nil
}

func (r *rig) pauseWorker(*rand.Rand) error {
	if r.worker == nil || r.paused {
		return nil
	}
	r.worker.pause()
	r.paused = true
	r.tally.add("worker paused")
	return nil
}

// wakeWorker starts a worker that is down, and lets one go on that is paused.
func (r *rig) wakeWorker(*rand.Rand) error {
	if r.worker == nil {
		return r.startWorker()
	}
	r.worker.order(orderResume)
	r.paused = false
	return nil
}

func (r *rig) storeAway(*rand.Rand) error {
	if r.away {
		return nil
	}
	r.away = true
	r.tally.add("store away")
	if r.worker != nil {
		r.worker.order(orderAway)
	}
	return nil
}

func (r *rig) storeBack(*rand.Rand) error {
	r.away = false
	if r.worker != nil {
		r.worker.order(orderBack)
	}
	return nil
}

// crashObserver closes the observer without the checkpoint that the last
// connection to close makes, and leaves the log. A shared lock on the database
// file, that belongs to a descriptor of its own, lets SQLite think that it is not
// the last.
func (r *rig) crashObserver() error {
	f, err := os.Open(r.path())
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	l := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart, Start: 0x40000002, Len: 510}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l); err != nil {
		return err
	}
	return r.unobserve()
}

// replaceFile puts another database in place of this one, as somebody does who
// restores a copy: the applications have ended, and all of the old log is in the
// old file.
func (r *rig) replaceFile(random *rand.Rand) error {
	if r.lastFull {
		return nil
	}
	complete, err := r.completeFile(random)
	if err != nil || !complete {
		return err
	}
	other := r.path() + ".new"
	s := r.shape
	s.pageSize, s.autoVacuum = pick(random, s.pageSize, 512<<random.IntN(8)), random.IntN(3)
	if err := newDatabase(other, s, r.epoch+1, 1+random.IntN(1500)); err != nil {
		return err
	}
	r.epoch++
	r.note("replaced by epoch %d, pages of %d bytes", r.epoch, s.pageSize)
	r.tally.add("file replaced")
	return r.swap(other, random)
}

// swap gives the file other the database's name, in one of the ways in which
// people do that.
func (r *rig) swap(other string, random *rand.Rand) error {
	if way := random.IntN(3); way == 0 {
		if err := removeLog(r.path()); err != nil {
			return err
		}
		time.Sleep(time.Duration(pick(random, 0, 0, 5, 40)) * time.Millisecond)
		return os.Rename(other, r.path())
	} else if way == 1 || r.worker != nil { // who reads a file that is being copied sees no database
		if err := os.Rename(other, r.path()); err != nil {
			return err
		}
		return removeLog(r.path())
	}
	r.tally.add("file copied over in place")
	if out, err := exec.Command("cp", other, r.path()).CombinedOutput(); err != nil {
		return fmt.Errorf("cp: %w: %s", err, out)
	}
	return errors.Join(removeLog(r.path()), os.Remove(other))
}

// fileAway moves the database out of the worker's sight and back.
func (r *rig) fileAway(random *rand.Rand) error {
	if r.lastFull {
		return nil
	}
	complete, err := r.completeFile(random)
	if err != nil || !complete {
		return err
	}
	elsewhere := r.path() + ".away"
	if err := os.Rename(r.path(), elsewhere); err != nil {
		return err
	}
	if err := removeLog(r.path()); err != nil {
		return err
	}
	time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
	r.tally.add("file away for a while")
	return os.Rename(elsewhere, r.path())
}

// completeFile ends all applications and tells whether all of the log is in the
// database file then.
func (r *rig) completeFile(random *rand.Rand) (bool, error) {
	if err := r.endReader(random); err != nil {
		return false, err
	}
	a, err := r.anApp(random)
	if err != nil || a == nil {
		return false, err
	}
	lines, err := a.run(".timeout 3000", "PRAGMA wal_checkpoint(TRUNCATE);", ".timeout 300")
	r.note("%s: checkpoint before the file is complete: %v %v", a.name, lines, err)
	if err := r.after(a, "checkpoint", err); err != nil {
		return false, err
	}
	if err := r.closeAll(random); err != nil {
		return false, err
	}
	info, err := os.Stat(r.path() + "-wal")
	if err == nil && info.Size() > 0 {
		r.note("the log still has %d bytes", info.Size())
		r.tally.add("file not complete, not replaced")
		return false, nil
	}
	return true, nil
}

func removeLog(path string) error {
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// changePageSize takes the database out of log mode and back, with another page
// size in between. SQLite refuses that while anybody else is connected, so that
// the worker has to be let go first; where it is not, the refusal is the test.
func (r *rig) changePageSize(random *rand.Rand) error {
	if doomed, err := r.doomed(); doomed || err != nil {
		return err
	}
	if random.IntN(4) != 0 && r.worker != nil {
		if err := pick(random, r.stopWorker, r.killWorker)(random); err != nil {
			return err
		}
	}
	if err := r.closeAll(random); err != nil {
		return err
	}
	a, err := r.open(random)
	if err != nil || a == nil {
		return err
	}
	lines, err := a.run("PRAGMA journal_mode=DELETE;")
	r.note("%s: journal_mode=DELETE: %v %v", a.name, lines, err)
	if err != nil || strings.Join(lines, "") != "delete" {
		r.tally.add("log mode not left")
		return r.after(a, "journal mode", err)
	}
	size := 512 << random.IntN(8)
	r.tally.add("log mode left and taken again")
	for _, statements := range [][]string{
		drawTransaction(random),
		{fmt.Sprintf("PRAGMA page_size=%d;", size), "VACUUM;"},
		{"PRAGMA journal_mode=WAL;"},
	} {
		if err := r.alone(a, "page size change", statements...); err != nil {
			return err
		}
		if err := r.observe(); err != nil {
			return err
		}
	}
	return nil
}

// fillDisk leaves no room on the database's disk.
func (r *rig) fillDisk(random *rand.Rand) error {
	if r.disk == nil || r.lastFull {
		return nil
	}
	leave := pick(random, 0, 0, 16<<10, 200<<10, 1<<20, 3<<20)
	r.lastFull = true
	r.tally.add("disk full")
	if random.IntN(2) == 0 { // so that what waits has to go to the spool
		if err := r.storeAway(random); err != nil {
			return err
		}
	}
	return r.disk.fill(leave)
}

func (r *rig) freeDisk(*rand.Rand) error {
	if r.disk == nil || !r.lastFull {
		return nil
	}
	if err := r.disk.free(); err != nil {
		return err
	}
	r.lastFull = false
	if r.worker != nil {
		r.worker.order(orderNow)
	}
	return nil
}
