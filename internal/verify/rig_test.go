package verify_test

import (
	"bytes"
	"context"
	"database/sql"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/maintain"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/internal/verify"
)

const (
	writer   = "00112233445566778899aabbccddeeff"
	pageSize = 512
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// at is when the state at txid is of.
func at(txid ltx.TXID) time.Time { return epoch.Add(time.Duration(txid) * time.Second) }

// later is when damage is looked at: no name is held any more.
var later = epoch.Add(24 * time.Hour)

// rig is a database, its replica, and what each state was.
type rig struct {
	t      testing.TB
	path   string
	app    *sql.DB
	store  blob.Store
	states map[ltx.TXID][]byte
	now    *time.Time // by the store's clock
}

// dated is an empty store whose clock says *now.
func dated(now *time.Time) blob.Store { return mem.NewAt(func() time.Time { return *now }) }

// newRig returns the replica of a database with 22 states, the last of which the
// database still has, made smaller by maintenance: it has objects of three levels.
func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, path: filepath.Join(t.TempDir(), "app.db"), states: map[ltx.TXID][]byte{}, now: new(time.Time)}
	r.store = dated(r.now)
	r.app = sqlitetest.Open(t, r.path, "page_size=512")
	r.exec("CREATE TABLE still AS SELECT randomblob(3000) AS v")
	r.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
	s := r.shipper(r.store)
	for i := range 22 {
		r.exec("INSERT INTO t(v) VALUES (randomblob(700)), (randomblob(200))")
		r.exec("UPDATE t SET v = randomblob(300) WHERE id % 7 = ?", i%7)
		out, err := s.Pass(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.states[out.TXID] = sqlitetest.Truth(t, r.path)
	}
	r.relabel()
	*r.now = afterwards()
	r.snapshot(12)
	r.maintain()
	return r
}

func (r *rig) exec(query string, args ...any) {
	r.t.Helper()
	sqlitetest.Exec(r.t, r.app, query, args...)
}

// shipper returns one for a replica in store, of a process that remembers nothing.
func (r *rig) shipper(store blob.Store) *ship.Shipper {
	r.t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	dir, err := ship.OpenDir(filepath.Join(r.t.TempDir(), "state"), ship.OS)
	if err != nil {
		r.t.Fatal(err)
	}
	s, err := ship.New(ship.Options{Name: "app", URL: "mem:", Writer: writer, Replica: replica.New(store), Log: quiet}, dir)
	if err != nil {
		r.t.Fatal(err)
	}
	db, err := source.Open(r.path, quiet)
	if err != nil {
		r.t.Fatal(err)
	}
	s.Attach(db)
	r.t.Cleanup(func() { _, _ = db.Close(); _ = s.Close(); _ = dir.Close() })
	return s
}

// relabel makes each state a second older than the next.
func (r *rig) relabel() {
	r.t.Helper()
	for _, o := range r.objects() {
		meta := maps.Clone(r.info(o.Key()).Metadata)
		meta[blob.TimestampKey] = at(o.Max).Format(time.RFC3339Nano)
		*r.now = at(o.Max)
		r.put(o.Key(), r.bytes(o.Key()), meta)
	}
}

func (r *rig) snapshot(txid ltx.TXID) {
	r.t.Helper()
	if _, err := replica.New(r.store).Merge(r.t.Context(), plan.SnapshotLevel, r.objects()[:txid], r.t.TempDir()); err != nil {
		r.t.Fatal(err)
	}
}

var policy = plan.Policy{Window: 18 * time.Second, Level0: 6 * time.Second}

func afterwards() time.Time { return at(23) }

func (r *rig) maintain() {
	r.t.Helper()
	for range 2 {
		_, err := maintain.Run(r.t.Context(), maintain.Options{
			Replica: replica.New(r.store), URL: "mem:", Log: slog.New(slog.DiscardHandler),
			Policy: policy, Now: afterwards,
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

// copied returns r with a store of its own.
func (r *rig) copied(t testing.TB) *rig {
	t.Helper()
	c := *r
	c.t, c.store = t, mem.New()
	for _, o := range r.objects() {
		c.put(o.Key(), r.bytes(o.Key()), r.info(o.Key()).Metadata)
	}
	return &c
}

func (r *rig) objects() []replica.Object {
	r.t.Helper()
	all, err := replica.New(r.store).All(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

func (r *rig) head() (txid ltx.TXID) {
	for known := range r.states {
		txid = max(txid, known)
	}
	return txid
}

func (r *rig) info(key string) blob.Info {
	r.t.Helper()
	info, err := r.store.Stat(r.t.Context(), key)
	if err != nil {
		r.t.Fatal(err)
	}
	return info
}

func (r *rig) bytes(key string) []byte {
	r.t.Helper()
	body, err := r.store.Get(r.t.Context(), key, 0, -1)
	if err != nil {
		r.t.Fatal(err)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

func (r *rig) put(key string, data []byte, meta blob.Metadata) {
	r.t.Helper()
	if err := r.store.Delete(r.t.Context(), key); err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.store.Put(r.t.Context(), key, bytes.NewReader(data), meta); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) survey() verify.Survey {
	r.t.Helper()
	s, err := verify.Look(r.t.Context(), verify.SurveyOptions{Replica: replica.New(r.store), URL: "mem:", Reached: r.head(), Scratch: r.t.TempDir(), Policy: policy, Now: afterwards})
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *rig) prove(target plan.Target) (verify.Proof, error) {
	r.t.Helper()
	return verify.Prove(r.t.Context(), verify.ProofOptions{Replica: replica.New(r.store), URL: "mem:", Target: target, Scratch: r.t.TempDir()})
}

// restored returns the file that a restore gives.
func (r *rig) restored(target plan.Target) ([]byte, restore.Result, error) {
	r.t.Helper()
	out := filepath.Join(r.t.TempDir(), "out.db")
	result, err := restore.Run(context.Background(), replica.New(r.store), restore.Options{Output: out, Target: target})
	if err != nil {
		return nil, result, err
	}
	b, err := os.ReadFile(out)
	return b, result, err
}

func inMemory(t *testing.T) {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		t.Setenv("TMPDIR", "/dev/shm") // where a sync costs nothing
	}
}
