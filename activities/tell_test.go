package activities_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.temporal.io/api/serviceerror"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
)

// script makes attempts at one window, one a second, each ending as told: nil is
// a pass that succeeds. Time is the bubble's.
func script(b *bench, ends ...error) {
	failures := 0
	for _, end := range ends {
		b.a.Host.(*fakeHost).sync = func(context.Context, host.Window, func(host.Progress)) (host.Result, error) {
			if end != nil {
				return host.Result{}, end
			}
			return host.Result{Reason: host.Recovered, Progress: host.Progress{Passes: 1, TXID: 8}}, nil
		}
		if _, err := b.sync(input(failures), nil); (err != nil) != (end != nil) {
			b.t.Errorf("got %v, want %v", err, end)
		}
		if failures++; end == nil {
			failures = 0
		}
		time.Sleep(time.Second)
	}
}

func repeat(n int, err error) (all []error) {
	for range n {
		all = append(all, err)
	}
	return all
}

func TestAFailingDatabaseIsLoggedOnceIn30Seconds(t *testing.T) {
	for _, row := range []struct {
		name              string
		ends              []error
		errors, recovered int
	}{
		{"the first failure", repeat(1, errNet), 1, 0},
		{"half a minute of them", repeat(30, errNet), 1, 0},
		{"a second longer", repeat(31, errNet), 2, 0},
		{"failures of different kinds are one trouble", []error{errNet, source.ErrBusy, errNet, source.ErrBusy}, 1, 0},
		{"recovery after one", []error{errNet, nil}, 1, 1},
		{"no recovery without a failure", []error{nil, nil}, 0, 0},
		{"fails and recovers in turn", []error{errNet, nil, errNet, nil, errNet, nil}, 1, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, &fakeHost{})
				script(b, row.ends...)
				b.a.Close(t.Context())
				if n := b.log.count("error sync failed"); n != row.errors {
					t.Errorf("got %d errors, want %d: %v", n, row.errors, b.log.all)
				}
				if n := b.log.count("info recovered"); n != row.recovered {
					t.Errorf("got %d recoveries, want %d: %v", n, row.recovered, b.log.all)
				}
			})
		})
	}
}

func TestReportsTellNewsAndTheLastStateAlways(t *testing.T) {
	busy, full, away := source.ErrBusy, source.ErrDiskFull, blob.ErrUnavailable
	for _, row := range []struct {
		name string
		ends []error
		now  []string // types that are told within a second of the last end
		late []string // and within a minute
	}{
		{"the first failure at once, no repetition", repeat(25, errNet), []string{activities.Internal}, nil},
		{"a change of kind", []error{errNet, away}, []string{activities.Internal, activities.StoreUnavailable}, nil},
		{"what changes back", []error{errNet, full, errNet}, []string{activities.Internal, activities.DiskFull, activities.Internal}, nil},
		{"the last of too many changes", []error{errNet, busy, away, errNet, busy, away, errNet, busy}, []string{
			activities.Internal, activities.DatabaseBusy, activities.StoreUnavailable,
			activities.Internal, activities.DatabaseBusy, activities.StoreUnavailable,
		}, []string{activities.DatabaseBusy}},
		{"nothing when nothing is wrong", repeat(3, nil), nil, nil},
		{"no recovery, which the window's end tells", []error{errNet, nil}, []string{activities.Internal}, nil},
		{"no failure that the window's end tells", []error{ship.ErrFenced}, nil, nil},
		{"nothing that waited for its turn until the window ended", []error{errNet, busy, errNet, busy, errNet, busy, errNet, nil}, []string{
			activities.Internal, activities.DatabaseBusy, activities.Internal, activities.DatabaseBusy, activities.Internal, activities.DatabaseBusy,
		}, nil},
		{"nor until it was fenced", []error{errNet, busy, errNet, busy, errNet, busy, errNet, ship.ErrFenced}, []string{
			activities.Internal, activities.DatabaseBusy, activities.Internal, activities.DatabaseBusy, activities.Internal, activities.DatabaseBusy,
		}, nil},
		{"not the third full disk", []error{errNet, errNet, full}, []string{activities.Internal}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, &fakeHost{})
				script(b, row.ends...)
				wantReports(t, b, row.now)
				time.Sleep(time.Minute)
				wantReports(t, b, append(row.now, row.late...))
			})
		})
	}
}

// TestAFaultThatLastsIsReportedBoundedly holds docs/workflows.md to its word: six reports,
// and one more for each 10 s.
func TestAFaultThatLastsIsReportedBoundedly(t *testing.T) {
	const attempts = 200
	for _, row := range []struct {
		name string
		ends []error // over and over
		most int
	}{
		{"of one kind", []error{errNet}, 1},
		{"of another kind each time", []error{errNet, blob.ErrUnavailable}, 6 + attempts/10},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, &fakeHost{})
				for range attempts / len(row.ends) {
					script(b, row.ends...)
				}
				if got := len(b.rep.list()); got > row.most || got < row.most-1 {
					t.Errorf("%d attempts were reported %d times, want %d", attempts, got, row.most)
				}
			})
		})
	}
}

