package verify_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/verify"
	"github.com/holdfast-db/holdfast/test/damage"
)

// damaged calls f with a replica of its own for each kind of damage to each object of
// sound.
func damaged(t *testing.T, sound *rig, f func(t *testing.T, r *rig, o replica.Object, kind string, blamed []string)) {
	objects := sound.objects()
	levels := map[int]int{}
	for i, o := range objects {
		levels[o.Level]++
		for _, kind := range damage.Kinds {
			t.Run(fmt.Sprintf("%s %s", o.Key(), kind.Name), func(t *testing.T) {
				r := sound.copied(t)
				blamed, err := kind.Do(t.Context(), r.store, o, objects[(i+1)%len(objects)])
				if err != nil {
					t.Fatal(err)
				}
				if len(blamed) > 0 {
					f(t, r, o, kind.Name, blamed)
				}
			})
		}
	}
	if levels[0] < 5 || levels[1] < 2 || levels[plan.SnapshotLevel] < 1 {
		t.Errorf("objects by level: %v, which is not much", levels)
	}
}

// TestASoundReplicaIsFoundSound reads all objects and accuses none.
func TestASoundReplicaIsFoundSound(t *testing.T) {
	r := newRig(t)
	s := r.survey()
	if !s.Sound() || s.Read != s.Objects || s.ReadBytes != s.Bytes || s.Digested != s.Objects || s.Unread != 0 {
		t.Errorf("got %+v, want all of it read, compared with digests, and sound", s)
	}
	if s.Through != r.head() || s.Newest.TXID != r.head() {
		t.Errorf("got through %s, the newest state is %s; want %s", s.Through, s.Newest.TXID, r.head())
	}
	p, err := r.prove(plan.Target{})
	if err != nil || p.TXID != r.head() || !p.Digest || p.Bytes != int64(len(r.states[p.TXID])) {
		t.Errorf("got %+v, %v", p, err)
	}
}

// TestEachDamageIsNamed does each damage to each object. A survey names the object that
// is damaged, and no other; one that is gone, by what is missing, unless nothing that
// could be restored before cannot be restored without it.
func TestEachDamageIsNamed(t *testing.T) {
	inMemory(t)
	sound := newRig(t)
	damaged(t, sound, func(t *testing.T, r *rig, o replica.Object, kind string, blamed []string) {
		s := r.survey()
		if kind == "deleted" {
			if s.Sound() && !r.hasAll(sound) {
				t.Errorf("states are gone, and nothing was found")
			}
			if len(s.Damaged) > 0 {
				t.Errorf("accused %v", s.Damaged)
			}
			return
		}
		var named []string
		for _, d := range s.Damaged {
			if named = append(named, d.Key); !d.Certain {
				t.Errorf("%s: not certain", d.Key)
			}
		}
		slices.Sort(named)
		slices.Sort(blamed)
		if !slices.Equal(named, blamed) {
			t.Errorf("named %v, want %v: %+v", named, blamed, s.Damaged)
		}
	})
}

// hasAll tells whether r has all states of sound.
func (r *rig) hasAll(sound *rig) bool {
	have, _ := plan.Points(replica.Files(r.objects()))
	want, _ := plan.Points(replica.Files(sound.objects()))
	return slices.EqualFunc(have, want, func(a, b plan.Point) bool { return a.TXID == b.TXID })
}

