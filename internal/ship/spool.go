package ship

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/replica"
)

// spool keeps changesets that the store would not take, so that the log they
// came from may be used again. Files are named for the TXID that was next when
// they were written; which one they get is decided when they are shipped.
type spool struct {
	dir     string
	fs      FS
	entries []replica.Draft
	missing replica.Draft // newest of those before entries whose files are not there; zero for none
	live    string        // temporary file being written, if any
}

// temporary matches the files of attempts to spool something.
var temporary = regexp.MustCompile(`^[0-9a-f]{16}\.[0-9a-f]{8}\.tmp$`)

// openSpool takes over what the state of an earlier process says of the spool,
// as far as the files are there.
//
// Files are removed in order when they were shipped, so that those at the
// beginning may be missing: whether they were shipped, the replica's head tells.
// One missing behind another that is there was lost: nothing after it can be used.
func openSpool(dir string, fs FS, entries []replica.Draft) (*spool, error) {
	s := &spool{dir: dir, fs: fs}
	for _, e := range entries {
		if e.Level != 0 || !e.Valid() {
			return s, nil // not what add has written
		}
		switch _, err := os.Stat(s.name(e.Max)); {
		case err == nil:
			s.entries = append(s.entries, e)
		case !errors.Is(err, os.ErrNotExist):
			return nil, err
		case len(s.entries) > 0:
			return s, nil
		default:
			s.missing = e
		}
	}
	return s, nil
}

func (s *spool) name(txid ltx.TXID) string {
	return filepath.Join(s.dir, txid.String()+".ltx")
}

// add writes d with pages. announce is called when the bytes are safe and
// before they get their name, to make d known to a later process: an entry
// without a file means nothing, a file without an entry could not be shipped.
func (s *spool) add(d replica.Draft, pages replica.Pages, announce func() error) error {
	tmp := filepath.Join(s.dir, fmt.Sprintf("%s.%08x.tmp", d.Max, rand.Uint32()))
	s.live = filepath.Base(tmp)
	defer func() { s.live = "" }()
	before := s.entries
	var list replica.PageList
	err := writeFile(s.fs, s.name(d.Max), tmp, func(w io.Writer) error {
		return replica.Encode(w, d, list.Watch(pages))
	}, func() error {
		d.Pages = list.String()
		s.entries = append(slices.Clip(before), d)
		return announce()
	})
	if err == nil {
		return nil
	}
	// The file may have its name, and be known to a later process: it must not
	// be shipped after what this one ships from here on.
	announced := len(s.entries) > len(before)
	s.entries = before
	if announced {
		if e := s.fs.Remove(s.name(d.Max)); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
		err = errors.Join(err, announce())
	}
	return fmt.Errorf("spool %s: %w", d.Max, err)
}

// last returns the newest entry; ok is false for an empty spool.
func (s *spool) last() (d replica.Draft, ok bool) {
	if len(s.entries) == 0 {
		return replica.Draft{}, false
	}
	return s.entries[len(s.entries)-1], true
}

// bytes returns the size of all files.
func (s *spool) bytes() int64 {
	var n int64
	for _, e := range s.entries {
		if info, err := os.Stat(s.name(e.Max)); err == nil {
			n += info.Size()
		}
	}
	return n
}

// drop removes the file of the entry for txid, whose content the replica holds.
func (s *spool) drop(txid ltx.TXID) error {
	if err := s.fs.Remove(s.name(txid)); err != nil {
		if _, e := os.Stat(s.name(txid)); !errors.Is(e, os.ErrNotExist) {
			return err
		}
	}
	s.entries = slices.DeleteFunc(s.entries, func(d replica.Draft) bool { return d.Max == txid })
	return s.fs.SyncDir(s.dir) // else a loss of power brings back a file that nobody names
}

// read emits the pages of the entry e. An error that matches replica.ErrDamaged
// says that its file is not there, or not what was written.
func (s *spool) read(e replica.Draft, emit func(pgno uint32, data []byte) error) error {
	reader, err := s.open(e)
	if err != nil {
		return err
	}
	defer reader.Close() //nolint:errcheck // only read
	return reader.Pages(emit)
}

func (s *spool) open(e replica.Draft) (*replica.Reader, error) {
	f, err := os.Open(s.name(e.Max))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", replica.ErrDamaged, err)
	}
	if err != nil {
		return nil, err
	}
	reader, err := replica.NewReader(f, replica.Describe(e))
	if err == nil && !reader.WrittenFor(e) {
		err = fmt.Errorf("%w: %s was written for another state", replica.ErrDamaged, f.Name())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return reader, nil
}

// put ships the oldest entry e as d, which has another TXID or time where those that it
// was written for are taken: then it is encoded anew. Its pages hold all that changed
// since some state at or before the head, so they apply to any later head as well.
func (s *spool) put(ctx context.Context, r *replica.Replica, e, d replica.Draft) (replica.Object, error) {
	if e.Max == d.Max && e.Created.Equal(d.Created) {
		f, err := os.Open(s.name(e.Max))
		if err != nil {
			return replica.Object{}, err
		}
		defer f.Close() //nolint:errcheck // only read
		return r.PutEncoded(ctx, d, f)
	}
	reader, err := s.open(e)
	if err != nil {
		return replica.Object{}, err
	}
	defer reader.Close() //nolint:errcheck // only read
	return r.Put(ctx, d, reader.Pages)
}

// equal tells whether the replica's object o holds the very bytes of entry e.
func (s *spool) equal(ctx context.Context, r *replica.Replica, e replica.Draft, o replica.Object) (bool, error) {
	f, err := os.Open(s.name(e.Max))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil || info.Size() != o.Size {
		return false, err
	}
	body, err := r.Raw(ctx, o)
	if err != nil {
		return false, err
	}
	defer body.Close() //nolint:errcheck // only read
	return sameBytes(f, body)
}

// sameBytes compares two readers. An error of one of them is not a difference.
func sameBytes(a, b io.Reader) (bool, error) {
	x, y := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, endA, errA := fill(a, x)
		m, endB, errB := fill(b, y)
		if err := errors.Join(errA, errB); err != nil {
			return false, err
		}
		if !bytes.Equal(x[:n], y[:m]) {
			return false, nil
		}
		if endA || endB {
			return endA && endB, nil
		}
	}
}

// fill reads until p is full or r has ended.
func fill(r io.Reader, p []byte) (n int, end bool, err error) {
	for n < len(p) && !end && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
		if err == io.EOF {
			end, err = true, nil
		}
	}
	return n, end, err
}

// stale returns the temporary files of attempts that have ended.
func (s *spool) stale() ([]string, error) {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		if temporary.MatchString(f.Name()) && f.Name() != s.live && f.Type().IsRegular() {
			names = append(names, filepath.Join(s.dir, f.Name()))
		}
	}
	return names, nil
}
