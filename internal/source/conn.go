package source

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/mattn/go-sqlite3"
)

// minVersion is the first release without the fault that could corrupt a
// database when its log was reset, and with checkpoint mode NOOP.
const minVersion = 3051003

// busyTimeout is how long SQLite waits for a lock before it says busy, in
// milliseconds.
const busyTimeout = 5000

// conn is one connection to the database: raw, because which connection runs a
// statement matters here and a pool would choose for itself.
type conn struct {
	raw   *sqlite3.SQLiteConn
	stmts map[string]driver.Stmt
}

// connect opens path with a connection that never checkpoints by itself and
// refuses to change the database's content.
func connect(path string) (*conn, error) {
	return connectWith(path, "PRAGMA wal_autocheckpoint=0", "PRAGMA query_only=1")
}

func connectWith(path string, pragmas ...string) (*conn, error) {
	dsn := (&url.URL{Scheme: "file", Opaque: url.PathEscape(path)}).String()
	dsn = strings.ReplaceAll(dsn, "%2F", "/") + "?mode=rw&_busy_timeout=" + strconv.Itoa(busyTimeout)
	raw, err := (&sqlite3.SQLiteDriver{}).Open(dsn)
	if err != nil {
		return nil, Classify(err)
	}
	c := &conn{raw: raw.(*sqlite3.SQLiteConn), stmts: make(map[string]driver.Stmt)}
	for _, pragma := range pragmas {
		if err := c.exec(pragma); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	return c, nil
}

func (c *conn) close() error {
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.raw.Close())...)
}

// exec runs a statement whose rows do not matter.
func (c *conn) exec(query string) error {
	if _, err := c.raw.Exec(query, nil); err != nil {
		return fmt.Errorf("%s: %w", query, Classify(err))
	}
	return nil
}

// row runs a statement that yields one row and returns it. The statement is
// kept prepared: the same few run in each pass.
func (c *conn) row(query string, columns int) ([]driver.Value, error) {
	s, ok := c.stmts[query]
	if !ok {
		var err error
		if s, err = c.raw.Prepare(query); err != nil {
			return nil, fmt.Errorf("%s: %w", query, Classify(err))
		}
		c.stmts[query] = s
	}
	rows, err := s.Query(nil) //nolint:staticcheck // the driver has no context to honour here
	if err != nil {
		return nil, fmt.Errorf("%s: %w", query, Classify(err))
	}
	values := make([]driver.Value, columns)
	err = rows.Next(values)
	if err == nil {
		for err == nil { // a statement ends its transaction only at its last row
			err = rows.Next(make([]driver.Value, columns))
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err = errors.Join(err, rows.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", query, Classify(err))
	}
	return values, nil
}

// number runs a statement that yields one integer.
func (c *conn) number(query string) (int64, error) {
	v, err := c.row(query, 1)
	if err != nil {
		return 0, err
	}
	n, ok := v[0].(int64)
	if !ok {
		return 0, fmt.Errorf("%s: got %v, want a number", query, v[0])
	}
	return n, nil
}

// begin starts a read transaction: the read lock. The SELECT is what takes it.
func (c *conn) begin() error {
	if err := c.exec("BEGIN"); err != nil {
		return err
	}
	if _, err := c.number("SELECT count(*) FROM sqlite_schema"); err != nil {
		return errors.Join(err, c.end())
	}
	return nil
}

// end gives the read lock up.
func (c *conn) end() error {
	if c.raw.AutoCommit() {
		return nil
	}
	return c.exec("ROLLBACK")
}

// held tells whether the read transaction is still open: SQLite ends one by
// itself after some errors.
func (c *conn) held() bool { return !c.raw.AutoCommit() }

// checkVersion refuses a SQLite library whose NOOP checkpoint is missing (it
// would run PASSIVE instead, silently) or which can corrupt a log.
func checkVersion() error {
	if text, number, _ := sqlite3.Version(); number < minVersion {
		return fmt.Errorf("%w: SQLite %s is linked, want 3.51.3 or newer; build without the libsqlite3 tag", ErrContract, text)
	}
	return nil
}
