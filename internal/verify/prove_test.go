package verify_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/internal/verify"
	"github.com/holdfast-db/holdfast/internal/wal"
)

// small returns the replica of a database of three rows.
func small(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, path: filepath.Join(t.TempDir(), "app.db"), store: mem.New(), states: map[ltx.TXID][]byte{}}
	r.app = sqlitetest.Open(t, r.path, "page_size=512")
	r.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
	r.exec("INSERT INTO t(v) VALUES ('secret'), ('b'), ('c')")
	if _, err := r.shipper(r.store).Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) check(c verify.Check) (verify.Proof, error) {
	r.t.Helper()
	return verify.Prove(r.t.Context(), verify.ProofOptions{Replica: replica.New(r.store), URL: "mem:", Scratch: r.t.TempDir(), Check: c})
}

// TestScratchSpaceThatIsTooSmallIsSaid proves a database that has grown beyond all disks:
// how much is there, how much it takes, and what to do, but not where that is.
func TestScratchSpaceThatIsTooSmallIsSaid(t *testing.T) {
	r := &rig{t: t, store: mem.New()}
	mustPutHuge(t, r.store)
	scratch := t.TempDir()
	_, err := verify.Prove(t.Context(), verify.ProofOptions{Replica: replica.New(r.store), URL: "mem:", Scratch: scratch})
	if !errors.Is(err, restore.ErrNoSpace) || errors.Is(err, verify.ErrReplica) {
		t.Errorf("got %v, want %v, which is no fault of the replica", err, restore.ErrNoSpace)
	}
	for _, want := range []string{"scratch space has ", fmt.Sprint(int64(hugeCommit) * 65536), "maintenance.scratch"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), scratch) {
		t.Errorf("%q says where", err)
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

const hugeCommit = 1<<32 - 1 // pages

// mustPutHuge stores a database that comes to 256 TiB with its second state.
func mustPutHuge(t *testing.T, store blob.Store) {
	t.Helper()
	for txid, commit := range []uint32{1, hugeCommit} {
		d := replica.Draft{
			Min: ltx.TXID(txid + 1), Max: ltx.TXID(txid + 1), Created: time.Now(), Writer: strings.Repeat("ab", 16),
			Position: wal.Position{PageSize: 65536, Commit: commit},
		}
		page := func(emit func(uint32, []byte) error) error { return emit(1, make([]byte, 65536)) }
		if _, err := replica.New(store).Put(t.Context(), d, page); err != nil {
			t.Fatal(err)
		}
	}
}

// A restore need not read an object whose pages all come again; who proves that an
// earlier state can be had must.
func TestAProofReadsWhatNoRestoreOfTheLatestStateNeeds(t *testing.T) {
	r := &rig{t: t, path: filepath.Join(t.TempDir(), "app.db"), store: mem.New(), states: map[ltx.TXID][]byte{}}
	r.app = sqlitetest.Open(t, r.path, "page_size=512")
	shipper := r.shipper(r.store)
	for _, statement := range []string{
		"CREATE TABLE t(id INTEGER PRIMARY KEY, v)", "INSERT INTO t VALUES (1, 1)",
		"UPDATE t SET v = 2", "UPDATE t SET v = 3", "UPDATE t SET v = 4",
	} {
		r.exec(statement)
		if _, err := shipper.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	key := r.objects()[2].Key()
	data := r.bytes(key)
	data[len(data)/2] ^= 1
	r.put(key, data, r.info(key).Metadata)
	if _, _, err := r.restored(plan.Target{}); err != nil {
		t.Errorf("restore: %v, want that it does without %s", err, key)
	}
	if _, err := r.prove(plan.Target{}); !errors.Is(err, verify.ErrReplica) || !strings.Contains(err.Error(), key) {
		t.Errorf("proof: %v, want that it names %s", err, key)
	}
}

func TestACheckMustGiveOne(t *testing.T) {
	r := small(t)
	other := filepath.Join(t.TempDir(), "other.db")
	for _, row := range []struct{ name, sql, want string }{
		{name: "one", sql: "SELECT count(*) = 3 FROM t"},
		{name: "zero", sql: "SELECT count(*) = 4 FROM t", want: `gave "0"`},
		{name: "no row", sql: "SELECT 1 FROM t WHERE id = 9", want: `gave "no row"`},
		{name: "two rows", sql: "SELECT 1 FROM t", want: `gave "more than one row"`},
		{name: "two columns", sql: "SELECT 1, 1", want: `gave "2 columns"`},
		{name: "null", sql: "SELECT NULL", want: `gave "NULL"`},
		{name: "text", sql: "SELECT 'one'", want: `gave "one"`},
		{name: "nothing", sql: "-- a comment", want: "columns"},
		{name: "a mistake", sql: "SELECT count(*) FROM nowhere", want: "no such table"},
		{name: "an update", sql: "UPDATE t SET v = 1 RETURNING 1", want: "readonly"},
		{name: "a new table", sql: "CREATE TABLE u(v)", want: "readonly"},
		{name: "another file", sql: "ATTACH '" + other + "' AS o", want: "too many attached"},
		{name: "a copy", sql: "VACUUM INTO '" + other + "'", want: "too many attached"},
		{name: "a library", sql: "SELECT load_extension('x')", want: "not authorized"},
		{name: "a write after all", sql: "PRAGMA query_only=0; DELETE FROM t RETURNING 1", want: "readonly"},
		{name: "a long answer", sql: "SELECT hex(zeroblob(1000))", want: strings.Repeat("0", 80) + "..."},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, err := r.check(verify.Check{SQL: row.sql})
			switch {
			case row.want == "" && (err != nil || !p.Checked):
				t.Errorf("got %+v, %v; want that it passes", p, err)
			case row.want != "" && (!errors.Is(err, verify.ErrCheck) || !strings.Contains(err.Error(), row.want) || p.Checked):
				t.Errorf("got %+v, %v; want %q", p, err, row.want)
			}
			if err != nil && len(err.Error()) > 300 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
	if _, err := os.Stat(other); err == nil {
		t.Error("a check has made a file")
	}
}

func TestACheckHasLimitedTime(t *testing.T) {
	r := small(t)
	begun := time.Now()
	endless := "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
	_, err := r.check(verify.Check{SQL: endless, Within: 100 * time.Millisecond})
	if !errors.Is(err, verify.ErrCheck) || !strings.Contains(err.Error(), "no answer within 100ms") {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = verify.Prove(ctx, verify.ProofOptions{Replica: replica.New(r.store), URL: "mem:", Scratch: t.TempDir(), Check: verify.Check{SQL: endless}})
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, verify.ErrCheck) {
		t.Errorf("a proof that is called off: %v", err)
	}
}

// TestAnUnsoundDatabaseIsNotTheReplicasFault ships a database that is damaged itself.
func TestAnUnsoundDatabaseIsNotTheReplicasFault(t *testing.T) {
	r := &rig{t: t, path: filepath.Join(t.TempDir(), "app.db"), store: mem.New()}
	app := sqlitetest.Open(t, r.path, "page_size=512")
	sqlitetest.Exec(t, app, "CREATE TABLE t(v)")
	sqlitetest.Exec(t, app, "INSERT INTO t VALUES (randomblob(3000))")
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	copy(b[3*512:], []byte{0xff, 0xff, 0xff, 0xff}) // the link from one overflow page to the next
	if err := os.WriteFile(r.path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.shipper(r.store).Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := r.prove(plan.Target{})
	if !errors.Is(err, verify.ErrDatabase) || errors.Is(err, verify.ErrReplica) || !p.Digest {
		t.Errorf("got %+v, %v; want ErrDatabase", p, err)
	}
}

func TestScratchSpaceIsLeftEmpty(t *testing.T) {
	r := small(t)
	dir := filepath.Join(t.TempDir(), "scratch")
	for _, check := range []string{"SELECT 1", "SELECT 0"} {
		_, _ = verify.Prove(t.Context(), verify.ProofOptions{Replica: replica.New(r.store), Scratch: dir, Check: verify.Check{SQL: check}})
		mustHold(t, dir)
	}
	killed := filepath.Join(dir, "holdfast-verify-1")
	running := filepath.Join(dir, "holdfast-verify-2")
	foreign := filepath.Join(dir, "other")
	for _, each := range []string{killed, running, foreign} {
		mustMake(t, filepath.Join(each, "lock"))
		mustMake(t, filepath.Join(each, "proof.db"))
	}
	lock, err := os.OpenFile(filepath.Join(running, "lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close() //nolint:errcheck // only locked
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := verify.Prove(t.Context(), verify.ProofOptions{Replica: replica.New(r.store), Scratch: dir}); err != nil {
		t.Fatal(err)
	}
	mustHold(t, dir, "holdfast-verify-2", "other")
}

func mustMake(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustHold(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s holds %v, want %v", dir, got, want)
	}
}
