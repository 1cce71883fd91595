package verify

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/mattn/go-sqlite3"
)

const (
	// DefaultCheckTime is what a check gets to come to its end.
	DefaultCheckTime = 5 * time.Minute

	// mostTold is how many bytes of what a check gave, or of SQLite's complaint, an
	// error holds: it is kept where whoever may see a verification may read it.
	mostTold = 80
)

// Check is a question of the user's about the restored database: SQL that gives one row
// with one column, which is 1.
type Check struct {
	SQL    string
	Within time.Duration // 0 is DefaultCheckTime
}

// openCopy opens a file that nobody else has open, and that nobody changes: no log is
// looked for, or made. What is asked of it can neither write nor reach other files.
func openCopy(path string) *sql.DB {
	name := (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: "mode=ro&immutable=1&_query_only=1"}).String()
	db := sql.OpenDB(connector{name})
	db.SetMaxOpenConns(1)
	return db
}

// connector opens connections to one file.
type connector struct{ name string }

// Connect implements driver.Connector.
func (c connector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.Driver().Open(c.name)
	if err != nil {
		return nil, err
	}
	own := conn.(*sqlite3.SQLiteConn) //nolint:forcetypeassert // it is that driver's
	own.SetLimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
	if _, err := own.Exec("PRAGMA trusted_schema=0", nil); err != nil {
		return nil, errors.Join(err, own.Close())
	}
	return own, nil
}

// Driver implements driver.Connector.
func (connector) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

// integrity has SQLite look at the whole file.
func integrity(ctx context.Context, db *sql.DB) error {
	var found string
	err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&found)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("%w: integrity_check: %s; it is what was shipped, so look at the database on its host", ErrDatabase, bounded(err.Error()))
	case found != "ok":
		return fmt.Errorf("%w: integrity_check found %q; it is what was shipped, so look at the database on its host", ErrDatabase, bounded(found))
	}
	return nil
}

// run asks. Its errors say what came instead of 1, up to a bound.
func (c Check) run(ctx context.Context, db *sql.DB) error {
	within := c.Within
	if within == 0 {
		within = DefaultCheckTime
	}
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	got, err := c.ask(limited, db)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		return fmt.Errorf("%w: no answer within %v; make the check quicker, or give it more time", ErrCheck, within)
	case err != nil:
		return fmt.Errorf("%w: %s; correct the SQL, or look at the database", ErrCheck, bounded(err.Error()))
	case got != "1":
		return fmt.Errorf("%w: it gave %q, want one row with 1; look at the database", ErrCheck, bounded(got))
	}
	return nil
}

// ask returns what the only row has in its only column, or what there is instead.
func (c Check) ask(ctx context.Context, db *sql.DB) (got string, err error) {
	rows, err := db.QueryContext(ctx, c.SQL)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	if len(columns) != 1 {
		return fmt.Sprintf("%d columns", len(columns)), nil
	}
	if !rows.Next() {
		return "no row", rows.Err()
	}
	var value sql.NullString
	if err := rows.Scan(&value); err != nil {
		return "", err
	}
	if rows.Next() {
		return "more than one row", nil
	}
	if !value.Valid {
		return "NULL", rows.Err()
	}
	return value.String, rows.Err()
}

func bounded(s string) string {
	if len(s) <= mostTold {
		return s
	}
	return s[:mostTold] + "..."
}
