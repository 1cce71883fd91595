package main

import (
	"math/rand/v2"
	"strings"
)

// text yields what rows hold: words of a made-up language in random order, which
// LZ4 makes about a third shorter.
type text struct {
	pool   string
	random *rand.Rand
}

// newText makes the words from a fixed seed, and their order from another each
// time.
func newText() *text {
	const words, size = 4096, 8 << 20
	fixed := rand.New(rand.NewPCG(1, 2))
	language := make([]string, words)
	for i := range language {
		word := make([]byte, 3+fixed.IntN(8))
		for j := range word {
			word[j] = byte('a' + fixed.IntN(26))
		}
		language[i] = string(word)
	}
	var b strings.Builder
	for b.Len() < size {
		b.WriteString(language[fixed.IntN(words)])
		b.WriteByte(' ')
	}
	return &text{pool: b.String(), random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
}

// next returns n bytes.
func (t *text) next(n int) string {
	at := t.random.IntN(len(t.pool) - n)
	return t.pool[at : at+n]
}
