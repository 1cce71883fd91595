package source

import "time"

const (
	// indexHead is what comes first in the index, as SQLite's file format says: the
	// header twice, which each commit changes, and what checkpoints and read marks change.
	indexHead = 136

	// calmFor is how long an index that stays as it is stands for a look at all else:
	// files under other names, say. A pass looks at all of it, too.
	calmFor = time.Second
)

// calm is an index with which nothing waited and nothing was to be done.
type calm struct {
	head  [indexHead]byte
	since time.Time // zero for none
}

// head reads what changes in the index whenever something happens to the log.
func (db *DB) head() (head [indexHead]byte, ok bool) {
	n, err := db.shm.ReadAt(head[:], 0)
	return head, err == nil && n == len(head)
}

// still tells whether the last look found nothing to do, and nothing has happened since.
func (db *DB) still(head [indexHead]byte) bool {
	return time.Since(db.calm.since) < calmFor && head == db.calm.head && !db.checkpointing()
}
