// Package blob is the seam between Holdfast and the places that keep its
// objects: Azure Blob Storage, a directory, or memory.
//
// A Store is rooted at one replica: its keys are relative, use forward slashes
// and never start with one. Objects are never changed once they exist. Drivers
// live in the packages below this one, and package blobtest is the suite that
// each of them passes. Nothing here retries: drivers leave that to their SDK
// and, beyond a few seconds, to the caller.
package blob

import (
	"context"
	"io"
	"iter"
	"time"
)

// Metadata is what an object says about itself beside its bytes. Check states
// its rules. Drivers return keys in lower case, however the store spells them.
type Metadata map[string]string

// TimestampKey names the metadata entry with an object's time, in RFC 3339 with
// nanoseconds. The file driver keeps it as the modification time.
const TimestampKey = "litestreamtimestamp"

// Info describes one object.
type Info struct {
	Key      string
	Size     int64     // bytes
	Modified time.Time // when the store took it; the file driver keeps TimestampKey here
	Metadata Metadata
}

// Store keeps objects under keys. All methods are safe for concurrent use and
// return errors that match the sentinels of this package with errors.Is.
type Store interface {
	// Put creates key from all that body yields and returns its size in bytes.
	// It never replaces: ErrExists says that key is there, whatever its content.
	// That includes what this call itself stored when the store's answer got
	// lost; the caller reads the object to know. When Put returns nil the object
	// is durable and complete; a reader never sees a part of it. An error from
	// body ends the put and is returned; nothing exists under key then. After any
	// other error the object may exist, complete.
	//
	// What is stored of meta is what it holds when body has come to its end: a
	// caller may add to it until then, for what is only known at the end.
	Put(ctx context.Context, key string, body io.Reader, meta Metadata) (int64, error)

	// Get reads length bytes from offset; a negative length reads to the end.
	// A range beyond the end yields what there is. ErrNotFound says that there
	// is no such key. ctx bounds the reading too; its errors match like Get's.
	Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)

	// Stat describes key, with its metadata.
	Stat(ctx context.Context, key string) (Info, error)

	// List yields the objects whose keys begin with prefix, in ascending order
	// of their keys, with metadata. It ends after the first error.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]

	// Delete removes keys. One that does not exist is no error.
	Delete(ctx context.Context, keys ...string) error

	// Clock tells the store's own time, to a second or so, by a request.
	Clock(ctx context.Context) (time.Time, error)
}
