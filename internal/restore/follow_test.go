package restore_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/faulty"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// mishap is what happens to a replica and its copy.
type mishap struct {
	name  string
	since func(s *stage)
	want  restore.EventKind // the first event of who follows on
	anew  bool              // all pages were read again
}

var mishaps = []mishap{
	{name: "nothing", since: func(*stage) {}, want: restore.Resumed},
	{name: "a change", since: func(s *stage) { s.commit(30) }, want: restore.Resumed},
	{name: "many changes", want: restore.Resumed, since: func(s *stage) {
		for n := range 70 {
			s.commit(20 + n%30)
		}
	}},
	{name: "a shorter database", since: func(s *stage) { s.commit(2) }, want: restore.Resumed},
	{name: "the next ones merged", want: restore.Resumed, since: func(s *stage) {
		from := s.head() + 1
		s.commit(40)
		s.commit(10)
		s.commit(50)
		s.merge(1, from, s.head())
		s.remove(0, from, from)
		s.remove(0, from+1, from+1)
	}},
	{name: "the next ones merged with what the copy has", want: restore.Resumed, since: func(s *stage) {
		from := s.head()
		s.commit(40)
		s.commit(10)
		s.merge(1, from, s.head())
		for txid := from; txid <= s.head(); txid++ {
			s.remove(0, txid, txid)
		}
	}},
	{name: "the next ones gone, a snapshot after them", want: restore.Resumed, since: func(s *stage) {
		from := s.head() + 1
		s.commit(40)
		s.commit(10)
		s.merge(plan.SnapshotLevel, 1, s.head())
		s.remove(0, from, from)
		s.remove(0, from+1, from+1)
		s.commit(12)
	}},
	{name: "another page size", want: restore.Resumed, anew: true, since: func(s *stage) { s.resize(1024) }},
	{name: "the copy written to", want: restore.Anew, anew: true, since: func(s *stage) {
		writer := sqlitetest.Open(s.t, s.out)
		sqlitetest.Exec(s.t, writer, "UPDATE t SET v = 99 WHERE k = 3")
		mustClose(s.t, writer)
	}},
	{name: "the copy written to, and a change", want: restore.Anew, anew: true, since: func(s *stage) {
		writer := sqlitetest.Open(s.t, s.out)
		sqlitetest.Exec(s.t, writer, "CREATE TABLE theirs AS SELECT * FROM t")
		mustClose(s.t, writer)
		s.commit(25)
	}},
	{name: "the copy no longer in WAL mode", want: restore.Anew, anew: true, since: func(s *stage) {
		writer := sqlitetest.Open(s.t, s.out)
		sqlitetest.Exec(s.t, writer, "PRAGMA journal_mode=DELETE")
		mustClose(s.t, writer)
	}},
	{name: "the copy removed", want: restore.Restored, anew: true, since: func(s *stage) { mustRemove(s.t, s.out) }},
	{name: "the digests lost", want: restore.Resumed, since: func(s *stage) {
		mustRemove(s.t, filepath.Join(filepath.Dir(s.out), ".copy.db-holdfast-follow", "digests"))
		s.commit(25)
	}},
	{name: "killed after a change was seen, before it was written down", want: restore.Resumed, since: func(s *stage) {
		s.editState(func(state map[string]any) {
			now := state["Now"].(map[string]any)
			state["Next"], state["Stamp"] = maps.Clone(now), nil
			now["TXID"], now["Digest"] = "0000000000000001", 1
		})
	}},
	{name: "killed before a change was seen", want: restore.Resumed, since: func(s *stage) {
		s.editState(func(state map[string]any) {
			next := maps.Clone(state["Now"].(map[string]any))
			next["TXID"], next["Digest"] = "00000000000000ff", 1
			state["Next"], state["Stamp"] = next, nil
		})
	}},
	{name: "a bit of the copy", want: restore.Anew, anew: true, since: func(s *stage) { flip(s.t, s.out, 1500) }},
	{name: "objects without digests", want: restore.Resumed, since: func(s *stage) {
		s.commit(33)
		s.forget(s.head())
	}},
}

// TestFollowGoesOn does to a replica and its copy, while nobody follows or while somebody
// does, what may happen to them, and follows on: the copy becomes the newest state.
func TestFollowGoesOn(t *testing.T) {
	for _, row := range mishaps {
		t.Run(row.name, func(t *testing.T) {
			s := newStage(t, "auto_vacuum=incremental")
			for _, live := range []bool{false, true} {
				f := s.follow()
				f.reach(s.head())
				s.commit(22)
				f.reach(s.head())
				if !live {
					f.stop()
					s.assertCopy()
				} else if row.want != restore.Resumed || strings.HasPrefix(row.name, "killed") {
					f.stop()
					continue // nobody may touch the copy in this process while it is followed
				}
				row.since(s)
				if !live {
					f = s.follow()
				}
				if live && row.name == "nothing" {
					f.stop()
					continue
				}
				events := f.reach(s.head())
				if !live && (events[0].Kind != row.want || row.anew != (has(events, restore.Anew) || has(events, restore.Restored))) {
					t.Errorf("saw %v", kinds(events))
				}
				f.stop()
				s.assertCopy()
			}
		})
	}
}

