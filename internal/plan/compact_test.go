package plan_test

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/superfly/ltx"
	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast/internal/plan"
)

// pages are the TXIDs that last changed each page: what a file or a database holds.
type pages map[int]ltx.TXID

// history is a replica that is written, maintained and read, by a model that knows what
// the database was at each TXID.
type history struct {
	t      *rapid.T
	policy plan.Policy
	now    time.Time
	files  map[plan.File]pages
	truth  map[ltx.TXID]pages
	made   map[ltx.TXID]time.Time
	head   ltx.TXID
	amid   bool          // some of what has expired is gone, and some is not
	behind time.Duration // how far the writer's clock is behind the store's
}

func (h *history) list() []plan.File { return slices.Collect(maps.Keys(h.files)) }

// put ships changes of some pages or, as after a change of the page size, all of them
// as a snapshot alone.
func (h *history) put() {
	h.now = h.now.Add(time.Duration(rapid.IntRange(1, 3).Draw(h.t, "wait")) * time.Second)
	h.head++
	now := maps.Clone(h.truth[h.head-1])
	if now == nil {
		now = pages{}
	}
	f := plan.File{Min: h.head, Max: h.head, Created: h.now.Add(-h.behind), Stored: h.now}
	changed := pages{}
	again := h.head > 1 && rapid.IntRange(0, 60).Draw(h.t, "again") == 0
	for p := range 6 {
		if h.head == 1 || again || rapid.Bool().Draw(h.t, "changed") {
			now[p], changed[p] = h.head, h.head
		}
	}
	if again {
		f.Level, f.Min = plan.SnapshotLevel, 1
	}
	f.Size = int64(len(changed))<<20 + 1
	h.files[f], h.truth[h.head], h.made[h.head] = changed, now, f.Created
}

// merge makes what is planned as a worker does: from the files as they are now.
func (h *history) merge(m plan.Merge) {
	content := pages{}
	for i, f := range m.From {
		if i > 0 && !ltx.IsContiguous(m.From[i-1].Max, f.Min, f.Max) {
			h.t.Fatalf("merge of %s, which does not go on", format(m.From))
		}
		if _, ok := h.files[f]; !ok {
			h.t.Fatalf("merge of %v, which is not there", f)
		}
		maps.Copy(content, h.files[f])
	}
	last := m.From[len(m.From)-1]
	f := plan.File{Level: m.Level, Min: m.Min, Max: m.Max, Size: int64(len(content))<<20 + 1, Created: last.Created, Stored: h.now}
	if m.From[0].Min != m.Min || last.Max != m.Max {
		h.t.Fatalf("%v made of %s", f, format(m.From))
	}
	h.files[f] = content
}

// compact makes some of what is due, as one that is killed does.
func (h *history) compact() {
	for _, m := range plan.Compaction(h.list()) {
		if rapid.IntRange(0, 9).Draw(h.t, "killed") == 0 {
			return
		}
		h.merge(m)
	}
}

// expire removes what may go, up to where it is killed.
func (h *history) expire() {
	for _, r := range plan.Retention(h.list(), h.policy, nil, h.now) {
		h.amid = true
		if rapid.IntRange(0, 30).Draw(h.t, "killed") == 0 {
			return
		}
		if _, ok := h.files[r.For]; !ok {
			h.t.Fatalf("%v goes for %v, which is not there", r.File, r.For)
		}
		if age := h.now.Sub(r.File.Stored); r.File.Level == 0 && age < h.policy.Level0 {
			h.t.Fatalf("%v goes, which the store has had for %v", r.File, age)
		}
		delete(h.files, r.File)
		h.check()
	}
	h.amid = false
	h.check()
}

// check restores every state that is kept, and asks for every moment of the window.
func (h *history) check() {
	files := h.list()
	restore := func(target plan.Target) (ltx.TXID, error) {
		chain, err := plan.Restore(files, target)
		if err != nil {
			return 0, err
		}
		got := pages{}
		for _, f := range chain {
			maps.Copy(got, h.files[f])
		}
		end := chain[len(chain)-1].Max
		if !maps.Equal(got, h.truth[end]) {
			h.t.Fatalf("%+v restores %v by %s, want %v", target, got, format(chain), h.truth[end])
		}
		return end, nil
	}
	points, _ := plan.Points(files)
	for _, p := range points {
		if end, err := restore(plan.Target{TXID: p.TXID}); err != nil || end != p.TXID {
			h.t.Fatalf("TXID %d: %d, %v", p.TXID, end, err)
		}
	}
	if end, err := restore(plan.Target{}); err != nil || end != h.head {
		h.t.Fatalf("the latest is %d, %v; want %d", end, err, h.head)
	}
	for txid, made := range h.made {
		age := h.now.Sub(made)
		if age > h.policy.Window {
			continue
		}
		end, err := restore(plan.Target{At: made.Add(time.Millisecond)})
		if h.amid && errors.Is(err, plan.ErrGap) && age > h.policy.Level0 {
			continue // which may as well have been lost; the next run ends that
		}
		if most := h.grain(age); err != nil || end > txid || txid-end >= most {
			h.t.Fatalf("the moment of TXID %d, %v ago: %d, %v; want one within %d transactions; there are %s", txid, age, end, err, most, format(files))
		}
	}
}

