package faults_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob/file"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

const (
	writerA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	writerB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// otherHost is a host with a database of its own and a worker in a process of its
// own.
type otherHost struct {
	*child
	app *sqlitetest.Shell
	n   int
}

// twoWriters returns two hosts that were told to write the same replica. Their
// databases differ.
func twoWriters(t *testing.T) (a, b *otherHost, r *replica.Replica) {
	t.Helper()
	store := t.TempDir()
	r = replica.New(file.New(store))
	make := func(id string) *otherHost {
		path := filepath.Join(t.TempDir(), "app.db")
		app := sqlitetest.StartShell(t, path)
		app.Run(t, "CREATE TABLE t(writer, n);")
		return &otherHost{app: app, child: &child{
			Database: host.Database{Name: "app", Path: path, Replica: "file://" + store, Writer: id},
			StateDir: t.TempDir(), Store: store, Silence: time.Second,
		}}
	}
	return make(writerA), make(writerB), r
}

func (w *otherHost) commit(t *testing.T) {
	t.Helper()
	w.n++
	w.app.Run(t, fmt.Sprintf("INSERT INTO t VALUES ('%s', %d);", w.Writer, w.n))
}

// mustShip commits and makes a pass that must succeed.
func (w *otherHost) mustShip(t *testing.T) {
	t.Helper()
	w.commit(t)
	if got := w.say(t, "pass"); !strings.HasPrefix(got, "at ") {
		t.Fatalf("the rightful writer: %s", got)
	}
}

// mustBeFenced commits and makes passes that must be refused.
func (w *otherHost) mustBeFenced(t *testing.T) {
	t.Helper()
	for range 3 {
		w.commit(t)
		if got := w.say(t, "pass"); !strings.HasPrefix(got, "failed: fenced: ") {
			t.Fatalf("the other writer: got %q, want that it is fenced", got)
		}
	}
}

// mustHold fails unless all objects from TXID from on are w's, and the latest
// state is its database.
func (w *otherHost) mustHold(t *testing.T, r *replica.Replica, from ltx.TXID) {
	t.Helper()
	objects, err := r.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if o.Max >= from && o.Writer != w.Writer {
			t.Errorf("%s was written by %s", o.Key(), o.Writer)
		}
	}
	sqlitetest.Same(t, (&replicated{replica: r}).restored(t), sqlitetest.Truth(t, w.Path), 4096)
}

func TestTheSecondWriterIsFencedWhenItStartsLate(t *testing.T) {
	a, b, r := twoWriters(t)
	a.start(t)
	a.mustShip(t)
	b.start(t)
	b.mustBeFenced(t)
	a.mustShip(t)
	a.mustHold(t, r, 1)
}

// TestTheSecondWriterIsFencedWhenItWasRunningFirst has it read the empty replica
// before the rightful one does, and put after it.
func TestTheSecondWriterIsFencedWhenItWasRunningFirst(t *testing.T) {
	a, b, r := twoWriters(t)
	b.Path = filepath.Join(filepath.Dir(b.Path), "not-yet.db")
	b.start(t)
	if got := b.say(t, "pass"); !strings.Contains(got, "missing") {
		t.Fatalf("without a database: %s", got)
	}
	a.start(t)
	a.mustShip(t)
	b.app = sqlitetest.StartShell(t, b.Path)
	b.app.Run(t, "CREATE TABLE t(writer, n);")
	b.mustBeFenced(t)
	a.mustShip(t)
	a.mustHold(t, r, 1)
}

// TestAStalledWriterIsFencedByWhoTookOver stops the first writer, process and all,
// lets the second take over as somebody decided, and lets the first go on: also
// when the TXID that it wants is free again, since what was there has expired
// meanwhile.
func TestAStalledWriterIsFencedByWhoTookOver(t *testing.T) {
	for _, expired := range []bool{false, true} {
		t.Run(fmt.Sprintf("level 0 has expired: %v", expired), func(t *testing.T) {
			a, b, r := twoWriters(t)
			a.start(t)
			a.mustShip(t)
			a.mustShip(t)
			a.signal(t, syscall.SIGSTOP)
			b.TakeOver = true
			b.start(t)
			for range 4 {
				b.mustShip(t)
			}
			if expired {
				mustExpire(t, r, b)
			}
			time.Sleep(b.Silence + 200*time.Millisecond)
			a.commit(t)
			a.send(t, "pass") // waits in its pipe
			a.signal(t, syscall.SIGCONT)
			if got := a.answer(t); !strings.HasPrefix(got, "failed: fenced: ") {
				t.Errorf("the stalled writer: got %q, want that it is fenced", got)
			}
			a.mustBeFenced(t)
			b.mustShip(t)
			b.mustHold(t, r, 3)
		})
	}
}

// mustExpire does what maintenance will: all but the newest object of level 0 go,
// when a snapshot has taken their place.
func mustExpire(t *testing.T, r *replica.Replica, w *otherHost) {
	t.Helper()
	head, err := r.Head(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	image := (&replicated{replica: r}).restored(t)
	at, err := r.Position(t.Context(), head)
	if err != nil {
		t.Fatal(err)
	}
	d := replica.Draft{Level: plan.SnapshotLevel, Min: 1, Max: head.Max, Created: head.Created, Position: at, From: 32, Writer: w.Writer}
	_, err = r.Put(t.Context(), d, func(emit func(uint32, []byte) error) error {
		for p := uint32(1); p <= at.Commit; p++ {
			if err := emit(p, image[(p-1)*at.PageSize:p*at.PageSize]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	store := file.New(w.Store)
	for txid := ltx.TXID(1); txid < head.Max; txid++ {
		if err := store.Delete(t.Context(), replica.Key(0, txid, txid)); err != nil {
			t.Fatal(err)
		}
	}
}
