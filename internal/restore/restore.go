// Package restore puts a database back from its replica: it lists the objects,
// lets package plan choose, and applies the chosen ones to a fresh file beside
// the output, which gets the output's name only when it is complete, checked
// and on disk.
//
// It never answers with another state than the one asked for, never leaves a
// half-written file under the output's name, and never lets a log that belongs
// to an older file be replayed into a restored one. The restored file is byte
// for byte what the source's was, also in its header, which says WAL mode.
//
// The output must not be open in this or another process while it is replaced.
package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/digest"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// What a caller decides upon, beside the errors of packages blob, plan and
// replica.
var (
	// ErrExists says that the output, or a log beside it, is there already.
	ErrExists = errors.New("output exists")
	// ErrNoSpace says that the disk has no room for the database. Nothing was
	// written.
	ErrNoSpace = errors.New("not enough space")
	// ErrUnsound says that the objects fit together but do not make a database.
	ErrUnsound = errors.New("the result is not a sound database")
)

// Options say what to restore and where to.
type Options struct {
	Output string // path of the restored database; its directory must exist
	Target plan.Target
	Force  bool // replace what is at Output, with its -wal, -shm and -journal

	// Superseded has those objects read as well whose pages all come again in newer
	// ones: the target does not need them, states before it do. It is for a proof.
	Superseded bool

	Integrity Integrity   // what SQLite is asked before the file gets its name
	Mode      fs.FileMode // permissions; 0 for those of a replaced file, or the creator's alone
	Owner     *Owner      // nil for that of a replaced file, or the creator

	// Progress is called, when it is set, for each object and for each MiB.
	Progress func(Progress)

	// Publishing is called, when it is set, with the finished file just before it
	// gets the output's name. Its error ends the restore.
	Publishing func(file string, r Result) error
}

// Owner is whom a file belongs to.
type Owner struct{ User, Group int }

// Progress is how far a restore has come.
type Progress struct {
	Objects, ObjectsTotal int
	Bytes, BytesTotal     int64 // of the objects, as they are stored
}

// Result describes a restored database.
type Result struct {
	TXID     ltx.TXID
	Created  time.Time // of the state's newest content
	PageSize uint32    // bytes
	Pages    uint32
	Bytes    int64 // length of the file
	Objects  int   // read and applied
	Fetched  int64 // bytes read from the store
	Digested bool  // its digest was known, and is the same
	Kept     int64 // bytes of objects that an earlier restore, which was killed, had read
	Digest   digest.Digest
}

// progressStep is the number of bytes after which progress is told again.
const progressStep = 1 << 20

// Run restores the target into the output. When it fails, also because ctx ends,
// it leaves nothing behind, and what was at the output is as it was unless the
// very act of replacing it failed.
func Run(ctx context.Context, r *replica.Replica, opts Options) (Result, error) {
	result, err := run(ctx, r, opts)
	if err != nil {
		return Result{}, fmt.Errorf("restore %s to %s: %w%s", describe(opts.Target), opts.Output, err, hint(err))
	}
	return result, nil
}

func run(ctx context.Context, r *replica.Replica, opts Options) (Result, error) {
	out, err := openOutput(opts.Output, opts.Force)
	if err != nil {
		return Result{}, err
	}
	found, err := choose(ctx, r, opts.Target)
	if err != nil {
		return Result{}, err
	}
	read := found.needed
	if opts.Superseded {
		read = found.chain
	}
	use := func(n note) bool { return n.leadsTo(found.chain, found.digest) }
	for {
		img, err := out.createImage(opts, use)
		if err != nil {
			return Result{}, err
		}
		result, err := fill(ctx, r, img, read, found.digest, opts)
		if err == nil && opts.Publishing != nil {
			err = opts.Publishing(img.path(), result)
		}
		if err == nil {
			err = out.publish(img.path())
		}
		img.discard()
		if img.kept == nil && len(read) == len(found.chain) || !errors.Is(err, ErrUnsound) && !errors.Is(err, replica.ErrDamaged) {
			return result, err
		}
		// What was kept may be to blame, or what an object says of its pages.
		use, read = func(note) bool { return false }, found.chain
	}
}