// grain is how many transactions a state of that age may stand for.
func (h *history) grain(age time.Duration) ltx.TXID {
	n, keep := ltx.TXID(1), h.policy.Level0
	for ; age >= keep; keep *= plan.FanIn {
		n *= plan.FanIn
	}
	return n
}

// Law: after any sequence of puts, compactions, snapshots and expiries, each of them cut
// off anywhere, every state that is kept restores to what the database was then, the
// latest is kept, and so is one for every moment of the window, as close as its age
// promises. While an expiry is under way, or was cut off, there may be an error for a
// moment, but no other state.
func TestMaintenanceLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &history{
			t: t, now: epoch, files: map[plan.File]pages{}, truth: map[ltx.TXID]pages{}, made: map[ltx.TXID]time.Time{},
			policy: plan.Policy{Window: time.Duration(rapid.IntRange(20, 300).Draw(t, "window")) * time.Second, Level0: time.Duration(rapid.IntRange(4, 20).Draw(t, "level0")) * time.Second},
		}
		h.behind = rapid.SampledFrom([]time.Duration{0, h.policy.Level0, 3 * h.policy.Level0, 2 * h.policy.Window}).Draw(t, "behind")
		h.put()
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				h.compact()
			case 3:
				h.now = h.now.Add(time.Duration(rapid.IntRange(1, 60).Draw(t, "idle")) * time.Second)
			case 1:
				if m, due := plan.Snapshot(h.list()); due {
					h.merge(m)
				}
			case 2:
				h.expire()
			default:
				for range rapid.IntRange(1, 12).Draw(t, "puts") {
					h.put()
				}
			}
		}
		h.check()
	})
}

// TestALostMergeKeepsItsLevel loses a file of level 1 among others that level 2 has too:
// what it was made of is needed for those until they go themselves.
func TestALostMergeKeepsItsLevel(t *testing.T) {
	of := func(level, lo, hi int) plan.File {
		return plan.File{Level: level, Min: ltx.TXID(lo), Max: ltx.TXID(hi), Size: 1, Created: at(float64(hi))}
	}
	files := []plan.File{of(0, 1, 1), of(2, 2, 65), of(0, 66, 66)}
	for i := 2; i <= 65; i++ {
		files = append(files, of(0, i, i))
	}
	for i := 10; i <= 58; i += 8 { // 2 to 9 is lost
		files = append(files, of(1, i, i+7))
	}
	gone := map[plan.File]bool{}
	for _, r := range plan.Retention(files, plan.Policy{Window: 7 * 24 * time.Hour, Level0: time.Hour}, nil, epoch.Add(2*time.Hour)) {
		gone[r.File] = true
	}
	files = slices.DeleteFunc(files, func(f plan.File) bool { return gone[f] })
	points, lost := plan.Points(files)
	if len(lost) > 0 || len(points) < 9 || len(gone) == 0 {
		t.Errorf("%d states are left of %d files, %v lost", len(points), len(files), lost)
	}
}

// TestWhatTheStoreTookLatelyStays has a writer whose clock is days behind: its files look
// old enough to go, and four of them came just now.
func TestWhatTheStoreTookLatelyStays(t *testing.T) {
	now := epoch.Add(100 * 24 * time.Hour)
	of := func(level, lo, hi int, stored time.Duration) plan.File {
		return plan.File{Level: level, Min: ltx.TXID(lo), Max: ltx.TXID(hi), Size: 1, Created: at(float64(hi)), Stored: now.Add(-stored)}
	}
	files := []plan.File{of(0, 1, 1, 5*time.Hour), of(0, 10, 10, 0)}
	for txid := 2; txid <= 9; txid++ {
		files = append(files, of(0, txid, txid, time.Duration(10-txid)*14*time.Minute)) // 6 to 9 within the hour
	}
	for _, with := range []plan.File{of(1, 2, 9, 0), of(9, 1, 9, 0), of(9, 1, 5, 0)} {
		for days := range 5 {
			policy := plan.Policy{Window: time.Duration(1+30*days) * 24 * time.Hour, Level0: time.Hour}
			for _, r := range plan.Retention(append(slices.Clone(files), with), policy, nil, now) {
				if with.Max == 9 || r.File.Max > 5 {
					t.Errorf("window of %v: %v goes for %v", policy.Window, r.File, r.For)
				}
			}
		}
	}
	day := plan.Policy{Window: 24 * time.Hour, Level0: time.Hour}
	for _, r := range plan.Retention(append(slices.Clone(files[1:]), of(9, 1, 9, 0)), day, nil, now) { // nothing leads to them
		if r.File.Max > 5 {
			t.Errorf("%v goes for %v, which is all that there is with all pages", r.File, r.For)
		}
	}
	if removals := plan.Retention(append(files, of(9, 1, 5, 0)), day, nil, now); len(removals) != 5 {
		t.Errorf("%v go, want what only leads to states before that at 5", removals)
	}
}

