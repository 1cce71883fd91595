// Package ledger is the workload that tests and the demonstration replicate: a
// shop's orders, one transaction each, that prove themselves. Each order carries
// its number and a hash over all orders before it, so that whoever finds the
// database later can tell whether it is a prefix of what was committed, without
// a gap, and which one.
package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
)

// Order is one transaction.
type Order struct {
	Number int64
	Hash   string // over the order and the hash before it
}

const schema = `
CREATE TABLE IF NOT EXISTS holdfast_orders (
	number   INTEGER PRIMARY KEY,
	customer TEXT NOT NULL,
	cents    INTEGER NOT NULL,
	note     TEXT NOT NULL,
	hash     TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS holdfast_stock (article INTEGER PRIMARY KEY, sold INTEGER NOT NULL);`

// Open opens the database at path in WAL mode, with the ledger's tables in it.
// The caller imports the driver.
func Open(path string) (*sql.DB, error) {
	dsn := "file:" + strings.ReplaceAll(url.PathEscape(path), "%2F", "/")
	db, err := sql.Open("sqlite3", dsn+"?_busy_timeout=10000&_journal_mode=WAL&_synchronous=FULL")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(schema); err != nil {
		return nil, errors.Join(fmt.Errorf("make the ledger's tables: %w", err), db.Close())
	}
	return db, nil
}

// Last returns the newest order; a zero one in an empty ledger.
func Last(ctx context.Context, db *sql.DB) (Order, error) {
	var o Order
	err := db.QueryRowContext(ctx, "SELECT number, hash FROM holdfast_orders ORDER BY number DESC LIMIT 1").Scan(&o.Number, &o.Hash)
	if errors.Is(err, sql.ErrNoRows) {
		return Order{}, nil
	}
	return o, err
}

// articles is how many articles the shop has.
const articles = 500

// Place commits the order after last, with a note of random length up to
// noteBytes, and returns it.
func Place(ctx context.Context, db *sql.DB, last Order, noteBytes int) (Order, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return last, err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	customer := fmt.Sprintf("customer-%d", rand.IntN(1000))
	cents, note := rand.IntN(100_000), randomText(rand.IntN(noteBytes+1))
	o := Order{Number: last.Number + 1}
	o.Hash = hash(last.Hash, o.Number, customer, cents, note)
	if _, err := tx.ExecContext(ctx, "INSERT INTO holdfast_orders VALUES (?, ?, ?, ?, ?)", o.Number, customer, cents, note, o.Hash); err != nil {
		return last, err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO holdfast_stock VALUES (?, 1) ON CONFLICT DO UPDATE SET sold = sold + 1", rand.IntN(articles)); err != nil {
		return last, err
	}
	if err := tx.Commit(); err != nil {
		return last, err
	}
	return o, nil
}

func hash(before string, number int64, customer string, cents int, note string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s|%d|%s|%d|%s", before, number, customer, cents, note)
	return hex.EncodeToString(h.Sum(nil))
}

func randomText(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + rand.IntN(26))
	}
	return string(b)
}

// Verify reads the database at path, which nobody else may have open, and
// returns its last order if the orders are a prefix without a gap, the stock
// agrees with them, and SQLite finds the file whole.
func Verify(ctx context.Context, path string) (Order, error) {
	db, err := sql.Open("sqlite3", "file:"+strings.ReplaceAll(url.PathEscape(path), "%2F", "/")+"?mode=ro&immutable=1")
	if err != nil {
		return Order{}, err
	}
	defer db.Close() //nolint:errcheck // only read
	last, err := verifyOrders(ctx, db)
	if err != nil {
		return last, fmt.Errorf("%s: %w", path, err)
	}
	var sold int64
	if err := db.QueryRowContext(ctx, "SELECT coalesce(sum(sold), 0) FROM holdfast_stock").Scan(&sold); err != nil {
		return last, fmt.Errorf("%s: %w", path, err)
	}
	if sold != last.Number {
		return last, fmt.Errorf("%s: %d orders but %d articles sold", path, last.Number, sold)
	}
	var check string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&check); err != nil || check != "ok" {
		return last, fmt.Errorf("%s: integrity check: %s %w", path, check, err)
	}
	return last, nil
}

func verifyOrders(ctx context.Context, db *sql.DB) (Order, error) {
	rows, err := db.QueryContext(ctx, "SELECT number, customer, cents, note, hash FROM holdfast_orders ORDER BY number")
	if err != nil {
		return Order{}, err
	}
	defer rows.Close() //nolint:errcheck // Err is checked
	var last Order
	for rows.Next() {
		var o Order
		var customer, note string
		var cents int
		if err := rows.Scan(&o.Number, &customer, &cents, &note, &o.Hash); err != nil {
			return last, err
		}
		if o.Number != last.Number+1 {
			return last, fmt.Errorf("order %d follows order %d", o.Number, last.Number)
		}
		if want := hash(last.Hash, o.Number, customer, cents, note); o.Hash != want {
			return last, fmt.Errorf("order %d has hash %s, want %s", o.Number, o.Hash, want)
		}
		last = o
	}
	return last, rows.Err()
}
