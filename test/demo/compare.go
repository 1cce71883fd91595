package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-db/holdfast/test/ledger"
)

// moment is an instant of which the application's journal tells what the
// database held.
type moment struct {
	known time.Time // all that was committed before is shipped
	at    time.Time // to restore to
}

// markMoment makes sure that all that is committed now is shipped, and returns
// the instant right after that.
func (s *stage) markMoment(ctx context.Context) (moment, error) {
	m := moment{known: time.Now()}
	if _, err := s.holdfast(ctx, "sync", name); err != nil {
		return m, err
	}
	time.Sleep(2 * time.Millisecond) // times of objects are whole milliseconds
	m.at = time.Now()
	return m, nil
}

// restored is what `holdfast restore --json` says.
type restored struct {
	TXID    string  `json:"txid"`
	Bytes   int64   `json:"bytes"`
	Objects int     `json:"objects"`
	Took    float64 `json:"took_seconds"`
}

func (s *stage) restore(ctx context.Context, out string, args ...string) error {
	printed, err := s.holdfast(ctx, append([]string{"restore", s.replica, "-o", out, "--json"}, args...)...)
	if err != nil {
		return err
	}
	var r restored
	if err := json.Unmarshal(printed, &r); err != nil {
		return fmt.Errorf("read the answer of restore: %w", err)
	}
	fmt.Printf("  restored TXID %s: %.1f MiB from %d objects in %.2f s\n", r.TXID, float64(r.Bytes)/(1<<20), r.Objects, r.Took)
	return nil
}

// compareLatest restores the latest state and compares it with the source, page
// by page: the application has stopped, and its log is copied into the file.
func (s *stage) compareLatest(ctx context.Context) error {
	out := filepath.Join(s.dir, "latest.db")
	if err := s.restore(ctx, out); err != nil {
		return err
	}
	if err := s.emptyLog(ctx); err != nil {
		return err
	}
	pages, err := samePages(out, s.db)
	if err != nil {
		return fmt.Errorf("the latest state: %w", err)
	}
	last, err := ledger.Verify(ctx, out)
	if err != nil {
		return fmt.Errorf("the latest state: %w", err)
	}
	entries, err := ledger.ReadJournal(s.journal)
	if err != nil {
		return err
	}
	if n := len(entries); n == 0 || entries[n-1].Order != last {
		return fmt.Errorf("the latest state ends with order %d, the journal has %d entries", last.Number, n)
	}
	fmt.Printf("  all %d pages are the source's; order %d is the last that was committed\n", pages, last.Number)
	return nil
}

// emptyLog makes SQLite copy the log into the database file.
func (s *stage) emptyLog(ctx context.Context) error {
	db, err := sql.Open("sqlite3", "file:"+s.db+"?mode=rw&_busy_timeout=10000")
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // the checkpoint was checked
	var busy, log, copied int
	if err := db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &log, &copied); err != nil || busy != 0 {
		return fmt.Errorf("checkpoint the source: busy %d: %w", busy, err)
	}
	return nil
}

// samePages compares two database files and returns how many pages they have.
func samePages(got, want string) (pages int, err error) {
	const pageSizeAt = 16
	a, err := os.Open(got)
	if err != nil {
		return 0, err
	}
	defer a.Close() //nolint:errcheck // only read
	b, err := os.Open(want)
	if err != nil {
		return 0, err
	}
	defer b.Close() //nolint:errcheck // only read
	var head [2]byte
	if _, err := b.ReadAt(head[:], pageSizeAt); err != nil {
		return 0, err
	}
	size := int(head[0])<<8 | int(head[1])
	if size == 1 {
		size = 65536
	}
	x, y := make([]byte, size), make([]byte, size)
	for ; ; pages++ {
		_, errA := io.ReadFull(a, x)
		_, errB := io.ReadFull(b, y)
		switch {
		case errors.Is(errA, io.EOF) && errors.Is(errB, io.EOF):
			return pages, nil
		case errA != nil || errB != nil:
			return pages, fmt.Errorf("the files differ in length after page %d (%v, %v)", pages, errA, errB)
		case !bytes.Equal(x, y):
			return pages, fmt.Errorf("page %d differs", pages+1)
		}
	}
}

// compareMoment restores the state at m and compares it with what the
// application noted of its commits.
func (s *stage) compareMoment(ctx context.Context, m moment) error {
	out := filepath.Join(s.dir, "moment.db")
	if err := s.restore(ctx, out, "--at", m.at.UTC().Format(time.RFC3339Nano)); err != nil {
		return err
	}
	last, err := ledger.Verify(ctx, out)
	if err != nil {
		return fmt.Errorf("the state before the pause: %w", err)
	}
	entries, err := ledger.ReadJournal(s.journal)
	if err != nil {
		return err
	}
	least, most := ledger.At(entries, m.known, m.at)
	if last.Number < least || last.Number > most {
		return fmt.Errorf("the state before the pause ends with order %d, want one from %d to %d", last.Number, least, most)
	}
	if entries[last.Number-1].Order != last {
		return fmt.Errorf("order %d of the state before the pause is not the one that was committed", last.Number)
	}
	fmt.Printf("  at %s order %d was the last; the journal agrees\n", m.at.UTC().Format("15:04:05.000"), last.Number)
	return nil
}
