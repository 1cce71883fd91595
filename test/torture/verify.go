package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob/file"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
)

// shipWithin is how long the worker may take to ship all, once nothing is in its
// way.
const shipWithin = 30 * time.Second

// settle takes away what troubles replication, waits until all is shipped, and
// stops the worker in order.
func (r *rig) settle() error {
	r.note("settling")
	for range r.apps {
		if err := r.endReader(nil); err != nil {
			return err
		}
	}
	if r.disk != nil {
		if err := r.disk.grow(); err != nil {
			return err
		}
	}
	if err := errors.Join(r.freeDisk(nil), r.storeBack(nil), r.startWorker(), r.observe()); err != nil {
		return err
	}
	r.worker.order(orderRate + " 0")
	r.worker.order(orderBack)
	r.worker.order(orderResume)
	if err := r.awaitShipped(time.Now(), shipWithin); err != nil {
		return err
	}
	return r.stopWorker(nil)
}

// awaitShipped waits until the worker says that it has seen the database at or
// after since, and has shipped all of it.
func (r *rig) awaitShipped(since time.Time, within time.Duration) error {
	for end := time.Now().Add(within); time.Now().Before(end) && r.ctx.Err() == nil; time.Sleep(2 * time.Millisecond) {
		if err := r.worker.err(); err != nil {
			return err
		}
		pass, _ := r.worker.state()
		if p := pass.Progress; p.SyncedAt.After(since) && p.SpoolBytes == 0 && p.BehindBytes == 0 {
			return nil
		}
	}
	if err := r.ctx.Err(); err != nil {
		return err
	}
	pass, failure := r.worker.state()
	return fmt.Errorf("the worker did not ship all within %v: last pass %+v, last failure %s: %s", within, pass.Progress, failure.Type, failure.Text)
}

// restored is one restore of a seed.
type restored struct {
	image   image
	result  restore.Result
	bytes   []byte
	unsound error // what SQLite's own check found
}

// verify restores and compares: the latest state byte for byte, and others with
// the images that were taken.
func (r *rig) verify() error {
	if err := r.observe(); err != nil {
		return err
	}
	latest, want, err := r.observer.image()
	if err != nil {
		return err
	}
	source := replica.New(file.New(r.replica()))
	got, err := r.restore(source, plan.Target{})
	if err != nil {
		return fmt.Errorf("the latest state: %w", err)
	}
	if diff := firstDifference(got.bytes, want, latest.pageSize); diff != "" {
		return fmt.Errorf("the latest state, TXID %s, version %s: %s", got.result.TXID, latest.version, r.differ(diff, got, latest, want))
	}
	if err := r.judge(got); err != nil {
		return fmt.Errorf("the latest state: %w", err)
	}
	objects, err := source.All(r.ctx)
	if err != nil {
		return err
	}
	return r.verifyHistory(source, objects)
}

// differ adds to a difference what can be said of it, and keeps both databases.
func (r *rig) differ(diff string, got restored, latest image, want []byte) string {
	_ = os.WriteFile(filepath.Join(r.dir, "want.db"), want, 0o600)
	_ = os.WriteFile(filepath.Join(r.dir, "got.db"), got.bytes, 0o600)
	if got.image.masked == latest.masked && len(got.image.pages) == len(latest.pages) {
		diff += " (only leaves of the free list do)"
	}
	pages := latest.differing(got.image)
	return fmt.Sprintf("%s; %d of %d pages differ: %v; the restored version is %s", diff, len(pages), len(latest.pages), pages[:min(20, len(pages))], got.image.version)
}

// mostRestores bounds how many states of a seed are restored.
const mostRestores = 40

// verifyHistory restores earlier states in the order of their TXIDs. Each must
// be one that the database has had, none before the one of a lower TXID.
func (r *rig) verifyHistory(source *replica.Replica, objects []replica.Object) error {
	m := &matcher{images: r.record.ordered()}
	for _, txid := range r.someTXIDs(objects) {
		got, err := r.restore(source, plan.Target{TXID: txid})
		if err != nil {
			return fmt.Errorf("TXID %s: %w", txid, err)
		}
		if err := m.match(got.image); err != nil {
			return fmt.Errorf("TXID %s: %w", txid, errors.Join(err, got.unsound))
		}
		if err := r.judge(got); err != nil {
			return fmt.Errorf("TXID %s: %w", txid, err)
		}
	}
	r.tally.addN("state equal but for leaves of the free list", m.leaves)
	return r.verifyTimes(source, objects)
}

func (r *rig) someTXIDs(objects []replica.Object) []ltx.TXID {
	var all []ltx.TXID
	for _, o := range objects {
		all = append(all, o.Max)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	most := mostRestores
	if r.record.largest() > largeData {
		most /= 3 // they take their time
	}
	for len(all) > most {
		i := r.rand.IntN(len(all))
		all = slices.Delete(all, i, i+1)
	}
	return all
}

// verifyTimes restores to random times, and looks for the state that a listing
// says was the last before.
func (r *rig) verifyTimes(source *replica.Replica, objects []replica.Object) error {
	slices.SortFunc(objects, func(a, b replica.Object) int { return int(a.Max) - int(b.Max) })
	first, last := objects[0].Created, objects[len(objects)-1].Created
	for range 3 {
		at := first.Add(time.Duration(1 + r.rand.Int64N(int64(last.Sub(first)+time.Second))))
		var want ltx.TXID
		for _, o := range objects {
			if o.Created.Before(at) {
				want = o.Max
			}
		}
		got, err := r.restore(source, plan.Target{At: at})
		if err != nil {
			return fmt.Errorf("at %v: %w", at, err)
		}
		if got.result.TXID != want {
			return fmt.Errorf("at %v: got TXID %s, want %s", at, got.result.TXID, want)
		}
	}
	return nil
}

// restore restores target and checks what comes out.
func (r *rig) restore(source *replica.Replica, target plan.Target) (got restored, err error) {
	out := filepath.Join(r.dir, "restored.db")
	if got.result, err = restore.Run(r.ctx, source, restore.Options{Output: out, Target: target, Force: true}); err != nil {
		return got, err
	}
	r.tally.add("restored")
	if got.bytes, err = os.ReadFile(out); err != nil {
		return got, err
	}
	v, err := integrity(out)
	got.unsound = err
	got.image, err = newImage(got.bytes, v)
	return got, err
}

// brokenAtDeath counts how often that was so when all died, whether the worker had seen
// it or not.
const brokenAtDeath = "everything killed with a log that cannot be recovered"

// judge says what an unsound state means that is equal to what the source was: an
// older SQLite can leave a log that its own recovery cuts short, and the
// application's database is unsound then.
func (r *rig) judge(got restored) error {
	if got.unsound == nil {
		return nil
	}
	if r.tally.get("log: the log cannot be recovered after a crash: its application should use a newer SQLite")+r.tally.get(brokenAtDeath) == 0 {
		return fmt.Errorf("it is what the source was, and unsound: %w", got.unsound)
	}
	r.note("TXID %s is as unsound as the source was: %v", got.result.TXID, got.unsound)
	r.tally.add("state as unsound as the source was")
	return nil
}

// integrity has SQLite check a database file, and reads its version.
func integrity(path string) (v version, err error) {
	c, err := connect(path, "mode=ro", "immutable=1")
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	lines, err := c.run("PRAGMA integrity_check")
	if err != nil {
		return v, err
	}
	if found := strings.Join(lines, "; "); found != "ok" {
		return v, fmt.Errorf("integrity check: %.500s", found)
	}
	return c.version()
}
