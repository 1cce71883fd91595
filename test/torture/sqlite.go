package main

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/mattn/go-sqlite3"
	"golang.org/x/sys/unix"
)

// connection is one connection to a database, without a pool: which connection
// does what matters here.
type connection struct{ raw *sqlite3.SQLiteConn }

// patience is how long a connection waits for a lock, in milliseconds: short,
// because steps that must wait for a reader are to fail, not to take time.
const patience = 300

func connect(path string, options ...string) (*connection, error) {
	query := strings.Join(append(options, fmt.Sprintf("_busy_timeout=%d", patience)), "&")
	raw, err := (&sqlite3.SQLiteDriver{}).Open("file:" + strings.ReplaceAll(url.PathEscape(path), "%2F", "/") + "?" + query)
	if err != nil {
		return nil, err
	}
	return &connection{raw.(*sqlite3.SQLiteConn)}, nil
}

func (c *connection) close() error { return c.raw.Close() }

// run runs one statement and returns its rows, columns separated by a bar.
func (c *connection) run(statement string) (lines []string, err error) {
	rows, err := c.raw.Query(statement, nil)
	if err != nil {
		return nil, err
	}
	values := make([]driver.Value, len(rows.Columns()))
	for {
		if err = rows.Next(values); err != nil {
			break
		}
		lines = append(lines, row(values))
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return lines, errors.Join(err, rows.Close())
}

func row(values []driver.Value) string {
	words := make([]string, len(values))
	for i, v := range values {
		if b, ok := v.([]byte); ok {
			v = string(b)
		}
		words[i] = fmt.Sprint(v)
	}
	return strings.Join(words, "|")
}

// image describes the database as the connection sees it, page by page. Unlike
// a copy of the files it does not pass by SQLite's recovery, which takes commits
// that no running connection has ever counted as such.
func (c *connection) image() (im image, b []byte, err error) {
	if c.raw.AutoCommit() {
		if _, err := c.run("BEGIN"); err != nil {
			return im, nil, err
		}
		defer func() {
			_, e := c.run("COMMIT")
			err = errors.Join(err, e)
		}()
	}
	v, err := c.version()
	if err != nil {
		return im, nil, err
	}
	at := monotonic()
	if b, err = c.raw.Serialize("main"); err != nil {
		return im, nil, err
	}
	im, err = newImage(b, v)
	im.at = at
	return im, b, err
}

// version reads the database's version, and begins its read transaction.
func (c *connection) version() (v version, err error) {
	lines, err := c.run("SELECT epoch, n FROM v")
	if err != nil {
		return v, err
	}
	if len(lines) != 1 {
		return v, fmt.Errorf("the table v has %d rows", len(lines))
	}
	_, err = fmt.Sscanf(lines[0], "%d|%d", &v.epoch, &v.n)
	return v, err
}

// monotonic reads a clock that all processes of the machine share, in
// nanoseconds.
func monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // every Linux has it
	}
	return t.Nano()
}
