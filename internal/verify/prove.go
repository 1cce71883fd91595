package verify

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
)

// ProofOptions say what to prove.
type ProofOptions struct {
	Replica *replica.Replica
	URL     string // of the replica, as it is shown
	Target  plan.Target
	Scratch string // directory with room for the database; empty for the system's
	Budget  int64  // bytes that may be read; 0 for no limit
	Check   Check  // the user's own; zero for none

	Progress func(read, total int64) // bytes, when it is set
}

// plannedAnew is how often a proof begins when objects that it was about to read are
// gone: maintenance has put others in their place.
const plannedAnew = 3

// Prove restores the target into scratch space and looks whether it is the database that
// was shipped, and sound. An error that matches ErrReplica, ErrDatabase, ErrCheck or
// ErrBudget says that it is not proven; any other one, that it could not be tried.
func Prove(ctx context.Context, o ProofOptions) (Proof, error) {
	begun := time.Now()
	p, err := prove(ctx, o)
	for try := 1; try < plannedAnew && errors.Is(err, blob.ErrNotFound); try++ {
		p, err = prove(ctx, o)
	}
	p.Took = time.Since(begun)
	if err != nil {
		return p, fmt.Errorf("prove %s: %w", o.URL, err)
	}
	p.At = time.Now().UTC().Truncate(time.Millisecond)
	return p, nil
}

func prove(ctx context.Context, o ProofOptions) (Proof, error) {
	target, known, err := o.choose(ctx)
	if err != nil {
		return Proof{}, blame(err)
	}
	s, err := openScratch(o.Scratch)
	if err != nil {
		return Proof{}, err
	}
	defer s.remove()
	file := filepath.Join(s.path, "proof.db")
	opts := restore.Options{Output: file, Target: target, Superseded: true}
	if o.Progress != nil {
		opts.Progress = func(p restore.Progress) { o.Progress(p.Bytes, p.BytesTotal) }
	}
	result, err := restore.Run(ctx, o.Replica, opts)
	if err != nil {
		return Proof{}, blame(unplaced{inScratch(err), file})
	}
	p := Proof{
		TXID: result.TXID, Created: result.Created, Digest: known,
		Pages: result.Pages, Bytes: result.Bytes, Objects: result.Objects, Read: result.Fetched,
	}
	err = o.look(ctx, file, &p)
	return p, err
}

// choose fixes the target, so that what is proven is what was planned with, and tells
// whether a digest of it is known.
func (o ProofOptions) choose(ctx context.Context) (target plan.Target, known bool, err error) {
	objects, err := o.Replica.All(ctx)
	if err != nil {
		return target, false, err
	}
	chain, err := plan.Restore(replica.Files(objects), o.Target)
	if err != nil {
		return target, false, err
	}
	var size int64
	for _, f := range chain {
		size += f.Size
	}
	if o.Budget > 0 && size > o.Budget {
		return target, false, fmt.Errorf("%w: a restore reads %d bytes, %d are left", ErrBudget, size, o.Budget)
	}
	last := chain[len(chain)-1]
	for _, each := range objects {
		known = known || each.File == last && each.Digest != 0
	}
	return plan.Target{TXID: last.Max}, known, nil
}

// look has SQLite check the restored file, and asks it the user's question.
func (o ProofOptions) look(ctx context.Context, file string, p *Proof) error {
	db := openCopy(file)
	defer db.Close() //nolint:errcheck // only read
	if err := integrity(ctx, db); err != nil {
		if errors.Is(err, ErrDatabase) && !p.Digest {
			return fmt.Errorf("%w: %v", ErrReplica, err) // not the database's alone, as it cannot be told
		}
		return err
	}
	if o.Check.SQL == "" {
		return nil
	}
	if err := o.Check.run(ctx, db); err != nil {
		return err
	}
	p.Checked = true
	return nil
}

// inScratch says of a disk without room what to do about it here.
func inScratch(err error) error {
	var full *restore.NoSpaceError
	if !errors.As(err, &full) {
		return err
	}
	return fmt.Errorf("%w: scratch space has %d bytes free, the database needs %d more; make room there, or name a directory that has it (maintenance.scratch for a worker, --scratch by URL)",
		restore.ErrNoSpace, full.Free, full.Need)
}

// unplaced is an error that does not say where the scratch space is, which is nobody's
// who reads it.
type unplaced struct {
	err  error
	file string
}

func (u unplaced) Error() string { return strings.ReplaceAll(u.err.Error(), u.file, "scratch space") }
func (u unplaced) Unwrap() error { return u.err }

// blame tells the replica's fault from what only kept us from trying.
func blame(err error) error {
	for _, fault := range []error{
		replica.ErrDamaged, restore.ErrUnsound, plan.ErrEmpty, plan.ErrTarget, plan.ErrNoSnapshot, plan.ErrGap, blob.ErrNotFound,
	} {
		if errors.Is(err, fault) {
			return fmt.Errorf("%w: %w", ErrReplica, err)
		}
	}
	return err
}
