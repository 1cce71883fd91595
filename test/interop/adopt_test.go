package interop_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/maintain"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// moving is a database that moves from one program to the other, always on one replica.
type moving struct {
	t      *testing.T
	p      place
	path   string
	app    *sqlitetest.Shell
	host   *host.Host
	d      host.Database
	rows   int
	times  int                 // at which a restore was tried
	truths map[ltx.TXID]string // files that hold what the database was
}

func newMoving(t *testing.T, p place) *moving {
	path := filepath.Join(t.TempDir(), "app.db")
	app := sqlitetest.StartShell(t, path)
	app.Run(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, v);", "INSERT INTO t(v) SELECT randomblob(1000) FROM generate_series(1, 300);")
	return &moving{
		t: t, p: p, path: path, app: app, host: mustHost(t, p), truths: make(map[ltx.TXID]string),
		d: host.Database{Name: "app", Path: path, Replica: "somewhere", Writer: "0123456789abcdef0123456789abcdef"},
	}
}

func (m *moving) insert() {
	m.t.Helper()
	m.rows++
	m.app.Run(m.t, fmt.Sprintf("INSERT INTO t(v) VALUES (randomblob(%d));", 500+m.rows%7*900))
}

// litestream has Litestream replicate for a while.
func (m *moving) litestream() {
	m.t.Helper()
	litestreamReplicate(m.t, m.p, m.path, func() {
		for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(80 * time.Millisecond) {
			m.insert()
		}
		time.Sleep(time.Second)
	})
}

// truth is the database as it is.
func (m *moving) truth() string {
	m.t.Helper()
	name := filepath.Join(m.t.TempDir(), "truth.db")
	if err := os.WriteFile(name, sqlitetest.Truth(m.t, m.path), 0o600); err != nil {
		m.t.Fatal(err)
	}
	return name
}