// A report says nothing about a window but its own.
func TestTheFirstFailureOfAWindowIsNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &fakeHost{sync: fails(errNet)})
		for _, window := range []int{7, 7, 8, 8} {
			in := input(0)
			in.Window = window
			if _, err := b.sync(in, nil); err == nil {
				t.Error("a failing window succeeded")
			}
			time.Sleep(time.Second)
		}
		if got := b.rep.list(); len(got) != 2 || got[0].Window != 7 || got[1].Window != 8 {
			t.Errorf("got %+v, want a report of window 7 and one of window 8", got)
		}
	})
}

func wantReports(t *testing.T, b *bench, want []string) {
	t.Helper()
	got := b.rep.list()
	if len(got) != len(want) {
		t.Fatalf("got %+v, want %q", got, want)
	}
	for i, r := range got {
		if r.Type != want[i] || (r.Failures == 0) != (want[i] == "") || r.Window != 7 {
			t.Errorf("report %d: got %+v, want type %q of window 7", i, r, want[i])
		}
	}
}

func TestAfterAReleaseTheFirstFailureIsNewsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &fakeHost{release: func(host.Database) error { return nil }})
		script(b, errNet)
		if _, err := b.env(nil).ExecuteActivity(activities.NameRelease, activities.ReleaseInput{Database: input(0).Database}); err != nil {
			t.Fatal(err)
		}
		script(b, errNet)
		time.Sleep(time.Minute)
		wantReports(t, b, []string{activities.Internal, activities.Internal})
	})
}

func TestReportThatCannotBeSentIsSentLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &fakeHost{})
		b.rep.broken = serviceerror.NewUnavailable("away")
		script(b, errNet)
		time.Sleep(35 * time.Second)
		b.rep.mend()
		time.Sleep(10 * time.Second)
		wantReports(t, b, []string{activities.Internal})
	})
}

func TestReportToAWorkflowThatIsGoneIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &fakeHost{})
		b.rep.broken = serviceerror.NewNotFound("gone")
		script(b, errNet)
		b.rep.mend()
		time.Sleep(time.Minute)
		wantReports(t, b, nil)
	})
}

func TestCloseSendsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &fakeHost{})
		const told = 6
		for range told / 2 {
			script(b, errNet, source.ErrBusy)
		}
		script(b, errNet)
		if got := len(b.rep.list()); got != told {
			t.Errorf("%d reports before the end, want %d", got, told)
		}
		b.a.Close(t.Context())
		if got := b.rep.list(); len(got) != told+1 || got[told].Type != activities.Internal {
			t.Errorf("got %+v, want %d reports and the one that waited", got, told)
		}
		script(b, nil)
		if got := len(b.rep.list()); got != told+1 {
			t.Errorf("%d reports after the end, want %d", got, told+1)
		}
	})
}

func TestAWindowOfAHostThoughtAwayReportsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &fakeHost{})
		b.a.Host.(*fakeHost).sync = func(context.Context, host.Window, func(host.Progress)) (host.Result, error) {
			time.Sleep(time.Minute)
			return host.Result{Reason: host.WindowOver, Progress: host.Progress{Passes: 1}}, nil
		}
		in := input(0)
		in.Announce = true
		if _, err := b.sync(in, nil); err != nil {
			t.Fatal(err)
		}
		wantReports(t, b, []string{""})
	})
}

func TestAWindowOfAHostThoughtAwayAnnouncesItselfOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &fakeHost{sync: fails(errNet)})
		in, last := input(4), (*activities.Beat)(nil) // of which the workflow knows all
		in.Announce = true
		for n := range 3 {
			if _, err := b.sync(in, last); err == nil {
				t.Error("a failing window succeeded")
			}
			last = &activities.Beat{Failures: 5 + n, Type: activities.Internal}
			time.Sleep(time.Minute)
		}
		got := b.rep.list()
		if len(got) != 2 || got[0].Failures != 0 || got[1].Failures != 5 {
			t.Errorf("got %+v, want the announcement and the first failure", got)
		}
	})
}

// lostHost has lost windows.
type lostHost struct {
	windows   []host.LostWindow
	forgotten []string
}

func (l *lostHost) LostWindows() ([]host.LostWindow, error) { return l.windows, nil }
func (l *lostHost) ForgetLost(name string) error {
	l.forgotten = append(l.forgotten, name)
	return nil
}

type completions map[string]error

func (c completions) CompleteActivity(_ context.Context, token []byte, result any, err error) error {
	if err != nil || result.(activities.SyncResult).Reason != host.Lost {
		return errors.New("not completed as lost")
	}
	return c[string(token)]
}

// silent is the last heartbeat of a window that never sent one.
func silent(context.Context, string) activities.Beat { return activities.Beat{} }

func TestLostWindowsAreEndedAndForgotten(t *testing.T) {
	h := &lostHost{windows: []host.LostWindow{
		{Name: "ended", TaskToken: []byte("a"), Failures: 2},
		{Name: "given up by the service", TaskToken: []byte("b")},
		{Name: "kept for later", TaskToken: []byte("c")},
	}}
	n, err := activities.EndLostWindows(t.Context(), completions{"b": serviceerror.NewNotFound("gone"), "c": serviceerror.NewUnavailable("away")}, h, silent)
	if n != 1 || err == nil {
		t.Errorf("got %d, %v; want 1 and the error of the third", n, err)
	}
	if len(h.forgotten) != 2 || h.forgotten[0] != "ended" || h.forgotten[1] != "given up by the service" {
		t.Errorf("forgot %q", h.forgotten)
	}
}
