package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob/file"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
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

func mustDecode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
}

func TestRestoreBeforeAnApplicationStarts(t *testing.T) {
	url, states := mustReplica(t)
	output := filepath.Join(t.TempDir(), "out.db")
	flags := []string{"-o", output, "--if-absent", "--if-replica-exists"}

	got := mustSucceed(t, invoke(t, nil, nil, append([]string{"restore", "file://" + t.TempDir()}, flags...)...))
	if _, err := os.Stat(output); !os.IsNotExist(err) || !strings.Contains(got, "there is no replica at file://") {
		t.Errorf("of an empty replica: got %q, %v", got, err)
	}
	got = mustSucceed(t, invoke(t, nil, nil, append([]string{"restore", url}, flags...)...))
	if restored, err := os.ReadFile(output); err != nil || !bytes.Equal(restored, states[1]) {
		t.Errorf("got %q, and not the latest state: %v", got, err)
	}
	if err := os.WriteFile(output, []byte("the application went on"), 0o600); err != nil {
		t.Fatal(err)
	}
	got = mustSucceed(t, invoke(t, nil, nil, append([]string{"restore", url}, flags...)...))
	if b, err := os.ReadFile(output); err != nil || string(b) != "the application went on" || got != output+" is there: nothing restored\n" {
		t.Errorf("got %q, %q, %v", got, b, err)
	}
	var answer restored
	mustDecode(t, mustSucceed(t, invoke(t, nil, nil, append([]string{"restore", url, "--json"}, flags...)...)), &answer)
	if answer.Skipped != "the file is there" || answer.Output != output {
		t.Errorf("got %+v", answer)
	}
}

func TestRestoreSaysWhatItWouldRead(t *testing.T) {
	url, _ := mustReplica(t)
	got := mustSucceed(t, invoke(t, nil, nil, "restore", url, "--dry-run"))
	for _, want := range []string{"OBJECT ", "ltx/0/0000000000000002-0000000000000002.ltx  0.0 MiB  2026-03-01T09:30:02Z\n", "would restore txid 0000000000000002 of 2026-03-01T09:30:02Z, reading 0.0 MiB from "} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	var answer previewed
	mustDecode(t, mustSucceed(t, invoke(t, nil, nil, "restore", url, "--dry-run", "--txid", "0000000000000001", "--json")), &answer)
	if answer.TXID != "0000000000000001" || len(answer.Objects) != 1 || answer.Bytes != answer.Objects[0].Bytes || answer.Bytes == 0 {
		t.Errorf("got %+v", answer)
	}
}

func TestRestoreDressesTheFile(t *testing.T) {
	url, _ := mustReplica(t)
	output := filepath.Join(t.TempDir(), "out.db")
	owner := fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())
	mustSucceed(t, invoke(t, nil, nil, "restore", url, "-o", output, "--mode", "0640", "--owner", owner, "--integrity", "full"))
	info, err := os.Stat(output)
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for _, row := range []struct{ flag, value, want string }{
		{"--mode", "rw-r-----", `--mode: got "rw-r-----"; write up to four octal digits`},
		{"--mode", "0", `--mode: got "0"`},
		{"--owner", "nobody-of-that-name", `there is no user "nobody-of-that-name"; write USER or USER:GROUP`},
		{"--owner", owner + "x", "there is no group"},
		{"--integrity", "some", "no such check; write quick or full"},
		{"--at", "10 minutes ago", `--at: got "10 minutes ago"; write RFC 3339`},
		{"--at", "-1h ago", `--at: got "-1h ago"`},
	} {
		mustFail(t, invoke(t, nil, nil, "restore", url, "-o", output, "--force", row.flag+"="+row.value), statusUsage, row.want)
	}
}

func TestTimesAgo(t *testing.T) {
	for text, want := range map[string]time.Duration{"10m ago": 10 * time.Minute, "1h30m ago": 90 * time.Minute, "2d ago": 48 * time.Hour, "0s ago": 0, " 5s  ago": 5 * time.Second} {
		if got, err := parseAt(text, now); err != nil || now.Sub(got) != want {
			t.Errorf("%q: got %v, %v; want %v before %v", text, got, err, want, now)
		}
	}
}

func TestBar(t *testing.T) {
	at := now
	for _, row := range []struct {
		terminal bool
		want     string
	}{
		{true, "\r[======                  ] 1.0 MiB of 4.0 MiB, 1 of 3 objects, 0.1 MiB/s, 30s left\x1b[K\r\x1b[K"},
		{false, "restoring: 1.0 MiB of 4.0 MiB, 1 of 3 objects, 0.1 MiB/s, 30s left\n"},
	} {
		var out bytes.Buffer
		b := newBar(&out, row.terminal, func() time.Time { return at })
		p := restore.Progress{Objects: 1, ObjectsTotal: 3, Bytes: 1 << 20, BytesTotal: 4 << 20}
		b.tell(p) // too early
		at = at.Add(10 * time.Second)
		b.tell(p)
		b.tell(p)
		b.end()
		if out.String() != row.want {
			t.Errorf("on a terminal %v: got %q, want %q", row.terminal, out.String(), row.want)
		}
	}
}