func (m *moving) objects() []replica.Object {
	m.t.Helper()
	all, err := m.p.replica.All(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	return all
}

func (m *moving) points() []plan.Point {
	m.t.Helper()
	points, lost := plan.Points(replica.Files(m.objects()))
	if len(lost) > 0 {
		m.t.Errorf("nothing leads to %v", lost)
	}
	return points
}

// tries tells which of the points are restored: the newest, and of the others as many as
// there is time for: each is restored six times, by two programs.
func (m *moving) tries(points []plan.Point, i int) bool {
	every := ltx.TXID(2)
	if m.p.key != "" {
		every = 8
	}
	return i == len(points)-1 || points[i].TXID%every == 0
}

// learn takes for the truth of each state that is tried what Litestream restores, of those
// that it has replicated itself.
func (m *moving) learn() {
	m.t.Helper()
	points := m.points()
	for i, one := range points {
		if m.tries(points, i) && m.truths[one.TXID] == "" {
			m.truths[one.TXID] = litestreamRestore(m.t, m.p, plan.Target{TXID: one.TXID})
		}
	}
}

// sync has Holdfast ship what there is.
func (m *moving) sync(adopt bool) host.Result {
	m.t.Helper()
	d := m.d
	d.Adopt = adopt
	res, err := m.host.SyncOnce(m.t.Context(), d, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	m.truths[res.TXID] = m.truth()
	time.Sleep(3 * time.Millisecond) // states are told apart by their milliseconds
	return res
}

// check has both restore the latest state, those that are tried of the ones that are kept,
// and the moment before the next for some of them.
func (m *moving) check() {
	m.t.Helper()
	points := m.points()
	assertBothRestore(m.t, m.p, plan.Target{}, m.truths[points[len(points)-1].TXID])
	for i, one := range points {
		if !m.tries(points, i) {
			continue
		}
		want := m.truths[one.TXID]
		if want == "" {
			m.t.Fatalf("nobody knows what TXID %s was", one.TXID)
		}
		assertBothRestore(m.t, m.p, plan.Target{TXID: one.TXID}, want)
		// A snapshot of Litestream's is labelled with when it was made, which may be later than
		// what follows: which state is meant there is not clear, and Holdfast says so.
		around := points[max(0, i-1):min(i+3, len(points))]
		rise := slices.IsSortedFunc(around, func(a, b plan.Point) int { return a.Created.Compare(b.Created) })
		if i+1 < len(points) && rise && points[i+1].Created.Sub(one.Created) > 10*time.Millisecond {
			assertBothRestore(m.t, m.p, plan.Target{At: points[i+1].Created}, want)
			m.times++
		}
	}
}

// TestAdoption goes on after Litestream's last TXID, on its replica, and back again.
func TestAdoption(t *testing.T) {
	inEachPlace(t, func(t *testing.T, p place) {
		m := newMoving(t, p)
		m.litestream()
		m.learn()
		last := m.points()[len(m.points())-1].TXID
		assertSameFile(t, m.truths[last], m.truth())

		m.adopt(last)
		m.check()
		m.maintain()
		m.check()
		for _, closed := range []bool{false, true} {
			m.back(closed)
			m.check()
			m.adopt(m.points()[len(m.points())-1].TXID)
			m.check()
		}
		if m.times < 10 {
			t.Errorf("%d times were tried, want 10", m.times)
		}
	})
}

// adopt is refused where nobody has asked for it. The first object after last, the head,
// has all pages, since nothing in the replica says what the others come to.
func (m *moving) adopt(last ltx.TXID) {
	m.t.Helper()
	if _, err := m.host.SyncOnce(m.t.Context(), m.d, 0); !errors.Is(err, ship.ErrForeign) || !strings.Contains(err.Error(), "--adopt") {
		m.t.Fatalf("unasked: got %v, want that it needs --adopt", err)
	}
	m.insert()
	if res := m.sync(true); res.TXID != last+1 || res.Puts != 1 {
		m.t.Fatalf("it went on at TXID %s with %d objects after %s, want one", res.TXID, res.Puts, last)
	}
	head, err := m.p.replica.Find(m.t.Context(), 0, last+1, last+1)
	if err != nil {
		m.t.Fatal(err)
	}
	if pages, of := m.pages(head); pages != of || head.Writer != m.d.Writer {
		m.t.Errorf("%s has %d pages of %d and is by %q; want all, and our own", head.Key(), pages, of, head.Writer)
	}
	for range 12 {
		m.insert()
		m.sync(false)
	}
	if res := m.sync(false); res.TXID != last+13 || res.Puts != 0 {
		m.t.Errorf("TXID %s after 12 more, %d objects of nothing", res.TXID, res.Puts)
	}
}

// maintain runs until nothing is left to do, with nothing kept for long.
func (m *moving) maintain() {
	m.t.Helper()
	time.Sleep(1500 * time.Millisecond)
	var merged, removed int
	now := time.Now()
	for range 3 {
		done, err := maintain.Run(m.t.Context(), maintain.Options{
			Replica: replica.New(dated{m.p.store, func() time.Time { return now }}), URL: m.p.url.String(), Log: slog.New(slog.DiscardHandler),
			Policy: plan.Policy{Window: time.Hour, Level0: time.Second}, Now: func() time.Time { return now },
		})
		if err != nil {
			m.t.Fatal(err)
		}
		merged, removed = merged+len(done.Merged), removed+len(done.Expired)
	}
	if merged < 2 || removed < 20 {
		m.t.Errorf("%d objects were merged and %d removed of what both have written", merged, removed)
	}
}

// pages counts those in an object, and those of the database after it.
func (m *moving) pages(o replica.Object) (have, of int) {
	m.t.Helper()
	reader, err := m.p.replica.Open(m.t.Context(), o)
	if err != nil {
		m.t.Fatal(err)
	}
	defer reader.Close()
	err = reader.Pages(func(uint32, []byte) error { have++; return nil })
	if err != nil {
		m.t.Fatal(err)
	}
	return have, int(reader.Commit())
}

// back lets Litestream go on where Holdfast has stopped: it fetches the newest object of
// the replica. Where the log goes on from there it ships what follows, and all pages
// where it does not, as when the application has closed the database meanwhile.
func (m *moving) back(closed bool) {
	m.t.Helper()
	if closed {
		m.app.Quit()
	}
	if err := m.host.Release(m.t.Context(), m.d); err != nil {
		m.t.Fatal(err)
	}
	if closed {
		m.app = sqlitetest.StartShell(m.t, m.path)
	}
	last := m.points()[len(m.points())-1].TXID
	m.litestream()
	m.learn()
	points := m.points()
	assertSameFile(m.t, m.truths[points[len(points)-1].TXID], m.truth())
	next, err := m.p.replica.Find(m.t.Context(), 0, last+1, last+1)
	if err != nil {
		m.t.Fatal(err)
	}
	if pages, of := m.pages(next); next.Writer != "" || closed != (pages == of) {
		m.t.Errorf("%s is by %q and has %d pages of %d; closed meanwhile: %v", next.Key(), next.Writer, pages, of, closed)
	}
}

// TestWhatLitestreamLeaves in the database does not change what is replicated, and may be
// dropped while Holdfast is at work. Its directory does not stand in the way.
func TestWhatLitestreamLeaves(t *testing.T) {
	inEachPlace(t, func(t *testing.T, p place) {
		m := newMoving(t, p)
		m.litestream()
		m.learn()
		m.insert()
		m.sync(true)
		if _, err := os.Stat(filepath.Join(filepath.Dir(m.path), ".app.db-litestream")); err != nil {
			t.Error(err)
		}
		m.app.Run(t, "DROP TABLE _litestream_seq;", "DROP TABLE _litestream_lock;")
		m.sync(false)
		if err := os.RemoveAll(filepath.Join(filepath.Dir(m.path), ".app.db-litestream")); err != nil {
			t.Fatal(err)
		}
		m.insert()
		m.sync(false)
		m.check()
	})
}
