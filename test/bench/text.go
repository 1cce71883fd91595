package main

import (
	"math/rand/v2"
	"strings"
)

// text yields what rows hold: words of a made-up language, of which some are as common as
// in a real one, so that LZ4 makes a page of them about a third shorter.
type text struct {
	pool   string
	random *rand.Rand
}

// newText makes the words from a fixed seed, and what is read of them from another each
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
	common := rand.NewZipf(fixed, 1.1, 1, words-1)
	var b strings.Builder
	for b.Len() < size {
		b.WriteString(language[common.Uint64()])
		b.WriteByte(' ')
	}
	return &text{pool: b.String(), random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
}

// next returns n bytes.
func (t *text) next(n int) string {
	at := t.random.IntN(len(t.pool) - n)
	return t.pool[at : at+n]
}
