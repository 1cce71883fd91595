package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/digest"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// open opens the copy and finds out which state it is.
func (f *follower) open(ctx context.Context) (err error) {
	resting := f.known.resting(f.opts.Output)
	if f.copy, err = openCopy(f.opts.Output); err != nil {
		f.copy = nil
		return err
	}
	if f.table, err = digest.Open(f.shelf.digests()); err != nil && f.table == nil {
		return err
	}
	f.known.Stamp = nil
	if err := f.shelf.save(f.known); err != nil {
		return err
	}
	if resting {
		ok, err := f.table.Verify(f.known.PageSize, f.known.Now.Commit, f.known.Now.Digest)
		if err != nil || ok {
			f.tell(Event{Kind: Resumed})
			return err
		}
	}
	return f.examine(ctx)
}

// examine reads the copy and compares it with what it should be. A change that was under
// way has become visible or not.
func (f *follower) examine(ctx context.Context) error {
	begun := time.Now()
	whole, err := f.copy.checkpoint()
	if err != nil {
		return err
	}
	if !whole {
		return fmt.Errorf("%w: a reader of an older state", errBusy)
	}
	if err := f.copy.settle(); err != nil {
		return err
	}
	got, err := f.addUp(ctx)
	if err != nil {
		return err
	}
	if next := f.known.Next; next != nil && got == next.Digest {
		f.known.Now = *next
	}
	if got != f.known.Now.Digest {
		return fmt.Errorf("%w: the digest of the copy is %s, that of TXID %s is %s", ErrUnsound, got, f.known.Now.TXID, f.known.Now.Digest)
	}
	f.known.Next = nil
	f.tell(Event{Kind: Resumed, Took: time.Since(begun)})
	return f.shelf.save(f.known)
}

