package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob/file"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/internal/wal"
	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

// mustReplica makes a replica in files of a real database in two states, a
// second apart, and returns its URL and the states.
func mustReplica(t *testing.T) (url string, states [][]byte) {
	t.Helper()
	dir, source := t.TempDir(), filepath.Join(t.TempDir(), "source.db")
	app := sqlitetest.Open(t, source)
	sqlitetest.Exec(t, app, "CREATE TABLE t(x)")
	for n := range 2 {
		sqlitetest.Exec(t, app, "INSERT INTO t VALUES (?)", n)
		states = append(states, sqlitetest.Truth(t, source))
		mustPut(t, dir, ltx.TXID(n+1), states[n])
	}
	return "file://" + dir, states
}

// mustPut adds all of a state to a replica.
func mustPut(t *testing.T, dir string, txid ltx.TXID, state []byte) {
	t.Helper()
	const pageSize = 4096
	draft := replica.Draft{
		Min: txid, Max: txid, Created: now.Add(time.Duration(txid) * time.Second), Writer: strings.Repeat("ab", 16),
		Position: wal.Position{PageSize: pageSize, Commit: uint32(len(state) / pageSize)},
	}
	pages := func(emit func(uint32, []byte) error) error {
		for n := 0; n < len(state); n += pageSize {
			if err := emit(uint32(n/pageSize+1), state[n:n+pageSize]); err != nil {
				return err
			}
		}
		return nil
	}
	if _, err := replica.New(file.New(dir)).Put(t.Context(), draft, pages); err != nil {
		t.Fatal(err)
	}
}

func TestRestoreNeedsNobody(t *testing.T) {
	url, states := mustReplica(t)
	for _, row := range []struct {
		name, flags string
		want        int // which state
	}{
		{"the latest", "", 1},
		{"by TXID", "--txid 0000000000000001", 0},
		{"by time", "--at 2026-03-01T09:30:02Z", 0},
		{"by time in another zone", "--at 2026-03-01T10:30:02.001+01:00", 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			output := filepath.Join(t.TempDir(), "out.db")
			got := mustSucceed(t, invoke(t, nil, nil, append([]string{"restore", url, "-o", output}, strings.Fields(row.flags)...)...))
			restored, err := os.ReadFile(output)
			if err != nil || !bytes.Equal(restored, states[row.want]) {
				t.Errorf("the restored file is not state %d: %v", row.want, err)
			}
			if !strings.HasPrefix(got, "restored "+output+": txid 000000000000000") {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestRestoreRefuses(t *testing.T) {
	url, _ := mustReplica(t)
	there := mustWrite(t, "there.db", "precious")
	away := filepath.Join(t.TempDir(), "out.db")
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"an output that exists", []string{url, "-o", there}, "output exists"},
		{"a replica that is empty", []string{"file:///nowhere", "-o", away}, "there is no replica at file:///nowhere; check the URL"},
		{"a TXID that is not there", []string{url, "-o", away, "--txid", "0000000000000009"}, "0000000000000009"},
		{"a time before everything", []string{url, "-o", away, "--at", "2020-01-01T00:00:00Z"}, "no such state"},
		{"a directory that is not there", []string{url, "-o", filepath.Join(t.TempDir(), "a", "out.db")}, "out.db"},
	} {
		t.Run(row.name, func(t *testing.T) {
			mustFail(t, invoke(t, nil, nil, append([]string{"restore"}, row.args...)...), statusFailed, row.want)
			if text, err := os.ReadFile(there); string(text) != "precious" {
				t.Errorf("what was there is %q now, %v", text, err)
			}
			if _, err := os.Stat(away); err == nil {
				t.Error("something was left behind")
			}
		})
	}
	mustSucceed(t, invoke(t, nil, nil, "restore", url, "-o", there, "--force"))
}

func TestRestoreByNameAsksForTheReplica(t *testing.T) {
	url, _ := mustReplica(t)
	f := &fakeFleet{status: control.Status{Status: workflows.Status{Replica: url}}}
	doc := mustObject(t, invoke(t, f, nil, "restore", "t/shop", "-o", filepath.Join(t.TempDir(), "out.db"), "--json"))
	if len(f.asked) != 1 || f.asked[0] != "status t/shop" || doc["replica"] != url || doc["txid"] != "0000000000000002" || doc["objects"] != 2.0 {
		t.Errorf("asked %q, got %v", f.asked, doc)
	}
	mustFail(t, invoke(t, &fakeFleet{}, nil, "restore", "shop", "-o", "out.db"), statusFailed, "restore by its URL")
}
