package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/holdfast-db/holdfast/internal/ship"
)

// instructionsName is the file beside a database that holds its Instructions.
const instructionsName = "instructions.json"

// instructions are those that w brings. Leave to adopt or take over a replica is used
// up by a first pass, and nobody is there to give it again.
func (w Window) instructions() Instructions {
	i := Instructions{Database: w.Database, Rules: w.Rules, Interval: w.Interval, Spec: w.Spec}
	i.Database.Adopt, i.Database.TakeOver = false, false
	return i
}

func (i Instructions) equal(o Instructions) bool {
	return i.Database == o.Database && i.Rules == o.Rules && i.Interval == o.Interval && i.Held == o.Held && bytes.Equal(i.Spec, o.Spec)
}

// loadInstructions reads those in the state directory dir; ok is false where there are
// none that make sense.
func loadInstructions(dir string) (i Instructions, ok bool, err error) {
	b, err := os.ReadFile(filepath.Join(dir, instructionsName))
	if errors.Is(err, fs.ErrNotExist) {
		return i, false, nil
	}
	if err != nil {
		return i, false, err
	}
	if json.Unmarshal(b, &i) != nil || i.Database.Name == "" {
		return Instructions{}, false, nil
	}
	return i, true, nil
}

// instruct makes i the slot's instructions, and keeps them beside the database if they
// are other ones. Those that cannot be kept are missed by a later process only.
func (s *slot) instruct(i Instructions) {
	s.instructing.Lock()
	defer s.instructing.Unlock()
	s.mu.Lock()
	known := s.told && s.orders.equal(i)
	s.orders, s.told = i, true
	s.mu.Unlock()
	if known {
		return
	}
	b, err := json.MarshalIndent(i, "", "  ")
	if err == nil {
		err = ship.WriteFile(s.host.opts.FS, filepath.Join(s.host.dirOf(i.Database), instructionsName), append(b, '\n'))
	}
	if err != nil {
		s.grumble("instructions were not saved", err)
	}
}

// Instructions returns the last ones for each of this host's databases that has some,
// by name.
func (h *Host) Instructions() map[string]Instructions {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make(map[string]Instructions, len(h.slots))
	for name, s := range h.slots {
		s.mu.Lock()
		if s.told {
			all[name] = s.orders
		}
		s.mu.Unlock()
	}
	return all
}
