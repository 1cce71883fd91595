package digest

import "github.com/superfly/ltx"

// maxHeld is how many new digests a Change keeps until it is applied; beyond that
// they go into the table at once. 16 bytes each.
const maxHeld = 512 << 10

// Change is what one object on its way to the replica does to the table: nothing,
// until it is applied. One that is given up is just forgotten.
type Change struct {
	t      *Table
	commit uint32
	sum    Sum
	held   []held
	direct bool // entries go into the table at once, which is worth nothing until Apply
}

type held struct {
	pgno   uint32
	digest uint64
}

// Begin starts the change to a database of commit pages. With a table that is not
// trusted, or has another page size, the change must bring all of them; else those
// that differ, and all by which the database became longer.
func (t *Table) Begin(pageSize, commit uint32) (*Change, error) {
	if !t.trusted || t.pageSize != pageSize {
		t.pageSize, t.commit, t.sum = pageSize, 0, 0
		t.trusted = false
	}
	return t.begin(commit)
}

// Step is Begin for a table that follows objects from its mark on and has not
// been verified. Its pages are in the table at once.
func (t *Table) Step(commit uint32) (*Change, error) { return t.begin(commit) }

func (t *Table) begin(commit uint32) (*Change, error) {
	if err := t.grow(commit); err != nil {
		return nil, err
	}
	c := &Change{t: t, commit: commit, sum: t.sum, direct: !t.trusted}
	lock := ltx.LockPgno(t.pageSize)
	err := t.guard(func() {
		for pgno := commit + 1; pgno <= t.commit; pgno++ {
			if pgno != lock {
				c.sum -= Sum(t.entry(pgno))
			}
		}
	})
	return c, err
}

// Page takes page pgno of the object, each at most once.
func (c *Change) Page(pgno uint32, data []byte) error {
	d := Page(pgno, data)
	if len(c.held) >= maxHeld && !c.direct {
		if err := c.spill(); err != nil {
			return err
		}
	}
	return c.t.guard(func() {
		if pgno <= c.t.commit {
			c.sum -= Sum(c.t.entry(pgno))
		}
		c.sum += Sum(d)
		if c.direct {
			c.t.setEntry(pgno, d)
		} else {
			c.held = append(c.held, held{pgno, d})
		}
	})
}

// spill gives up the old state: from here on the table is worth something only
// when the change is applied.
func (c *Change) spill() error {
	c.t.trusted, c.direct = false, true
	return c.flush()
}

func (c *Change) flush() error {
	err := c.t.guard(func() {
		for _, h := range c.held {
			c.t.setEntry(h.pgno, h.digest)
		}
	})
	c.held = nil
	return err
}

// Digest returns the digest of the database with all pages that were taken.
func (c *Change) Digest() Digest { return Of(c.sum, c.t.pageSize, c.commit) }

// Apply makes the change: the replica holds the object.
func (c *Change) Apply() error {
	if err := c.flush(); err != nil {
		return err
	}
	c.t.commit, c.t.sum, c.t.trusted = c.commit, c.sum, true
	return nil
}
