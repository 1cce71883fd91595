package ship

import (
	"context"
	"time"

	"github.com/holdfast-db/holdfast/internal/source"
)

const (
	// DefaultScrub is the time in which all pages of a database are compared with
	// what was shipped of them.
	DefaultScrub = 24 * time.Hour

	scrubRate  = 5 << 20  // bytes per second, at most
	scrubAhead = 16 << 20 // bytes at once, at most: also the pace once something is suspected

	// ScrubsTogether is what all databases of a process may read, in bytes per
	// second.
	ScrubsTogether = 4 * scrubRate
	// ScrubsAtOnce is how many bytes of that may be read in one go: a database that
	// is not larger is compared before anything is shipped of it, where that is
	// called for.
	ScrubsAtOnce = 4 * scrubAhead

	scrubLeast = 64 // pages at once, unless the database has fewer

	// rushEvery is how often suspicion alone brings all pages forward: checkpoints
	// that are broken off, by a full disk say, look the same.
	rushEvery = 10 * time.Minute

	rivalEvery = 30 * time.Second // between two looks for Litestream
)

// scrub is the slow comparison of the database with what was shipped. It finds
// what no rule about the log can: a file that was written over in place.
type scrub struct {
	last    time.Time // when pages were last looked at, or had to be
	rushed  time.Time // when it last began
	suspect bool      // the file was written to, and not by a checkpoint that came to its end
	rush    bool      // something is suspected: do not wait
	doubt   bool      // nobody watched the file for a while: compare all of it before the next put
	rival   time.Time // when Litestream was last looked for
}

// Suspect says that the database file was written to though nothing was committed: the
// next passes compare all of it, if that is not what the last ones did.
func (s *Shipper) Suspect() { s.scrub.suspect = true }

// look compares some pages, if it is time, and tells whether a resync is needed.
func (s *Shipper) look() (resync bool, err error) {
	if !s.digests.Trusted() || len(s.spool.entries) > 0 || s.opts.Scrub < 0 && !s.state.Hurry {
		return false, nil
	}
	touched, err := s.db.Touched()
	if err != nil {
		return false, err
	}
	s.scrub.suspect = s.scrub.suspect || touched
	if s.scrub.suspect && !s.scrub.rush && time.Since(s.scrub.rushed) >= rushEvery {
		s.opts.Log.Warn("the database file was written to, and not by a checkpoint: comparing all of it", "db", s.opts.Name)
		s.scrub.suspect, s.scrub.rush, s.scrub.rushed, s.state.Scrubbed = false, true, time.Now(), 0
	}
	n := s.scrubDue(time.Now())
	if n == 0 || s.opts.Reading != nil && !s.opts.Reading.AllowN(time.Now(), int(n*s.state.Position.PageSize)) {
		return false, nil
	}
	first := s.state.Scrubbed + 1
	d, looked, err := s.db.Scrub(first, first+n-1, s.digests.Matches)
	if err != nil || !looked {
		return false, err
	}
	s.scrub.last = time.Now()
	s.state.Scrubbed += n
	if commit := s.state.Position.Commit; s.state.Scrubbed >= commit {
		s.opts.Log.Info("compared all pages with what was shipped", "db", s.opts.Name, "pages", commit)
		s.state.Scrubbed, s.state.Hurry, s.scrub.rush = 0, false, false
	}
	if s.resyncFor(d) {
		s.opts.Log.Warn("the database is not what was shipped, though nothing was committed: was its file written over?",
			"db", s.opts.Name, "pages", len(d.Pages), "first_page", d.Pages[0])
	}
	return len(d.Pages) > 0, nil
}

// vouch compares the pages that c leaves out, of a database that nobody watched
// since the last put. Where all who had it open died, SQLite's recovery may have
// taken rows out of the log that a checkpoint had copied into the file.
func (s *Shipper) vouch(c *source.Changeset) error {
	s.scrub.doubt = (s.scrub.doubt || c.Unvouched) && c.Rule == ""
	if !s.scrub.doubt {
		return nil
	}
	size := int64(s.state.Position.Commit) * int64(s.state.Position.PageSize)
	if s.opts.Reading != nil && !s.opts.Reading.AllowN(time.Now(), int(size)) {
		s.scrub.doubt, s.state.Hurry, s.state.Scrubbed = false, true, 0
		return s.Save()
	}
	d, err := c.Compare(s.digests.Matches)
	if err != nil {
		return err
	}
	s.scrub.doubt = false
	if s.resyncFor(d) {
		s.opts.Log.Warn("the database has pages that were not shipped and are not in its log: was it recovered after a crash, or written over?",
			"db", s.opts.Name, "pages", len(d.Pages), "first_page", d.Pages[0])
		return errAgain
	}
	return nil
}

// scrubDue returns how many pages are to be looked at now.
func (s *Shipper) scrubDue(now time.Time) uint32 {
	pageSize, commit := int64(s.state.Position.PageSize), s.state.Position.Commit
	if s.scrub.last.IsZero() {
		s.scrub.last = now
	}
	if commit == 0 {
		return 0
	}
	most := uint32(scrubAhead / pageSize)
	if s.scrub.rush {
		return most
	}
	rate := min(scrubRate, float64(int64(commit)*pageSize)/s.opts.Scrub.Seconds())
	if s.state.Hurry {
		rate = scrubRate
	}
	due := now.Sub(s.scrub.last).Seconds() * rate / float64(pageSize)
	if due < float64(min(scrubLeast, commit)) {
		return 0
	}
	return uint32(min(due, float64(most)))
}

// resyncFor tells whether pages that differ call for a resync, which the next
// capture is then.
func (s *Shipper) resyncFor(d source.Differing) bool {
	if len(d.Free) > 0 {
		s.opts.Log.Info("free pages are not what was shipped, which changes nothing: SQLite need not write them", "db", s.opts.Name, "pages", len(d.Free))
	}
	if len(d.Pages) == 0 {
		return false
	}
	s.demand = source.RuleScrub
	return true
}

// checkRival looks for Litestream now and then.
func (s *Shipper) checkRival() error {
	if time.Since(s.scrub.rival) < rivalEvery {
		return nil
	}
	s.scrub.rival = time.Now()
	return s.db.Rival()
}

// Scrub compares all pages with what was shipped, now, and ships those that
// differ.
func (s *Shipper) Scrub(ctx context.Context) (Outcome, error) {
	s.scrub.rush, s.state.Scrubbed = s.opts.Scrub >= 0, 0
	var sum Outcome
	for s.scrub.rush {
		out, err := s.Pass(ctx)
		out.Resyncs = append(sum.Resyncs, out.Resyncs...)
		if sum = out; err != nil {
			return sum, err
		}
	}
	return sum, nil
}
