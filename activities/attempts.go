package activities

import "sync"

// attempts remembers, by database, the Sync activities at work in this process
// and how the failures stood when the last one ended.
type attempts struct {
	mu      sync.Mutex
	of      map[string]*presence
	working int // attempts under way, of all databases
}

type presence struct {
	working int // attempts under way; two when one of them is thought to be dead
	window  int // that beat belongs to
	beat    *Beat
}

// enter counts one more attempt and returns what takes it back.
func (a *attempts) enter(name string) (leave func()) {
	add := func(n int) { a.change(name, func(p *presence) { p.working += n; a.working += n }) }
	add(1)
	return func() { add(-1) }
}

// leave keeps how the failures stand after an attempt; nil says that there are
// none.
func (a *attempts) leave(name string, window int, beat *Beat) {
	a.change(name, func(p *presence) { p.window, p.beat = window, beat })
}

// any tells whether an attempt is at work.
func (a *attempts) any(name string) (yes bool) {
	a.change(name, func(p *presence) { yes = p.working > 0 })
	return yes
}

// atWork returns how many attempts are under way.
func (a *attempts) atWork() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.working
}

// left returns how the failures stood after the window's last attempt; nil when
// this process has seen none of it that failed.
func (a *attempts) left(name string, window int) (beat *Beat) {
	a.change(name, func(p *presence) {
		if p.window == window {
			beat = p.beat
		}
	})
	return beat
}

// change lets do see and change what is known of a database, and forgets it when
// that is nothing.
func (a *attempts) change(name string, do func(*presence)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.of[name]
	if p == nil {
		p = &presence{}
	}
	do(p)
	if p.working == 0 && p.beat == nil {
		delete(a.of, name)
		return
	}
	if a.of == nil {
		a.of = map[string]*presence{}
	}
	a.of[name] = p
}
