package host

import (
	"context"
	"maps"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast/internal/source"
)

const (
	// sweepEvery is how often the files of a parked database are looked at though
	// nothing was told of them; where nothing can be told, blindEvery.
	sweepEvery = 30 * time.Second
	blindEvery = 2 * time.Second

	// coldSize is the size of a database for which cold-after holds: a larger one,
	// which takes longer to read when it is opened again, stays open in proportion.
	coldSize = 256 << 20
)

// tellingAfter is how long files must have rested before their times tell whether
// anything was committed since: until then a transaction may be in the log that is not
// committed yet, and the times of a coarse file system may be those of a later write. A
// variable for tests alone.
var tellingAfter = time.Minute

// looks are the times after a first sign at which a parked database is looked at. A
// transaction is written to the log some time before it is committed, and of the commit
// itself nothing can be told: until a slow disk has synced the log, for example.
var looks = []time.Duration{0, 10 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond, time.Second, 5 * time.Second, 15 * time.Second}

// stir is a parked slot that may have changed.
type stir struct {
	at   time.Time
	next int // of looks
}

// lookout has the parked slots of one directory.
type lookout struct {
	slots map[string]*slot // by the database file's name
	stop  func()           // nil where the directory cannot be watched
}

// watch begins to wait for a change of a parked database. A change between the last
// pass and the first look is seen by the latter.
func (h *Host) watch(s *slot) {
	dir, base := filepath.Split(source.Real(s.wanted().Path))
	h.watching.Lock()
	defer h.watching.Unlock()
	l := h.lookouts[dir]
	if l == nil {
		l = &lookout{slots: make(map[string]*slot)}
		h.lookouts[dir] = l
	}
	l.slots[base], s.watched = s, dir
	if l.stop == nil && h.opts.Watcher != nil {
		stop, err := h.opts.Watcher.Dir(dir, func(name string) { h.told(dir, name) })
		if err != nil {
			s.grumble("directory is not watched; looking at it now and then", err)
		}
		l.stop = stop
	}
	h.stirring[s] = &stir{at: time.Now()}
	h.poke()
}

// unwatch ends the wait.
func (h *Host) unwatch(s *slot) {
	h.watching.Lock()
	defer h.watching.Unlock()
	delete(h.stirring, s)
	l := h.lookouts[s.watched]
	if l == nil {
		return
	}
	maps.DeleteFunc(l.slots, func(_ string, one *slot) bool { return one == s })
	if len(l.slots) > 0 {
		return
	}
	delete(h.lookouts, s.watched)
	if l.stop != nil {
		l.stop()
	}
}

// told is called when something in dir may have changed; anything, if name is empty.
func (h *Host) told(dir, name string) {
	h.watching.Lock()
	defer h.watching.Unlock()
	l := h.lookouts[dir]
	if l == nil {
		return
	}
	if name == "" { // and maybe nothing more is told of it
		for _, s := range l.slots {
			h.stirs(s)
		}
		return
	}
	if s := l.slots[strings.TrimSuffix(name, "-wal")]; s != nil {
		h.stirs(s)
	}
}

// stirs has a slot looked at. The caller holds h.watching.
func (h *Host) stirs(s *slot) {
	h.stirring[s] = &stir{at: time.Now()}
	h.poke()
}

// poke wakes lookAround.
func (h *Host) poke() {
	select {
	case h.poked <- struct{}{}:
	default:
	}
}

// lookAround looks at parked databases that may have changed, until ctx ends.
func (h *Host) lookAround(ctx context.Context) {
	defer h.attending.Done()
	timer := time.NewTimer(blindEvery)
	defer timer.Stop()
	swept := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.poked:
		case <-timer.C:
		}
		if now := time.Now(); now.Sub(swept) >= blindEvery {
			h.sweep(now)
			swept = now
		}
		timer.Reset(h.lookAtStirred(ctx))
	}
}

// lookAtStirred looks at those for which it is time, and returns after how long the
// next look is due.
func (h *Host) lookAtStirred(ctx context.Context) time.Duration {
	now, wait := time.Now(), blindEvery
	var due []*slot
	h.watching.Lock()
	for s, st := range h.stirring {
		for st.next < len(looks) && now.Sub(st.at) >= looks[st.next] {
			if st.next++; len(due) == 0 || due[len(due)-1] != s {
				due = append(due, s)
			}
		}
		if st.next == len(looks) {
			delete(h.stirring, s)
			continue
		}
		wait = min(wait, looks[st.next]-now.Sub(st.at))
	}
	h.watching.Unlock()
	for _, s := range due {
		if ctx.Err() == nil {
			s.lookIfParked()
		}
	}
	return max(wait, time.Millisecond)
}