// fill makes img the database that chain leads to, with the digest want if that is not
// 0, and checks it.
func fill(ctx context.Context, r *replica.Replica, img *image, chain []plan.File, want digest.Digest, opts Options) (Result, error) {
	last := chain[len(chain)-1]
	a := applier{replica: r, image: img, txid: last.Max, noting: want != 0, tell: opts.Progress}
	if err := a.applyAll(ctx, chain); err != nil {
		return Result{}, err
	}
	if err := img.finish(want); err != nil {
		if errors.Is(err, ErrUnsound) {
			err = fmt.Errorf("%w; it is made of %s", err, list(chain))
		}
		return Result{}, err
	}
	if err := opts.Integrity.run(img.path()); err != nil {
		return Result{}, err
	}
	return Result{
		TXID: last.Max, Created: last.Created, PageSize: img.pageSize, Pages: img.commit, Bytes: img.size(),
		Objects: len(chain), Fetched: a.progress.Bytes - a.skipped, Kept: a.skipped,
		Digested: want != 0, Digest: img.hasher.Digest(img.commit),
	}, ctx.Err()
}

// mostNamed is how many objects an error names.
const mostNamed = 16

// list names the objects of a chain, the newest first.
func list(chain []plan.File) string {
	var names []string
	for _, f := range slices.Backward(chain) {
		if len(names) == mostNamed {
			names = append(names, fmt.Sprintf("and %d older ones", len(chain)-mostNamed))
			break
		}
		names = append(names, replica.Key(f.Level, f.Min, f.Max))
	}
	return strings.Join(names, ", ")
}

// way is what leads to a state.
type way struct {
	chain  []plan.File   // in the order of their TXIDs
	needed []plan.File   // those of them that have a page which no newer one has
	digest digest.Digest // of the state; 0 if none is known
}

// choose lists the replica's objects and returns those that lead to the target.
func choose(ctx context.Context, r *replica.Replica, target plan.Target) (w way, err error) {
	objects, err := r.All(ctx)
	if err != nil {
		return w, err
	}
	if w.chain, err = plan.Restore(replica.Files(objects), target); err != nil {
		return w, err
	}
	found := make(map[plan.File]replica.Object, len(objects))
	for _, o := range objects {
		found[o.File] = o
	}
	chain := make([]replica.Object, len(w.chain))
	for i, f := range w.chain {
		chain[i] = found[f]
	}
	w.digest = chain[len(chain)-1].Digest
	w.needed = w.chain
	if w.digest != 0 { // it tells whether what objects say of their pages is true
		w.needed = needed(chain)
	}
	return w, nil
}

// needed leaves out the objects of a chain whose pages all come again in newer ones,
// going by what they say.
func needed(chain []replica.Object) (files []plan.File) {
	var newer pageSet
	for i, o := range slices.Backward(chain) {
		superseded := i > 0 && i < len(chain)-1
		pages := o.ListedPages()
		for _, pgno := range pages {
			superseded = !newer.add(pgno) && superseded
		}
		if !superseded || len(pages) == 0 {
			files = append(files, o.File)
		}
	}
	slices.Reverse(files)
	return files
}

// Choose returns the objects that Run would read for target, in the order of their
// TXIDs.
func Choose(ctx context.Context, r *replica.Replica, target plan.Target) ([]plan.File, error) {
	w, err := choose(ctx, r, target)
	if err != nil {
		return nil, fmt.Errorf("restore %s: %w%s", describe(target), err, hint(err))
	}
	return w.needed, nil
}

// applier writes the objects of a chain into an image, the newest first: what a
// page was in an older one does not count any more.
type applier struct {
	replica  *replica.Replica
	image    *image
	txid     ltx.TXID // of the state that they lead to
	noting   bool     // how far it is may be noted for another restore
	tell     func(Progress)
	progress Progress
	told     int64 // bytes
	skipped  int64 // bytes of objects that need not be read
}

