package ship

import (
	"context"
	"errors"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/digest"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/wal"
)

const (
	// replayLimit bounds the objects that are read again to bring the page digests
	// from their last mark to the head.
	replayLimit = 10_000

	// replayAll bounds them where there is no mark: a process that dies in its first
	// moments leaves none.
	replayAll = 64

	// The digests are brought to disk when so much was shipped since the last time.
	markBytes = 64 << 20
	markPuts  = 1000
)

// digests are what is known of the pages in the replica.
type digests struct {
	*digest.Table
	at ltx.TXID // whose pages the table holds, when it is trusted

	// following says that the table is on its way from one TXID, which at is, to
	// another, and not proven before it gets there.
	following bool

	// Since the last mark.
	bytes int64
	puts  int
}

// trust makes the digests those of the replica's head, which ends at position,
// or leaves them untrusted. Whatever an earlier process or a crash has left of
// them is compared with the digest that the head names.
func (s *Shipper) trust(ctx context.Context, head replica.Object, position wal.Position) error {
	t := &s.digests
	if t.Trusted() && t.at == head.Max && t.Digest() == head.Digest {
		return nil
	}
	if position.PageSize == 0 && head.Max != 0 { // the head cannot be read
		t.Distrust()
		t.following = false
		return nil
	}
	t.following = t.following || t.Trusted()
	if ok, err := s.verify(head, position); ok || head.Digest == 0 {
		return err
	}
	if !t.following {
		txid, commit, err := t.Marked(position.PageSize)
		if err != nil || txid == 0 && head.Max > replayAll {
			return s.untrusted(err)
		}
		t.at, t.following = txid, true
		t.Follow(position.PageSize, commit)
	}
	if err := s.replay(ctx, head.Max); err != nil {
		return s.untrusted(err)
	}
	_, err := s.verify(head, position)
	return err
}

// verify compares the table, as it is, with the digest that head names.
func (s *Shipper) verify(head replica.Object, position wal.Position) (bool, error) {
	ok, err := s.digests.Verify(position.PageSize, position.Commit, head.Digest)
	if ok || head.Digest == 0 {
		s.digests.at, s.digests.following = head.Max, false
	}
	return ok, s.untrusted(err)
}

// untrusted passes on what is the store's fault. All else only means that pages
// have to be looked at again.
func (s *Shipper) untrusted(err error) error {
	if err == nil || storeAway(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	s.digests.Distrust()
	s.digests.following = false
	s.opts.Log.Info("page digests were of no use", "db", s.opts.Name, "err", err)
	return nil
}

// replay makes the table follow the objects after the TXID that it is at.
func (s *Shipper) replay(ctx context.Context, to ltx.TXID) error {
	if s.digests.at >= to || to-s.digests.at > replayLimit {
		return errNotReplayed
	}
	for ; s.digests.at < to; s.digests.at++ {
		next := s.digests.at + 1
		o, err := s.opts.Replica.Find(ctx, 0, next, next)
		if errors.Is(err, blob.ErrNotFound) {
			return errNotReplayed
		}
		if err != nil {
			return err
		}
		reader, err := s.opts.Replica.Open(ctx, o)
		if err != nil {
			return err
		}
		if err := errors.Join(s.replayOne(reader), reader.Close()); err != nil {
			return err
		}
	}
	return nil
}

var errNotReplayed = errors.New("the objects since their last mark cannot be followed")

func (s *Shipper) replayOne(r *replica.Reader) error {
	if r.PageSize() != s.digests.PageSize() {
		return errNotReplayed
	}
	change, err := s.digests.Step(r.Commit())
	if err != nil {
		return err
	}
	return r.Pages(change.Page)
}

// force tells why all pages must be looked at, whatever the log says.
func (s *Shipper) force() source.Rule {
	if s.demand == "" && s.head.Max != 0 && !s.digests.Trusted() {
		return source.RuleDigests
	}
	return s.demand
}

// narrow leaves in c, which has all pages, only those that differ from the
// replica's. Without digests that can be trusted that is all of them or, if the
// whole is what the head says it is, none. The first page stays in any case where
// an object is needed that makes the replica ours.
func (s *Shipper) narrow(c *source.Changeset) error {
	if s.head.Max == 0 || s.state.Position.PageSize != c.End.PageSize || s.anew {
		return nil
	}
	claim := s.head.Writer != s.state.Writer
	if s.digests.Trusted() {
		return c.Narrow(func(page uint32, data []byte) (bool, error) {
			same, err := s.digests.Matches(page, data)
			return !same || claim && page == 1, err
		})
	}
	if s.head.Digest == 0 {
		return nil
	}
	change, err := s.digests.Begin(c.End.PageSize, c.End.Commit)
	if err != nil {
		return err
	}
	if err := c.Pages(change.Page); err != nil || change.Digest() != s.head.Digest {
		return err
	}
	if err := change.Apply(); err != nil {
		return err
	}
	s.digests.at = s.head.Max
	return c.Narrow(func(page uint32, _ []byte) (bool, error) { return claim && page == 1, nil })
}

// digested makes change take each page on its way.
func digested(change *digest.Change, pages replica.Pages) replica.Pages {
	return func(emit func(pgno uint32, data []byte) error) error {
		return pages(func(pgno uint32, data []byte) error {
			if err := change.Page(pgno, data); err != nil {
				return err
			}
			return emit(pgno, data)
		})
	}
}

// applied makes change part of the digests: object, with its pages, is the head.
func (s *Shipper) applied(change *digest.Change, object replica.Object) {
	t := &s.digests
	if err := change.Apply(); err != nil {
		s.opts.Log.Warn("page digests were lost", "db", s.opts.Name, "err", err)
		return
	}
	t.at = object.Max
	t.bytes += object.Size
	t.puts++
}

// markIfDue brings the digests to disk if much was shipped since the last time.
func (s *Shipper) markIfDue() {
	if s.digests.bytes >= markBytes || s.digests.puts >= markPuts {
		s.mark()
	}
}

// mark brings the digests to disk. Without that a crash of the machine costs
// reading more objects, or all pages.
func (s *Shipper) mark() {
	t := &s.digests
	if t.puts == 0 || !t.Trusted() {
		return
	}
	if err := t.Mark(t.at); err != nil {
		s.opts.Log.Warn("page digests were not saved", "db", s.opts.Name, "err", err)
		return
	}
	t.bytes, t.puts = 0, 0
}