// sweep has the databases looked at that nothing is told of, and all of them now and
// then, and closes those that have rested for long.
func (h *Host) sweep(now time.Time) {
	all := now.Sub(h.swept) >= sweepEvery
	if all {
		h.swept = now
	}
	var due []*slot
	h.watching.Lock()
	for _, l := range h.lookouts {
		for _, s := range l.slots {
			if all || l.stop == nil {
				due = append(due, s)
			}
		}
	}
	h.watching.Unlock()
	for _, s := range due {
		s.lookIfParked()
	}
	for _, s := range h.all() {
		if s.hasRested(now, 0) && s.tryLock() {
			if s.hasRested(now, source.SizeOf(s.opened.Path)) {
				s.freeze()
			}
			s.unlock()
		}
	}
}

// lookIfParked ends the rest of a database that has changed.
func (s *slot) lookIfParked() {
	if s.resting() != parked || !s.tryLock() {
		return
	}
	changed, err := s.look()
	s.unlock()
	if changed || err != nil {
		s.rouse()
	}
}

// Resting returns how many databases rest until they change, and how many there are.
func (h *Host) Resting() (resting, all int) {
	slots := h.all()
	for _, s := range slots {
		if s.resting() == parked {
			resting++
		}
	}
	return resting, len(slots)
}

// settle leaves an open database so that its application does not notice us, and notes
// how it is. The caller holds busy.
func (s *slot) settle() {
	if s.source == nil {
		return
	}
	var err error
	if s.light, err = s.source.Settle(); err != nil {
		s.grumble("not settled", err)
	}
	s.sure = false
	if s.before, err = source.LookOutside(s.opened.Path); err != nil {
		s.before = source.Outside{} // which the next look tells from any other
	}
}

// careForParked settles a database in which a reader was in the way of that. The caller
// holds busy.
func (s *slot) careForParked() {
	if s.source == nil || s.light {
		return
	}
	if changed, err := s.look(); !changed && err == nil {
		s.settle()
	}
}

// look tells whether something waits to be shipped, or the file was written to, which
// others than SQLite do, too. The caller holds busy.
func (s *slot) look() (changed bool, err error) {
	now, err := source.LookOutside(s.opened.Path)
	switch {
	case err != nil:
		return true, err
	case s.source == nil:
		return !now.Equal(s.left), nil
	case s.light && s.sure && now.Equal(s.before):
		return false, nil
	}
	rested := now.Rested(time.Now()) >= tellingAfter
	waiting, err := s.tend()
	switch {
	case err != nil || waiting.Bytes > 0:
		return waiting.Bytes > 0, err
	case now.SameFile(s.before):
		s.before, s.sure = now, rested
		return false, nil
	}
	s.shipper.Suspect()
	return true, nil
}

// rouse lets a parked database go on: at once and on its own, until the window comes
// that the news of it brings.
func (s *slot) rouse() {
	s.host.unwatch(s)
	s.mu.Lock()
	if s.rest != parked {
		s.mu.Unlock()
		return
	}
	now := time.Now()
	s.rest, s.due, s.roused, s.changed = expecting, now, true, now
	s.bridge = now.Add(bridgeBeats * s.orders.Rules.Heartbeat)
	s.mu.Unlock()
	s.host.opts.Attendance.Stirred(s.wanted().Name)
	s.host.hurry()
}

// hasRested tells whether an open database of size bytes has rested for long enough to be
// closed.
func (s *slot) hasRested(now time.Time, size int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	after := float64(s.orders.Rules.ColdAfter) * max(1, float64(size)/coldSize)
	return s.rest == parked && !s.id.IsZero() && after > 0 && float64(now.Sub(s.changed)) >= after
}

// freeze closes a database that has rested for long: what is left is a watch on its
// directory. A change while it is being closed ends the rest. The caller holds busy.
func (s *slot) freeze() {
	if s.source == nil {
		return
	}
	before, err := source.LookOutside(s.opened.Path)
	if err != nil {
		return // which the next look meets
	}
	if changed, err := s.look(); changed || err != nil {
		return
	}
	stamp, err := s.source.Close()
	s.source, s.before = nil, source.Outside{}
	s.setID(source.FileID{})
	if err == nil {
		err = s.shipper.SaveClosed(stamp)
	}
	if err != nil {
		s.grumble("closed badly", err)
	}
	if err := s.closeAll(); err != nil {
		s.grumble("closed badly", err)
	}
	after, err := source.LookOutside(s.opened.Path)
	if err == nil && (after.Equal(before) || after.Is(stamp)) {
		s.left = after
	}
}
