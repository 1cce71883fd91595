package ledger

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"time"
)

// Entry is what a writer notes of an order, outside the database, once its
// commit has returned.
type Entry struct {
	Order
	Begun, Committed time.Time
}

// Note writes an entry to a journal.
func Note(w io.Writer, e Entry) error {
	_, err := fmt.Fprintf(w, "%d %s %d %d\n", e.Number, e.Hash, e.Begun.UnixNano(), e.Committed.UnixNano())
	return err
}

// ReadJournal reads a writer's journal. A last line that was cut off is left out.
func ReadJournal(path string) ([]Entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	var entries []Entry
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e Entry
		var begun, committed int64
		if n, _ := fmt.Sscan(lines.Text(), &e.Number, &e.Hash, &begun, &committed); n != 4 {
			break
		}
		e.Begun, e.Committed = time.Unix(0, begun), time.Unix(0, committed)
		entries = append(entries, e)
	}
	return entries, nil
}

// At tells which orders a state of the database at some moment may end with: all
// that were committed before known must be in it, none that began after end.
func At(entries []Entry, known, end time.Time) (least, most int64) {
	for _, e := range entries {
		if e.Committed.Before(known) {
			least = e.Number
		}
		if e.Begun.Before(end) {
			most = e.Number
		}
	}
	return least, most
}
