package restore

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	_ "github.com/mattn/go-sqlite3" // the driver of that name
)

// Integrity is how thoroughly SQLite itself looks at a restored file before it
// gets its name.
type Integrity string

// Integrities.
const (
	NoIntegrity    Integrity = ""
	QuickIntegrity Integrity = "quick" // PRAGMA quick_check: all but the match of indexes and tables
	FullIntegrity  Integrity = "full"  // PRAGMA integrity_check
)

// run looks at the file at path, which nobody has open and which stays as it is.
func (i Integrity) run(path string) (err error) {
	var pragma string
	switch i {
	case NoIntegrity:
		return nil
	case QuickIntegrity:
		pragma = "PRAGMA quick_check(1)"
	case FullIntegrity:
		pragma = "PRAGMA integrity_check(1)"
	default:
		return fmt.Errorf("integrity %q: want %s or %s", i, QuickIntegrity, FullIntegrity)
	}
	// Immutable: no log beside it is looked for, or made.
	db, err := sql.Open("sqlite3", (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: "mode=ro&immutable=1"}).String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var found string
	if err := db.QueryRow(pragma).Scan(&found); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrUnsound, pragma, err)
	}
	if found != "ok" {
		return fmt.Errorf("%w: %s found %q", ErrUnsound, pragma, found)
	}
	return nil
}
