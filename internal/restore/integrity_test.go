package restore_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// TestIntegrityIsSQLitesOwn ships a database whose source was broken: its pages are
// what was shipped, and only SQLite can tell that they make no sense.
func TestIntegrityIsSQLitesOwn(t *testing.T) {
	source := filepath.Join(t.TempDir(), "source.db")
	app := sqlitetest.Open(t, source)
	sqlitetest.Exec(t, app, "CREATE TABLE t(v); CREATE INDEX i ON t(v)")
	sqlitetest.Exec(t, app, "INSERT INTO t VALUES ('one'), ('two')")
	sound := sqlitetest.Truth(t, source)
	noEntry := bytes.Replace(sound, []byte("two"), []byte("six"), 1) // in the table or in its index
	noPage := bytes.Clone(sound)
	noPage[4096] = 99 // no kind of page

	for _, row := range []struct {
		name        string
		state       []byte
		integrity   restore.Integrity
		wantUnsound bool
	}{
		{"a sound one", sound, restore.FullIntegrity, false},
		{"a broken page, not looked at", noPage, restore.NoIntegrity, false},
		{"a broken page", noPage, restore.QuickIntegrity, true},
		{"an index that does not match, at a quick look", noEntry, restore.QuickIntegrity, false},
		{"an index that does not match", noEntry, restore.FullIntegrity, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHistory(t, 4096)
			h.ship(row.state, true)
			dir := t.TempDir()
			out := filepath.Join(dir, "100% odd?#name.db")
			_, err := restore.Run(t.Context(), h.replica, restore.Options{Output: out, Integrity: row.integrity})
			if !row.wantUnsound {
				if err != nil || !bytes.Equal(mustRead(t, out), row.state) {
					t.Errorf("got %v", err)
				}
				assertFiles(t, dir, filepath.Base(out))
				return
			}
			if !errors.Is(err, restore.ErrUnsound) {
				t.Errorf("got %v, want %v", err, restore.ErrUnsound)
			}
			assertFiles(t, dir)
		})
	}
}