func (a *applier) applyAll(ctx context.Context, chain []plan.File) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.progress.ObjectsTotal = len(chain)
	objects := make([]replica.Object, 0, len(chain))
	for _, f := range slices.Backward(chain) {
		a.progress.BytesTotal += f.Size
		objects = append(objects, replica.Object{File: f})
	}
	var from int64
	if a.image.kept != nil {
		from = a.image.kept.Offset
	}
	ahead := startFetching(ctx, a.replica, objects, from)
	defer ahead.wait()
	defer cancel()
	for i, o := range objects {
		if err := a.apply(ctx, ahead.next(ctx, o), o, i == len(objects)-1); err != nil {
			return err
		}
		a.progress.Objects++
		a.report()
	}
	return nil
}

// apply writes the pages of o, whose bytes body yields. They count only when the
// whole object has been read and its checksum compared. last says that no older object
// follows.
func (a *applier) apply(ctx context.Context, body io.ReadCloser, o replica.Object, last bool) error {
	reader, err := replica.NewReader(body, o)
	if err != nil {
		return errors.Join(err, body.Close())
	}
	defer reader.Close() //nolint:errcheck // only read
	if a.image.pageSize == 0 {
		if err := a.image.begin(reader.PageSize(), reader.Commit()); err != nil {
			return err
		}
	}
	if size := reader.PageSize(); size != a.image.pageSize {
		return fmt.Errorf("%w: %s: page size %d before objects with %d", replica.ErrDamaged, o.Key(), size, a.image.pageSize)
	}
	if last && a.image.kept != nil {
		if err := a.keep(ctx, reader, *a.image.kept); err != nil {
			return err
		}
	}
	before, noted := a.progress.Bytes, a.skipped
	err = reader.Batches(func(b replica.Batch) error {
		if a.progress.Bytes = before + reader.Fetched(); a.progress.Bytes-a.told >= progressStep {
			a.report()
		}
		if err := errors.Join(a.image.write(b), ctx.Err()); err != nil || !last || !a.noting || b.End < noted+noteEvery {
			return err
		}
		noted = b.End
		return note{o.Key(), o.Size, a.txid, b.Pages[len(b.Pages)-1], b.End}.write(a.image.file, a.image.size())
	})
	a.progress.Bytes = before + reader.Fetched()
	return err
}

// keep takes over what an earlier restore has read of the object that reader reads, and
// goes on after it.
func (a *applier) keep(ctx context.Context, reader *replica.Reader, n note) error {
	if err := errors.Join(reader.Skip(n.Page, n.Offset), a.image.adopt(ctx, n.Page)); err != nil {
		return err
	}
	a.skipped = n.Offset - ltx.HeaderSize
	a.progress.Bytes += a.skipped
	return nil
}

func (a *applier) report() {
	a.told = a.progress.Bytes
	if a.tell != nil {
		a.tell(a.progress)
	}
}

// describe names what was asked for.
func describe(t plan.Target) string {
	switch {
	case t.TXID != 0:
		return "TXID " + t.TXID.String()
	case !t.At.IsZero():
		return "the state before " + t.At.UTC().Format(time.RFC3339Nano)
	}
	return "the latest state"
}

// hint says what to do about err where its message does not.
func hint(err error) string {
	switch {
	case errors.Is(err, plan.ErrEmpty):
		return "; check the replica's URL"
	case errors.Is(err, replica.ErrDamaged), errors.Is(err, ErrUnsound):
		return "; restore an earlier state with --txid or --at"
	case errors.Is(err, plan.ErrGap):
		return "; restore that one with --txid"
	case errors.Is(err, blob.ErrNotFound):
		return "; an object was removed meanwhile, so restore again"
	case strings.Contains(err.Error(), "; "):
		return ""
	case errors.As(err, new(*fs.PathError)):
		return "; choose another path, or make that one writable"
	}
	return ""
}
