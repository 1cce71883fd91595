package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
)

// tally counts what really happened, so that one sees that nothing was left out.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func newTally() *tally { return &tally{counts: make(map[string]int)} }

func (t *tally) add(what string) { t.addN(what, 1) }

func (t *tally) addN(what string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[what] += n
}

func (t *tally) get(what string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts[what]
}

// merge adds all that o has counted.
func (t *tally) merge(o *tally) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for what, n := range o.counts {
		t.addN(what, n)
	}
}

func (t *tally) print(w io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, what := range slices.Sorted(maps.Keys(t.counts)) {
		fmt.Fprintf(w, "%8d  %s\n", t.counts[what], what)
	}
}

// sumOf adds what begins with a word.
func (t *tally) sumOf(begin string) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for what, count := range t.counts {
		if strings.HasPrefix(what, begin) {
			n += count
		}
	}
	return n
}
