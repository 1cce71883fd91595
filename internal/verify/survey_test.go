package verify_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/faulty"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/verify"
	"github.com/holdfast-db/holdfast/internal/wal"
	"github.com/holdfast-db/holdfast/test/damage"
)

func (r *rig) look(since ltx.TXID, budget int64) verify.Survey {
	r.t.Helper()
	s, err := verify.Look(r.t.Context(), verify.SurveyOptions{Replica: replica.New(r.store), Since: since, Budget: budget, Scratch: r.t.TempDir()})
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// TestABudgetIsKept surveys a replica in parts, each of which goes on after the one
// before: all objects are read, each once, and none over the budget.
func TestABudgetIsKept(t *testing.T) {
	r := newRig(t)
	all := r.objects()
	var largest, sum int64
	for _, o := range all {
		largest, sum = max(largest, o.Size), sum+o.Size
	}
	read, parts := int64(0), 0
	for since := ltx.TXID(0); since < r.head(); parts++ {
		s := r.look(since, largest*2)
		if s.ReadBytes > largest*2 || s.Through <= since {
			t.Fatalf("since %s: got %+v", since, s)
		}
		if s.Unread+s.Read != len(all) || s.UnreadSize+s.ReadBytes != sum {
			t.Errorf("since %s: %d read and %d not, %d and %d bytes; want %d, %d", since, s.Read, s.Unread, s.ReadBytes, s.UnreadSize, len(all), sum)
		}
		read, since = read+s.ReadBytes, s.Through
	}
	if parts < 2 || read < sum {
		t.Errorf("%d parts read %d bytes, want %d", parts, read, sum)
	}
	if _, err := verify.Prove(t.Context(), verify.ProofOptions{Replica: replica.New(r.store), Budget: 100, Scratch: t.TempDir()}); !errors.Is(err, verify.ErrBudget) {
		t.Errorf("a proof over the budget: %v", err)
	}
}

// TestObjectsBeforeAreLeftOut damages one object, and looks at those after it.
func TestObjectsBeforeAreLeftOut(t *testing.T) {
	r := newRig(t)
	r.put(replica.Key(0, 20, 20), []byte("no object"), r.info(replica.Key(0, 20, 20)).Metadata)
	if s := r.look(20, 0); !s.Sound() || s.Read == 0 || s.Read == s.Objects {
		t.Errorf("got %+v", s)
	}
	if s := r.look(19, 0); s.Sound() {
		t.Error("the object after 19 was not read")
	}
}

// TestAStoreThatFailsIsNotDamage lets each request of a survey and of a repair fail.
func TestAStoreThatFailsIsNotDamage(t *testing.T) {
	sound := newRig(t)
	for n := 1; ; n++ {
		r := sound.copied(t)
		broken := faulty.New(r.store)
		broken.Set(faulty.Nth(n, faulty.Fault{Kind: faulty.BreakOff, After: 200}))
		s, err := verify.Look(t.Context(), verify.SurveyOptions{Replica: replica.New(broken), Scratch: t.TempDir()})
		if len(broken.Failed()) == 0 {
			if n < 10 {
				t.Errorf("%d requests: not much was tried", n)
			}
			return
		}
		if err != nil && !errors.Is(err, blob.ErrUnavailable) || len(s.Damaged) > 0 {
			t.Fatalf("request %d: accused %+v, %v", n, s.Damaged, err)
		}
	}
}

// TestARepairMayBeCutOff lets each request of a repair fail, in each way, and makes it
// again: the object is aside then, whole, and nothing else is gone.
func TestARepairMayBeCutOff(t *testing.T) {
	sound := newRig(t)
	damaged := replica.Key(1, 10, 17)
	bad := append(sound.bytes(damaged), 1)
	for _, kind := range []faulty.Kind{faulty.Refuse, faulty.LoseAnswer, faulty.BreakOff} {
		for n := 1; ; n++ {
			r := sound.copied(t)
			r.put(damaged, bad, r.info(damaged).Metadata)
			s := r.survey()
			broken := faulty.New(r.store)
			broken.Set(faulty.Nth(n, faulty.Fault{Kind: kind, After: 50}))
			opts := verify.MendOptions{Replica: replica.New(broken), Damaged: s.Damaged, Now: func() time.Time { return later }}
			_, err := verify.Mend(t.Context(), opts)
			if len(broken.Failed()) == 0 {
				break
			}
			if err != nil {
				if _, err = verify.Mend(t.Context(), opts); err != nil {
					t.Fatalf("%v, request %d: %v", kind, n, err)
				}
			}
			if got := r.bytes("damaged/1/000000000000000a-0000000000000011.ltx.0"); !bytes.Equal(got, bad) {
				t.Errorf("%v, request %d: the copy is another", kind, n)
			}
			if left := r.objects(); len(left) != len(sound.objects())-1 || r.survey().Damaged != nil {
				t.Errorf("%v, request %d: %d objects left of %d", kind, n, len(left), len(sound.objects()))
			}
		}
	}
}

// TestAnObjectThatChangedIsLeftAlone sets aside what was judged, and nothing else.
func TestAnObjectThatChangedIsLeftAlone(t *testing.T) {
	r := newRig(t)
	key := replica.Key(1, 10, 17)
	o := r.objects()[slices.IndexFunc(r.objects(), func(o replica.Object) bool { return o.Key() == key })]
	if _, err := replica.New(r.store).SetAside(t.Context(), o, 12345); !errors.Is(err, replica.ErrChanged) {
		t.Errorf("got %v, want ErrChanged", err)
	}
	if s := r.survey(); !s.Sound() {
		t.Errorf("got %+v", s)
	}
}

// TestCopiesOfOneNameAreKept sets two objects of one name aside, one after the other.
func TestCopiesOfOneNameAreKept(t *testing.T) {
	r := newRig(t)
	key, meta := replica.Key(1, 10, 17), r.info(replica.Key(1, 10, 17)).Metadata
	for i, bad := range []string{"one", "two"} {
		r.put(key, []byte(bad), meta)
		opts := verify.MendOptions{Replica: replica.New(r.store), Damaged: r.survey().Damaged, Now: func() time.Time { return later }}
		if m, err := verify.Mend(t.Context(), opts); err != nil || !slices.Equal(m.Aside, []string{key}) {
			t.Fatalf("got %+v, %v", m, err)
		}
		copied := "damaged/1/000000000000000a-0000000000000011.ltx." + string(rune('0'+i))
		if got := string(r.bytes(copied)); got != bad {
			t.Errorf("%s holds %q, want %q", copied, got, bad)
		}
	}
}

// TestNamesAreHeld damages a young object on level 0, and the newest of all: neither is
// set aside, though a restore cannot do with them.
func TestNamesAreHeld(t *testing.T) {
	for _, row := range []struct {
		name string
		txid ltx.TXID
		now  time.Time
		held bool
		when time.Time
	}{
		{name: "young", txid: 20, now: at(20).Add(time.Hour - time.Second), held: true, when: at(20).Add(time.Hour)},
		{name: "old enough", txid: 20, now: at(20).Add(time.Hour), held: false},
		{name: "the newest", txid: 22, now: later, held: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t)
			key := replica.Key(0, row.txid, row.txid)
			*r.now = at(row.txid)
			r.put(key, []byte("no object"), r.info(key).Metadata)
			m, err := verify.Mend(t.Context(), verify.MendOptions{
				Replica: replica.New(r.store), Damaged: r.survey().Damaged, Now: func() time.Time { return row.now },
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := slices.Contains(m.Later, key); got != row.held || !m.When.Equal(row.when) || slices.Contains(m.Aside, key) == row.held {
				t.Errorf("got %+v", m)
			}
			if _, err := r.store.Stat(t.Context(), key); (err == nil) != row.held {
				t.Errorf("%s: %v", key, err)
			}
		})
	}
}

// TestASnapshotThatIsTooShortIsFound has one with a sound checksum, all of whose pages are
// those of its state, and not all that the state has: a restore that reads it is refused.
func TestASnapshotThatIsTooShortIsFound(t *testing.T) {
	r := newRig(t)
	state := r.states[22]
	newest, err := replica.New(r.store).Find(t.Context(), 0, 22, 22)
	if err != nil {
		t.Fatal(err)
	}
	d := replica.Draft{
		Level: plan.SnapshotLevel, Min: 1, Max: 22, Created: newest.Created, Writer: writer, Digest: newest.Digest,
		Position: wal.Position{PageSize: pageSize, Commit: uint32(len(state)/pageSize) - 1},
	}
	short, err := replica.New(r.store).Put(t.Context(), d, func(emit func(uint32, []byte) error) (err error) {
		for pgno := uint32(1); pgno <= d.Position.Commit && err == nil; pgno++ {
			err = emit(pgno, state[(pgno-1)*pageSize:pgno*pageSize])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if found := r.survey().Damaged; len(found) != 1 || found[0].Key != short.Key() || !found[0].Certain {
		t.Errorf("got %+v, want %s", found, short.Key())
	}
}

// TestWhatIsNotCertainIsLeftAlone accuses an object that contradicts one of another
// writer, upon which nothing else leans.
func TestWhatIsNotCertainIsLeftAlone(t *testing.T) {
	r := newRig(t)
	for _, o := range r.objects() {
		if o.Max > 13 || o.Complete() && o.Max > 1 || o.Level > 0 && o.Max != 9 {
			if err := r.store.Delete(t.Context(), o.Key()); err != nil {
				t.Fatal(err)
			}
		}
	}
	key := replica.Key(0, 1, 1)
	meta := r.info(key).Metadata
	other := newRig(t)
	meta["holdfastwriter"] = "ffffffffffffffffffffffffffffffff"
	meta["holdfastdigest"] = other.info(key).Metadata["holdfastdigest"]
	r.put(key, other.bytes(key), meta)
	s := r.look(0, 0)
	if len(s.Damaged) == 0 || s.Damaged[0].Certain || s.Sound() {
		t.Fatalf("got %+v, want an uncertain one", s.Damaged)
	}
	m, err := verify.Mend(t.Context(), verify.MendOptions{Replica: replica.New(r.store), Damaged: s.Damaged, Now: func() time.Time { return later }})
	if err != nil || len(m.Aside) > 0 {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestGapsAreDescribed(t *testing.T) {
	for want, g := range map[string]plan.Gap{
		"TXID 0000000000000003 is missing: the states from 0000000000000003 to 0000000000000005 cannot be restored":                                              {Missing: plan.Range{Min: 3, Max: 3}, States: plan.Range{Min: 3, Max: 5}, Level: -1},
		"TXIDs 0000000000000003 to 0000000000000004 are missing on level 0, beside a merge that has all of it: the state at 0000000000000004 cannot be restored": {Missing: plan.Range{Min: 3, Max: 4}, States: plan.Range{Min: 4, Max: 4}},
	} {
		if got := verify.Describe(g); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// undeletable is a store that lets nothing be removed.
type undeletable struct{ blob.Store }

func (undeletable) Delete(context.Context, ...string) error { return blob.ErrDenied }

// TestARepairThatMayNotRemove says so, and fails for nothing else.
func TestARepairThatMayNotRemove(t *testing.T) {
	r := newRig(t)
	key := replica.Key(1, 10, 17)
	r.put(key, []byte("no object"), r.info(key).Metadata)
	opts := verify.MendOptions{Replica: replica.New(undeletable{r.store}), Damaged: r.survey().Damaged, Now: func() time.Time { return later }}
	m, err := verify.Mend(t.Context(), opts)
	if err != nil || !slices.Contains(m.Later, key) || len(m.Aside) > 0 {
		t.Errorf("got %+v, %v", m, err)
	}
}

// TestASecondObjectMakesCertain has a state vouched for by another writer's object, one
// that contradicts it, and then one that agrees with it: the contradiction is the damage.
func TestASecondObjectMakesCertain(t *testing.T) {
	r := newRig(t)
	first, merged := replica.Key(0, 1, 1), replica.Key(1, 2, 9)
	r.put(replica.Key(2, 2, 9), r.bytes(merged), r.info(merged).Metadata)
	for _, o := range r.objects() {
		if o.Key() == merged {
			if blamed, err := swapPages(t.Context(), r.store, o, o); err != nil || len(blamed) != 1 {
				t.Fatalf("nothing was swapped: %v", err)
			}
		}
	}
	meta := r.info(first).Metadata
	meta["holdfastwriter"] = "ffffffffffffffffffffffffffffffff"
	r.put(first, r.bytes(first), meta)
	if s := r.look(0, 0); len(s.Damaged) != 1 || s.Damaged[0].Key != merged || !s.Damaged[0].Certain {
		t.Errorf("got %+v, want %s for certain", s.Damaged, merged)
	}
}

var swapPages = damage.Kinds[len(damage.Kinds)-1].Do

// garbling is a store that cuts short what is copied aside.
type garbling struct{ blob.Store }

func (g garbling) Put(ctx context.Context, key string, body io.Reader, meta blob.Metadata) (int64, error) {
	if strings.HasPrefix(key, "damaged/") {
		body = io.LimitReader(body, 5)
	}
	return g.Store.Put(ctx, key, body, meta)
}

// TestACopyThatIsAnotherKeepsTheObject reads a copy back before the object goes.
func TestACopyThatIsAnotherKeepsTheObject(t *testing.T) {
	r := newRig(t)
	key := replica.Key(1, 10, 17)
	r.put(key, []byte("no object"), r.info(key).Metadata)
	opts := verify.MendOptions{Replica: replica.New(garbling{r.store}), Damaged: r.survey().Damaged, Now: func() time.Time { return later }}
	if m, err := verify.Mend(t.Context(), opts); !errors.Is(err, replica.ErrChanged) || len(m.Aside) > 0 {
		t.Errorf("got %+v, %v", m, err)
	}
	if got := string(r.bytes(key)); got != "no object" {
		t.Errorf("%s holds %q", key, got)
	}
}