// TestOneAloneIsNotCopied has a file that nothing follows on its level: copies of it on
// each level would make no state easier to restore.
func TestOneAloneIsNotCopied(t *testing.T) {
	of := func(level, lo, hi int) plan.File {
		return plan.File{Level: level, Min: ltx.TXID(lo), Max: ltx.TXID(hi), Size: 1, Created: at(float64(hi))}
	}
	for _, files := range [][]plan.File{
		{of(0, 1, 1), of(0, 2, 2), of(9, 1, 3), of(0, 4, 4)},                                       // before another page size
		{of(0, 1, 1), of(0, 3, 3), of(0, 5, 5)},                                                    // between gaps
		{of(0, 1, 1), of(1, 2, 9), of(0, 10, 10), of(1, 11, 18), of(0, 19, 19), of(1, 2002, 2009)}, // between merges
	} {
		if due := plan.Compaction(files); len(due) > 0 {
			t.Errorf("%s: %v is due", format(files), due)
		}
	}
	files := []plan.File{of(0, 1, 1), of(0, 2, 2), of(0, 3, 3), of(0, 5, 5)}
	if due := plan.Compaction(files); len(due) != 1 || due[0].Min != 2 || due[0].Max != 3 {
		t.Errorf("%s: %v is due, want that of 2 and 3", format(files), due)
	}
}

// TestATimeThatIsTooOldRemovesNothing has a snapshot that says that it is of years ago.
func TestATimeThatIsTooOldRemovesNothing(t *testing.T) {
	of := func(level, lo, hi int, days float64) plan.File {
		return plan.File{Level: level, Min: ltx.TXID(lo), Max: ltx.TXID(hi), Size: 1, Created: at(days * 24 * 3600)}
	}
	files := []plan.File{of(9, 1, 40, 0), of(1, 41, 60, 9), of(1, 61, 80, 10), of(1, 81, 99, 11), of(9, 1, 100, -9000), of(0, 100, 100, -9000), of(0, 101, 101, 12)}
	for _, r := range plan.Retention(files, plan.Policy{Window: 7 * 24 * time.Hour, Level0: time.Hour}, nil, epoch.Add(12*24*time.Hour)) {
		if r.File == files[0] {
			t.Errorf("%v goes for %v, from which the states of the last days do not begin", r.File, r.For)
		}
	}
}

// TestAMonth maintains the replicas of databases with one put a second for a month and
// says what that costs: of a small one, whose puts change the same pages, and of a large
// one, where no two do.
func TestAMonth(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	for _, row := range []struct {
		name string
		size int64
		most month
	}{
		{"of 100 kB", 100 << 10, month{Objects: 15_000, Rewritten: 4, FanIn: 40}},
		{"of 100 GB", 100 << 30, month{Objects: 15_000, Rewritten: 9, FanIn: 60}},
	} {
		got := simulate(30*24*time.Hour, time.Second, 1000, row.size)
		t.Logf("a database %s: %+v", row.name, got)
		if got.Objects > row.most.Objects || got.Rewritten > row.most.Rewritten || got.FanIn > row.most.FanIn {
			t.Errorf("a database %s: %+v, want at most %+v", row.name, got, row.most)
		}
	}
}

// month is what it takes to keep a replica.
type month struct {
	Puts      int
	Objects   int     // kept at the end
	Rewritten float64 // bytes, for each byte put
	FanIn     int     // files of the longest chain that was seen
}

// simulate puts size bytes every so often, into a database of at most all bytes.
func simulate(span, every time.Duration, size, all int64) (m month) {
	policy := plan.Policy{Window: 7 * 24 * time.Hour, Level0: time.Hour}
	files := []plan.File{{Min: 1, Max: 1, Size: all, Created: epoch}}
	var put, rewritten int64
	txid := ltx.TXID(1)
	add := func(g plan.Merge) {
		var n int64
		for _, f := range g.From {
			n += f.Size
		}
		n = min(n, all)
		rewritten += n
		files = append(files, plan.File{Level: g.Level, Min: g.Min, Max: g.Max, Size: n, Created: g.From[len(g.From)-1].Created})
	}
	for now := epoch; now.Before(epoch.Add(span)); {
		for range int(6 * time.Hour / every) {
			now = now.Add(every)
			txid++
			put += size
			files = append(files, plan.File{Min: txid, Max: txid, Size: size, Created: now})
		}
		for due := plan.Compaction(files); len(due) > 0; due = plan.Compaction(files) {
			for _, g := range due {
				add(g)
			}
		}
		if g, due := plan.Snapshot(files); due {
			add(g)
		}
		gone := map[plan.File]bool{}
		for _, r := range plan.Retention(files, policy, nil, now) {
			gone[r.File] = true
		}
		files = slices.DeleteFunc(files, func(f plan.File) bool { return gone[f] })
		chain, err := plan.Restore(files, plan.Target{})
		if err != nil {
			panic(err)
		}
		m.FanIn = max(m.FanIn, len(chain))
	}
	m.Puts, m.Objects, m.Rewritten = int(txid), len(files), float64(rewritten)/float64(put)
	return m
}
