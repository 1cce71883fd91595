package ship_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/wal"
)

// lastKnown returns the position that the next process has to go on from.
func (s *stand) lastKnown() wal.Position {
	s.t.Helper()
	state, err := ship.LoadState(s.in(""))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range slices.Backward(state.Spool) {
		if _, err := os.Stat(s.in("spool/" + e.Max.String() + ".ltx")); err == nil {
			return e.Position
		}
	}
	head, err := s.opts.Replica.Head(s.t.Context(), 0)
	if errors.Is(err, replica.ErrEmpty) {
		return wal.Position{}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	p, err := s.opts.Replica.Position(s.t.Context(), head)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// salts returns those of the log.
func (s *stand) salts() [2]uint32 {
	s.t.Helper()
	f, err := os.Open(s.path + "-wal")
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	h, err := wal.ReadHeader(f)
	if err != nil && !errors.Is(err, wal.ErrNoHeader) {
		s.t.Fatal(err)
	}
	return h.Salts
}

// mustHaveEveryTXID fails unless level 0 holds each from 1 to the head, but for
// those that begin another page size.
func (s *stand) mustHaveEveryTXID() {
	s.t.Helper()
	head, err := s.opts.Replica.Head(s.t.Context(), 0)
	if err != nil {
		s.t.Fatal(err)
	}
	all, err := s.opts.Replica.All(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	have := make(map[ltx.TXID]time.Time)
	for _, o := range all {
		if o.Level == 0 || o.Level == plan.SnapshotLevel {
			have[o.Max] = o.Created
		}
	}
	for txid := ltx.TXID(1); txid <= head.Max; txid++ {
		if have[txid].IsZero() {
			s.t.Errorf("TXID %d of %d is missing", txid, head.Max)
		}
		if !have[txid].After(have[txid-1]) {
			s.t.Errorf("TXID %d is of %v, as is the one before it of %v", txid, have[txid], have[txid-1])
		}
	}
}

// mustBeTidy fails if a file that is not ours was touched, or one of ours is left
// that nobody needs.
func (s *stand) mustBeTidy() {
	s.t.Helper()
	for name, want := range s.foreign {
		if got, err := os.ReadFile(s.in(name)); err != nil || string(got) != want {
			s.t.Errorf("%s holds %q, %v; want it as it was", name, got, err)
		}
	}
	for _, dir := range []string{"", "spool"} {
		entries, err := os.ReadDir(s.in(dir))
		if err != nil {
			s.t.Fatal(err)
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			if _, ok := s.foreign[name]; !ok && !slices.Contains([]string{"lock", "state.json", "digests", "spool"}, name) {
				s.t.Errorf("%s is left", name)
			}
		}
	}
}
