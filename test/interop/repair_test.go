package interop_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/driver"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/internal/verify"
	"github.com/holdfast-db/holdfast/test/damage"
)

// repaired is a live database whose replica gets damaged and repaired.
type repaired struct {
	t      *testing.T
	p      place
	store  blob.Store
	app    *sqlitetest.Shell
	host   *host.Host
	db     host.Database
	truths map[ltx.TXID]string
}

func newRepaired(t *testing.T, p place) *repaired {
	t.Helper()
	credentials := driver.Credentials{}
	if p.key != "" {
		credentials = driver.Credentials{AccountKey: p.key}
	}
	store, err := driver.Open(t.Context(), p.url, credentials)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "app.db")
	r := &repaired{
		t: t, p: p, store: store, app: sqlitetest.StartShell(t, path), host: mustHost(t, p), truths: map[ltx.TXID]string{},
		db: host.Database{Name: "app", Path: path, Replica: "somewhere", Writer: "0123456789abcdef0123456789abcdef"},
	}
	r.app.Run(t, "CREATE TABLE still AS SELECT randomblob(20000);", "CREATE TABLE t(id INTEGER PRIMARY KEY, v);")
	return r
}

func (r *repaired) ship() {
	r.t.Helper()
	r.app.Run(r.t, "INSERT INTO t(v) VALUES (randomblob(9000));")
	res, err := r.host.SyncOnce(r.t.Context(), r.db, 0)
	r.keep(res, err)
}

func (r *repaired) keep(res host.Result, err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
	truth := filepath.Join(r.t.TempDir(), fmt.Sprint(res.TXID))
	if err := os.WriteFile(truth, sqlitetest.Truth(r.t, r.db.Path), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.truths[res.TXID] = truth
	time.Sleep(3 * time.Millisecond) // states are told apart by their milliseconds
}

// repair verifies, has the database put a snapshot if it takes that, and sets aside what
// is damaged, as if a day had gone by.
func (r *repaired) repair() (m verify.Mended) {
	r.t.Helper()
	ctx := context.WithoutCancel(r.t.Context())
	s, err := verify.Look(ctx, verify.SurveyOptions{Replica: r.p.replica})
	if err != nil {
		r.t.Fatal(err)
	}
	opts := verify.MendOptions{Replica: r.p.replica, Damaged: s.Damaged, Now: func() time.Time { return time.Now().Add(24 * time.Hour) }}
	m, err = verify.Assess(ctx, opts)
	if err == nil && m.Snapshot {
		res, err := r.host.Snapshot(ctx, r.db, 0, m.Latest)
		r.keep(res, err)
	}
	if err == nil {
		m, err = verify.Mend(ctx, opts)
	}
	if err != nil || m.Snapshot {
		r.t.Fatalf("repair: %+v, %v", m, err)
	}
	return m
}

func (r *repaired) mustRestoreBoth() (states int) {
	r.t.Helper()
	all, err := r.p.replica.All(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	points, _ := plan.Points(replica.Files(all))
	for _, one := range points {
		assertBothRestore(r.t, r.p, plan.Target{TXID: one.TXID}, r.truths[one.TXID])
	}
	assertBothRestore(r.t, r.p, plan.Target{}, r.truths[points[len(points)-1].TXID])
	return len(points)
}

// After a repair either program restores all states that are left: with an object set
// aside that a merge stands in for, and beyond a snapshot that stands in for what was lost.
func TestBothRestoreWhatWasRepaired(t *testing.T) {
	inEachPlace(t, func(t *testing.T, p place) {
		r := newRepaired(t, p)
		for range 6 {
			r.ship()
		}
		objects, err := p.replica.Objects(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.replica.Merge(t.Context(), 1, objects[1:5], t.TempDir()); err != nil {
			t.Fatal(err)
		}
		key := replica.Key(0, 3, 3)
		if err := damage.Edit(t.Context(), r.store, key, func(b []byte) []byte { return b[:len(b)-9] }); err != nil {
			t.Fatal(err)
		}
		if m := r.repair(); len(m.Aside) != 1 || m.Aside[0] != key {
			t.Errorf("set aside %q", m.Aside)
		}
		if states := r.mustRestoreBoth(); states != 4 { // 1, 2, 5, 6: 3 is gone, and 4 goes on from it
			t.Errorf("%d states are left, want 4", states)
		}
		if err := r.store.Delete(t.Context(), replica.Key(0, 6, 6)); err != nil {
			t.Fatal(err)
		}
		r.ship() // goes on after what is gone
		r.repair()
		r.ship()
		if states := r.mustRestoreBoth(); states != 5 { // 1, 2, 5, the snapshot, and one more
			t.Errorf("%d states are left, want 5", states)
		}
	})
}