// TestFollowWaitsForWhatMayCome has the way on blocked, until it is not.
func TestFollowWaitsForWhatMayCome(t *testing.T) {
	for _, row := range []struct {
		name    string
		block   func(s *stage)
		want    error
		unblock func(s *stage)
	}{
		{"an object is missing", func(s *stage) {
			s.commit(20)
			s.remove(0, s.head(), s.head())
			s.commit(25)
		}, plan.ErrGap, func(s *stage) { s.merge(plan.SnapshotLevel, 1, s.head()) }},
		{"an object is damaged", func(s *stage) {
			s.commit(20)
			s.edit(0, s.head(), s.head(), func(b []byte) []byte { b[150] ^= 1; return b })
		}, replica.ErrDamaged, func(s *stage) {
			s.edit(0, s.head(), s.head(), func(b []byte) []byte { b[150] ^= 1; return b })
		}},
		{"an object is not of this database", func(s *stage) {
			s.commit(20)
			other := newStage(s.t.(*testing.T))
			for range s.head() {
				other.commit(20)
			}
			key := replica.Key(0, s.head(), s.head())
			s.adopt(key, other.bytes(key), s.info(key).Metadata)
		}, restore.ErrUnsound, func(s *stage) {
			s.commit(20)
			s.merge(plan.SnapshotLevel, 1, s.head())
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newStage(t)
			store := faulty.New(s.store)
			f := s.followFrom(replica.New(store))
			f.reach(s.head())
			store.Set(func(faulty.Call) faulty.Fault { return faulty.Fault{Kind: faulty.Refuse} })
			row.block(s)
			store.Set(nil)
			f.until("waiting", func(e restore.Event) bool {
				return e.Kind == restore.Waiting && errors.Is(e.Err, row.want) && e.Wait > 0
			})
			row.unblock(s)
			f.reach(s.head())
			f.stop()
			s.assertCopy()
		})
	}
}

// TestFollowOutlivesEveryFault follows with one request after the other failing.
func TestFollowOutlivesEveryFault(t *testing.T) {
	s := newStage(t)
	store := faulty.New(s.store)
	f := s.followFrom(replica.New(store))
	f.reach(s.head())
	for _, kind := range []faulty.Kind{faulty.Refuse, faulty.Throttle, faulty.BreakOff} {
		for n := 1; n < 5; n++ {
			store.Set(faulty.Nth(n, faulty.Fault{Kind: kind, After: 40}))
			s.commit(20 + n)
			f.reach(s.head())
		}
	}
	store.Set(func(faulty.Call) faulty.Fault { return faulty.Fault{Kind: faulty.Refuse} })
	f.until("waiting", func(e restore.Event) bool {
		return errors.Is(e.Err, blob.ErrUnavailable) && e.Wait >= 8*time.Millisecond
	})
	store.Set(nil)
	s.commit(5)
	f.reach(s.head())
	f.stop()
	s.assertCopy()
}

func TestFollowRefuses(t *testing.T) {
	for _, row := range []struct {
		name   string
		before func(s *stage)
		change func(*restore.FollowOptions)
		want   string
	}{
		{name: "a file that is not its own", want: "output exists", before: func(s *stage) { mustWrite(s.t, s.out, "precious") }},
		{name: "a copy of another replica", want: "it is a copy of mem:", before: func(s *stage) {
			f := s.follow()
			f.reach(s.head())
			f.stop()
		}, change: func(o *restore.FollowOptions) { o.Source = "mem:other" }},
		{name: "its own copy, replaced by another file", want: "output exists", before: func(s *stage) {
			f := s.follow()
			f.reach(s.head())
			f.stop()
			mustWrite(s.t, s.out+".new", "precious")
			if err := os.Rename(s.out+".new", s.out); err != nil {
				s.t.Fatal(err)
			}
		}},
		{name: "an empty replica", want: "the replica holds nothing; check the replica's URL", before: func(s *stage) { s.remove(0, 1, 1) }},
		{name: "a replica that ends before the copy", want: "is after the last", before: func(s *stage) {
			s.commit(20)
			f := s.follow()
			f.reach(s.head())
			f.stop()
			s.remove(0, s.head(), s.head())
		}},
		{name: "a copy that another process follows", want: "another process keeps", before: func(s *stage) {
			s.follow().reach(s.head())
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newStage(t)
			row.before(s)
			was, _ := os.Stat(s.out)
			changes := []func(*restore.FollowOptions){}
			if row.change != nil {
				changes = append(changes, row.change)
			}
			select {
			case err := <-s.follow(changes...).done:
				if err == nil || !strings.Contains(err.Error(), row.want) {
					t.Errorf("got %v, want %q", err, row.want)
				}
			case <-time.After(30 * time.Second):
				t.Error("it follows")
			}
			if is, _ := os.Stat(s.out); was != nil && !os.SameFile(is, was) {
				t.Error("the file was replaced")
			}
		})
	}
}
