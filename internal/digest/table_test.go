package digest_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/digest"
)

const pageSize = 512

// database is pages in memory, page 1 first.
type database [][]byte

func (d database) digest() digest.Digest {
	h := digest.Hasher{PageSize: pageSize}
	for i, page := range d {
		h.Add(uint32(i+1), page)
	}
	return h.Digest(uint32(len(d)))
}

// mutated returns d with pages changed, added or cut off, and the numbers of those
// that an object has to bring.
func (d database) mutated(r *rand.Rand) (database, []uint32) {
	next := make(database, max(1, len(d)+r.IntN(21)-10))
	copy(next, d)
	var changed []uint32
	for i := range next {
		if i >= len(d) || r.IntN(4) == 0 {
			next[i] = randomPage(r)
			changed = append(changed, uint32(i+1))
		}
	}
	return next, changed
}

// fresh returns a database of size pages, and all their numbers.
func fresh(r *rand.Rand, size int) (d database, all []uint32) {
	for i := range size {
		d = append(d, randomPage(r))
		all = append(all, uint32(i+1))
	}
	return d, all
}

func randomPage(r *rand.Rand) []byte {
	b := make([]byte, pageSize)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func mustOpen(t *testing.T, path string) *digest.Table {
	t.Helper()
	table, err := digest.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	return table
}

// mustChange begins the change to d that brings pages.
func mustChange(t *testing.T, table *digest.Table, d database, pages []uint32) *digest.Change {
	t.Helper()
	c, err := table.Begin(pageSize, uint32(len(d)))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		if err := c.Page(p, d[p-1]); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func mustApply(t *testing.T, c *digest.Change) {
	t.Helper()
	if err := c.Apply(); err != nil {
		t.Fatal(err)
	}
}

func TestDigestFollowsEveryChange(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	table := mustOpen(t, filepath.Join(t.TempDir(), "digests"))
	var d database
	for round := range 400 {
		next, pages := d.mutated(r)
		c := mustChange(t, table, next, pages)
		if c.Digest() != next.digest() {
			t.Fatalf("round %d: the change says %s, want %s", round, c.Digest(), next.digest())
		}
		if round > 0 && r.IntN(5) == 0 { // its put failed
			if table.Digest() != d.digest() || !table.Trusted() {
				t.Fatalf("round %d: a change that was not applied shows", round)
			}
			continue
		}
		mustApply(t, c)
		d = next
		if table.Digest() != d.digest() {
			t.Fatalf("round %d: got %s, want %s", round, table.Digest(), d.digest())
		}
	}
}

func TestMatchesTellsWhichPagesDiffer(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	table := mustOpen(t, filepath.Join(t.TempDir(), "digests"))
	d, all := fresh(r, 3)
	mustApply(t, mustChange(t, table, d, all))
	swapped := database{d[0], d[2], d[1], d[2]}
	for i, want := range []bool{true, false, false, false} {
		if got, err := table.Matches(uint32(i+1), swapped[i]); got != want || err != nil {
			t.Errorf("page %d: got %v, %v; want %v", i+1, got, err, want)
		}
	}
	if swapped[:3].digest() == d.digest() {
		t.Error("two pages that change places give the same digest")
	}
}

// TestNothingIsTrustedUnproven cuts, extends and flips the file of a table: it is
// found to be right only where all that counts is as it was.
func TestNothingIsTrustedUnproven(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	path := filepath.Join(t.TempDir(), "digests")
	table := mustOpen(t, path)
	d, all := fresh(r, 100)
	mustApply(t, mustChange(t, table, d, all))
	if err := table.Mark(7); err != nil {
		t.Fatal(err)
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		name string
		make func([]byte) []byte
		want bool
		mark ltx.TXID
	}{
		{name: "as it was", make: func(b []byte) []byte { return b }, want: true, mark: 7},
		{name: "without a file", make: func([]byte) []byte { return nil }},
		{name: "empty", make: func(b []byte) []byte { return b[:0] }},
		{name: "cut in the header", make: func(b []byte) []byte { return b[:100] }},
		{name: "cut in the entries", make: func(b []byte) []byte { return b[:4096+8*len(d)-1] }, mark: 7},
		{name: "one bit of an entry", make: func(b []byte) []byte { b[4096+8*50] ^= 1; return b }, mark: 7},
		{name: "one bit of the mark", make: func(b []byte) []byte { b[16] ^= 1; return b }, want: true},
		{name: "room that does not count", make: func(b []byte) []byte { return append(b, 1, 2, 3) }, want: true, mark: 7},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if b := row.make(bytes.Clone(whole)); b != nil {
				if err := os.WriteFile(path, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			table := mustOpen(t, path)
			if mark, _, err := table.Marked(pageSize); mark != row.mark || err != nil {
				t.Errorf("marked at %d (%v), want %d", mark, err, row.mark)
			}
			got, err := table.Verify(pageSize, uint32(len(d)), d.digest())
			if got != row.want || table.Trusted() != row.want || err != nil {
				t.Errorf("trusted: %v (%v), want %v", got, err, row.want)
			}
		})
	}
}

func TestATableFollowsObjectsFromItsMark(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	path := filepath.Join(t.TempDir(), "digests")
	table := mustOpen(t, path)
	first, all := fresh(r, 30)
	mustApply(t, mustChange(t, table, first, all))
	if err := table.Mark(1); err != nil {
		t.Fatal(err)
	}
	states, objects := []database{first}, [][]uint32{nil}
	for i := range 20 {
		next, pages := states[i].mutated(r)
		states, objects = append(states, next), append(objects, pages)
	}
	last := states[20]
	for _, i := range []int{1, 2, 9, 7} { // what of it has reached the disk, in no order
		mustApply(t, mustChange(t, table, states[i], objects[i]))
	}
	_ = table.Close()

	table = mustOpen(t, path)
	txid, commit, err := table.Marked(pageSize)
	if txid != 1 || err != nil {
		t.Fatalf("marked at %d (%v), want 1", txid, err)
	}
	table.Follow(pageSize, commit)
	for i := 1; i < len(states); i++ {
		mustWalk(t, table, states[i], objects[i])
	}
	if ok, err := table.Verify(pageSize, uint32(len(last)), last.digest()); !ok || err != nil {
		t.Errorf("after all objects: trusted %v (%v)", ok, err)
	}
}

func mustWalk(t *testing.T, table *digest.Table, d database, pages []uint32) {
	t.Helper()
	c, err := table.Step(uint32(len(d)))
	for _, p := range pages {
		err = errors.Join(err, c.Page(p, d[p-1]))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestAFileThatIsCutUnderTheTableIsAnError(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	path := filepath.Join(t.TempDir(), "digests")
	table := mustOpen(t, path)
	d := database{randomPage(r)}
	mustApply(t, mustChange(t, table, d, []uint32{1}))
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Matches(1, d[0]); err == nil || table.Trusted() {
		t.Errorf("got %v, trusted %v; want an error and no trust", err, table.Trusted())
	}
}

func TestWithoutRoomOnDiskDigestsStayInMemory(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	path := filepath.Join(t.TempDir(), "digests")
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	table, err := digest.Open(path)
	if err == nil || table == nil {
		t.Fatalf("got %v, %v; want an error that tells, and a table", table, err)
	}
	d, all := fresh(r, 5)
	mustApply(t, mustChange(t, table, d, all))
	if err := table.Mark(1); err == nil {
		t.Error("marked without a file")
	}
	next, pages := d.mutated(r)
	mustApply(t, mustChange(t, table, next, pages))
	if table.Digest() != next.digest() {
		t.Error("the digest in memory is wrong")
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := table.Mark(2); err != nil {
		t.Errorf("with room again: %v", err)
	}
	_ = table.Close()
	if ok, err := mustOpen(t, path).Verify(pageSize, uint32(len(next)), next.digest()); !ok || err != nil {
		t.Errorf("brought back to disk: %v (%v)", ok, err)
	}
}

// FuzzTable opens files with any content. Nothing in them may be trusted unless
// it adds up to the digest that was asked for.
func FuzzTable(f *testing.F) {
	f.Add([]byte(nil), uint32(1))
	f.Add(bytes.Repeat([]byte{1}, 4096+8*4), uint32(4))
	f.Fuzz(func(t *testing.T, content []byte, commit uint32) {
		path := filepath.Join(t.TempDir(), "digests")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		table := mustOpen(t, path)
		if _, _, err := table.Marked(pageSize); err != nil {
			t.Fatal(err)
		}
		if ok, err := table.Verify(pageSize, commit, 42); ok || err != nil {
			t.Fatalf("trusted: %v (%v)", ok, err)
		}
		d := database{bytes.Repeat([]byte{9}, pageSize)}
		mustApply(t, mustChange(t, table, d, []uint32{1}))
		if err := table.Mark(3); err != nil || table.Digest() != d.digest() {
			t.Fatalf("made anew: %s (%v), want %s", table.Digest(), err, d.digest())
		}
	})
}