// TestEachDamageIsRepaired does each damage to each object and repairs it with the help
// of the database. The latest state is proven then and is the database's; each other one
// is what it was, or cannot be restored, and has been told of.
func TestEachDamageIsRepaired(t *testing.T) {
	inMemory(t)
	sound := newRig(t)
	snapshots := 0
	damaged(t, sound, func(t *testing.T, r *rig, _ replica.Object, _ string, _ []string) {
		s := r.survey()
		opts := verify.MendOptions{Replica: replica.New(r.store), URL: "mem:", Damaged: s.Damaged, Now: func() time.Time { return later }}
		m, err := verify.Assess(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		if m.Snapshot || s.Missing != 0 {
			snapshots++
			if _, err := r.shipper(r.store).Snapshot(t.Context(), m.Latest); err != nil {
				t.Fatal(err)
			}
		}
		if m, err = verify.Mend(t.Context(), opts); err != nil {
			t.Fatal(err)
		}
		if m.Snapshot || len(m.Later) > 0 {
			t.Errorf("left undone: %+v", m)
		}
		r.mustBeRepaired(m, s.Gaps)
	})
	if snapshots < 20 {
		t.Errorf("%d snapshots: not much was tried", snapshots)
	}
	t.Logf("%d snapshots", snapshots)
}

func (r *rig) mustBeRepaired(m verify.Mended, gaps []plan.Gap) {
	r.t.Helper()
	p, err := r.prove(plan.Target{})
	if err != nil {
		r.t.Fatal(err)
	}
	got, _, err := r.restored(plan.Target{})
	if err != nil || !bytes.Equal(got, r.states[r.head()]) || p.TXID < m.Newest {
		r.t.Errorf("the latest state, %s, is not the database's: %v", p.TXID, err)
	}
	if after := r.survey(); len(after.Damaged) > 0 {
		r.t.Errorf("still damaged: %+v", after.Damaged)
	}
	r.mustKeepOthers(m, gaps)
}

// mustKeepOthers restores each state that there was, by its TXID and by its time.
func (r *rig) mustKeepOthers(m verify.Mended, gaps []plan.Gap) {
	r.t.Helper()
	told := func(txid ltx.TXID) bool {
		for _, g := range gaps {
			if g.States.Min <= txid && txid <= g.States.Max {
				return true
			}
		}
		return slices.ContainsFunc(m.Lost, func(l plan.Range) bool { return l.Min <= txid && txid <= l.Max })
	}
	for txid, state := range r.states {
		got, result, err := r.restored(plan.Target{TXID: txid})
		if err == nil && !bytes.Equal(got, state) && result.Created.Equal(at(txid)) {
			r.t.Errorf("TXID %s is restored as another state", txid)
		}
		if err == nil && told(txid) && result.Created.Equal(at(txid)) {
			r.t.Errorf("TXID %s was told to be lost, and is not", txid)
		}
		got, result, err = r.restored(plan.Target{At: at(txid).Add(time.Nanosecond)})
		if err == nil && !bytes.Equal(got, r.states[result.TXID]) {
			r.t.Errorf("%v is restored as another state than TXID %s", at(txid), result.TXID)
		}
	}
}

// TestWhatIsLostIsTold compares what a repair says of lost states with what can be
// restored after it.
func TestWhatIsLostIsTold(t *testing.T) {
	inMemory(t)
	sound := newRig(t)
	before, _ := plan.Points(replica.Files(sound.objects()))
	damaged(t, sound, func(t *testing.T, r *rig, _ replica.Object, kind string, _ []string) {
		s := r.survey()
		m, err := verify.Mend(t.Context(), verify.MendOptions{
			Replica: replica.New(r.store), URL: "mem:", Damaged: s.Damaged, Alone: true, Now: func() time.Time { return later },
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range before {
			_, _, err := r.restored(plan.Target{TXID: p.TXID})
			told := slices.ContainsFunc(m.Lost, func(l plan.Range) bool { return l.Min <= p.TXID && p.TXID <= l.Max }) ||
				slices.ContainsFunc(s.Gaps, func(g plan.Gap) bool { return g.States.Min <= p.TXID && p.TXID <= g.States.Max }) ||
				s.Missing == p.TXID
			if (err != nil) != told {
				t.Errorf("TXID %s: told to be lost is %v, a restore says %v", p.TXID, told, err)
			}
		}
		r.mustProveNewest(m)
	})
}

// mustProveNewest proves what is left where the database cannot help.
func (r *rig) mustProveNewest(m verify.Mended) {
	r.t.Helper()
	if _, err := r.prove(plan.Target{}); (err != nil) != m.Snapshot {
		r.t.Errorf("needs a snapshot of the database is %v, the latest state says %v", m.Snapshot, err)
	}
	if m.Newest == 0 {
		return
	}
	if p, err := r.prove(plan.Target{TXID: m.Newest}); err != nil || p.TXID != m.Newest {
		r.t.Errorf("the newest state, %s: %+v, %v", m.Newest, p, err)
	}
}