// addUp fills the table with the digests of the copy's file, into which the log was copied.
func (f *follower) addUp(ctx context.Context) (digest.Digest, error) {
	info, err := f.copy.file.Stat()
	if err != nil {
		return 0, err
	}
	size := int(f.known.PageSize)
	commit := uint32(info.Size() / int64(size))
	f.table.Distrust()
	change, err := f.table.Begin(f.known.PageSize, commit)
	if err != nil {
		return 0, err
	}
	lock, buffer := ltx.LockPgno(f.known.PageSize), make([]byte, 1<<20)
	for first := uint32(1); first <= commit; first += uint32(len(buffer) / size) {
		n, err := f.copy.file.ReadAt(buffer, int64(first-1)*int64(size))
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for i := range uint32(n / size) {
			if pgno := first + i; pgno != lock {
				if err := change.Page(pgno, buffer[int(i)*size:int(i+1)*size]); err != nil {
					return 0, err
				}
			}
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
	return change.Digest(), change.Apply()
}

// look returns the objects that lead from the copy to a newer state, ascending; none if
// there is nothing newer.
func (f *follower) look(ctx context.Context) (chain []replica.Object, err error) {
	if time.Since(f.listed) < listEvery {
		for next := f.known.Now.TXID + 1; len(chain) < mostSingle; next++ {
			o, err := f.replica.Find(ctx, 0, next, next)
			if errors.Is(err, blob.ErrNotFound) {
				return chain, nil
			}
			if err != nil {
				return nil, err
			}
			chain = append(chain, o)
		}
	}
	objects, err := f.list(ctx)
	if err != nil {
		return nil, err
	}
	files, err := plan.Advance(replica.Files(objects), f.known.Now.TXID)
	return pick(objects, files), err
}

func (f *follower) list(ctx context.Context) ([]replica.Object, error) {
	objects, err := f.replica.All(ctx)
	if err == nil {
		f.listed = time.Now()
	}
	return objects, err
}

// pick returns the objects that files describe, in their order.
func pick(objects []replica.Object, files []plan.File) (picked []replica.Object) {
	for _, file := range files {
		i := slices.IndexFunc(objects, func(o replica.Object) bool { return o.File == file })
		picked = append(picked, objects[i])
	}
	return picked
}

// rewrite gives the copy all pages of the latest state, in one change.
func (f *follower) rewrite(ctx context.Context) error {
	objects, err := f.list(ctx)
	if err != nil {
		return err
	}
	files, err := plan.Restore(replica.Files(objects), plan.Target{})
	if err != nil {
		return err
	}
	if err := f.copy.accept(); err != nil {
		return err
	}
	f.table.Distrust()
	err = f.advance(ctx, pick(objects, files), true)
	if errors.Is(err, errPageSize) {
		return f.replace(ctx)
	}
	return err
}

// advance makes the copy what chain leads to, in one change. all says that chain gives all
// pages.
func (f *follower) advance(ctx context.Context, chain []replica.Object, all bool) error {
	begun := time.Now()
	a := &advance{follower: f, chain: chain, from: f.known.Now.Commit}
	if all {
		a.from = 0
	}
	if err := f.copy.change(f.known.PageSize, func(write func(uint32, []byte) error) (uint32, error) {
		a.write = write
		err := a.read(ctx)
		if err == nil {
			err = a.prove()
		}
		return a.commit, err
	}); err != nil {
		return err
	}
	if err := a.change.Apply(); err != nil {
		return err
	}
	f.known.Now, f.known.Next = *f.known.Next, nil
	f.tell(Event{Kind: Applied, Pages: a.pages, Objects: len(chain), Fetched: a.fetched, Took: time.Since(begun)})
	return f.shelf.save(f.known)
}

// advance is a change on its way to the copy.
type advance struct {
	follower *follower
	chain    []replica.Object
	from     uint32 // pages that the copy has
	write    func(pgno uint32, data []byte) error

	change  *digest.Change
	commit  uint32
	present pageSet
	pages   int
	fetched int64
}

// read writes the pages of the chain, of each its newest version.
func (a *advance) read(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	objects := slices.Clone(a.chain)
	slices.Reverse(objects)
	ahead := startFetching(ctx, a.follower.replica, objects, 0)
	defer ahead.wait()
	defer cancel()
	for _, o := range objects {
		if err := a.readOne(ctx, ahead.next(ctx, o), o); err != nil {
			return err
		}
	}
	return nil
}

func (a *advance) readOne(ctx context.Context, body io.ReadCloser, o replica.Object) error {
	reader, err := replica.NewReader(body, o)
	if err != nil {
		return errors.Join(err, body.Close())
	}
	defer reader.Close() //nolint:errcheck // only read
	size := reader.PageSize()
	if size != a.follower.known.PageSize {
		return fmt.Errorf("%w: %d bytes in %s, %d in the copy", errPageSize, size, o.Key(), a.follower.known.PageSize)
	}
	if a.change == nil {
		a.commit = reader.Commit()
		if a.change, err = a.follower.table.Begin(size, a.commit); err != nil {
			return err
		}
	}
	err = reader.Batches(func(b replica.Batch) error {
		for i, pgno := range b.Pages {
			if err := a.take(pgno, b.Data[i*int(size):(i+1)*int(size)]); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	a.fetched += reader.Fetched()
	return err
}

// take writes a page if it is part of the database and newer than all that was seen of it.
func (a *advance) take(pgno uint32, data []byte) error {
	if pgno > a.commit || !a.present.add(pgno) {
		return nil
	}
	a.pages++
	return errors.Join(a.change.Page(pgno, data), a.write(pgno, data))
}

// prove compares what the copy will be with what was shipped, and notes what it will be.
func (a *advance) prove() error {
	last := a.chain[len(a.chain)-1]
	lock := ltx.LockPgno(a.follower.known.PageSize)
	for pgno := a.from + 1; pgno <= a.commit; pgno++ {
		if pgno != lock && !a.present.has(pgno) {
			return fmt.Errorf("%w: no object has page %d of %d", ErrUnsound, pgno, a.commit)
		}
	}
	if a.pages == 0 && a.commit != a.from {
		return fmt.Errorf("%w: %s has no page and another length", ErrUnsound, last.Key())
	}
	got := a.change.Digest()
	if last.Digest != 0 && got != last.Digest {
		return fmt.Errorf("%w: its digest is %s, that of the state that was shipped as %s is %s", ErrUnsound, got, last.Key(), last.Digest)
	}
	a.follower.known.Next = &version{last.Max, last.Created, a.commit, got}
	return a.follower.shelf.save(a.follower.known)
}
