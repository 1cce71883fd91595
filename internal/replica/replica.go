// Package replica keeps the history of one database as LTX objects in a blob
// store, in the layout of Litestream v0.5:
//
//	ltx/<level>/<min>-<max>.ltx      TXIDs as 16 hex digits; level 0 to 9
//
// It names, describes, writes, finds and reads objects. It never replaces one:
// every put is create-only, so whoever puts a TXID first owns it. It neither
// decides what to write or delete nor knows a live database.
//
// What the objects hold and what a reader may rely on: docs/replica-format.md.
package replica

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/digest"
	"github.com/holdfast-db/holdfast/internal/plan"
)

// Format is the newest format of a replica that this package reads and the one
// that it writes.
const Format = 1

// What a caller decides upon, beside the errors of package blob.
var (
	// ErrEmpty says that the replica holds no object.
	ErrEmpty = plan.ErrEmpty
	// ErrDamaged says that an object is not what its name and checksums promise.
	// The message names the object.
	ErrDamaged = errors.New("damaged object")
	// ErrNewerFormat says that a newer version of Holdfast wrote the object.
	ErrNewerFormat = errors.New("written in a newer format")
)

// Replica is the history of one database. Its methods are safe for concurrent
// use.
type Replica struct {
	store blob.Store
}

// New returns the replica at the root of store. It makes no request.
func New(store blob.Store) *Replica { return &Replica{store: store} }

// Object is one object of a replica with what its metadata says. An object that
// Litestream wrote has Format 0 and no Writer.
type Object struct {
	plan.File
	Format int
	Writer string    // 32 hex digits
	Chain  [2]uint32 // checksum words of the last frame in the log; zero when none was read
	Boot   string    // boot id of the machine that wrote it

	Instance string // of the writer that put the object: one of each process; may be empty

	Digest digest.Digest // of the whole database after the object; 0 when it does not say
	Pages  string        // which pages it holds, see ListedPages; empty when it does not say
}

// Key returns the name of o in its store.
func (o Object) Key() string { return Key(o.Level, o.Min, o.Max) }

// Objects returns the objects of one level, ascending.
func (r *Replica) Objects(ctx context.Context, level int) ([]Object, error) {
	return collect(r.list(ctx, root+strconv.Itoa(level)+"/"))
}

// All returns the objects of all levels, ascending by level and then by TXID.
func (r *Replica) All(ctx context.Context) ([]Object, error) {
	return collect(r.list(ctx, root))
}

func collect(list iter.Seq2[Object, error]) (objects []Object, err error) {
	for o, err := range list {
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return objects, nil
}

// list yields the objects below prefix, and ends after an error. What is not named
// like an object is not ours and is passed over.
func (r *Replica) list(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for info, err := range r.store.List(ctx, prefix) {
			if err != nil {
				yield(Object{}, fmt.Errorf("list objects: %w", err))
				return
			}
			if _, _, _, err := ParseKey(info.Key); err != nil {
				continue
			}
			object, err := decodeInfo(info)
			if !yield(object, err) || err != nil {
				return
			}
		}
	}
}

// Find describes one object. blob.ErrNotFound says that there is none.
func (r *Replica) Find(ctx context.Context, level int, minTXID, maxTXID ltx.TXID) (Object, error) {
	key := Key(level, minTXID, maxTXID)
	info, err := r.store.Stat(ctx, key)
	if err != nil {
		return Object{}, fmt.Errorf("find %s: %w", key, err)
	}
	info.Key = key
	return decodeInfo(info)
}

// Files returns what package plan needs to know of objects.
func Files(objects []Object) []plan.File {
	files := make([]plan.File, len(objects))
	for i, o := range objects {
		files[i] = o.File
	}
	return files
}

// Unchanged lists the surroundings of objects and returns those of them that are in the
// store as they were found before.
func (r *Replica) Unchanged(ctx context.Context, objects ...Object) (same []Object, err error) {
	there := make(map[string]Object)
	listed := make(map[string]bool)
	for _, o := range objects {
		prefix := surroundings(o)
		if listed[prefix] {
			continue
		}
		listed[prefix] = true
		for found, err := range r.list(ctx, prefix) {
			if err != nil {
				return nil, err
			}
			there[found.Key()] = found
		}
	}
	for _, o := range objects {
		if found, ok := there[o.Key()]; ok && found.is(o) {
			same = append(same, o)
		}
	}
	return same, nil
}

// surroundings is how the names of o and of some hundred others on its level begin, if
// they have about as many TXIDs each as merges of eight make.
func surroundings(o Object) string {
	digits := 14 - (3*o.Level+3)/4
	if o.Level == plan.SnapshotLevel {
		digits = 0
	}
	return o.Key()[:len(root)+len("0/")+digits]
}

// is tells whether two findings under one name are the same object.
func (o Object) is(p Object) bool {
	return o.Size == p.Size && o.Created.Equal(p.Created) && o.Stored.Equal(p.Stored) &&
		o.Writer == p.Writer && o.Instance == p.Instance && o.Digest == p.Digest
}

// Clock tells the time of the store that keeps r.
func (r *Replica) Clock(ctx context.Context) (time.Time, error) { return r.store.Clock(ctx) }

// Remove removes objects. Those that are gone are no error.
func (r *Replica) Remove(ctx context.Context, objects ...Object) error {
	keys := make([]string, len(objects))
	for i, o := range objects {
		keys[i] = o.Key()
	}
	if err := r.store.Delete(ctx, keys...); err != nil {
		return fmt.Errorf("remove %d objects from %s on: %w", len(keys), keys[0], err)
	}
	return nil
}
