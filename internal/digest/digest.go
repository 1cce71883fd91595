// Package digest vouches for a database page by page.
//
// The digest of a page covers its bytes and its number, so that two pages that
// change places do not go unnoticed; the sum of all of them stands for the whole
// database and follows each change at the price of the pages that changed. A
// Table keeps the digests of what a replica holds beside the database: it tells
// which pages of the file differ from the replica without reading the replica,
// and what an object will say of the database as it is after it.
//
// A Table is never trusted because of where it was found. It counts only once
// its own sum has been compared with the digest in the newest object's metadata.
//
// Hash: XXH3 with 64 bits, https://github.com/Cyan4973/xxHash. It finds damage
// and mistakes, not forgery.
package digest

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/superfly/ltx"
	"github.com/zeebo/xxh3"
)

// Page returns the digest of page pgno with content data. The lock page has none:
// do not ask for it.
func Page(pgno uint32, data []byte) uint64 { return xxh3.HashSeed(data, uint64(pgno)) }

// Sum is the digests of a database's pages, added up modulo 2^64. The order in
// which pages are added does not matter.
type Sum uint64

// Digest is that of a whole database. 0 stands for one that is not known.
type Digest uint64

// Of returns the digest of a database of commit pages whose digests add up to
// sum.
func Of(sum Sum, pageSize, commit uint32) Digest {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(sum))
	binary.BigEndian.PutUint32(b[8:], pageSize)
	binary.BigEndian.PutUint32(b[12:], commit)
	return Digest(max(1, xxh3.Hash(b[:])))
}

// String returns d in 16 hex digits.
func (d Digest) String() string { return fmt.Sprintf("%016x", uint64(d)) }

// Parse reads what String wrote.
func Parse(s string) (Digest, error) {
	v, err := strconv.ParseUint(s, 16, 64)
	if err != nil || len(s) != 16 {
		return 0, fmt.Errorf("digest %q: want 16 hex digits", s)
	}
	return Digest(v), nil
}

// Hasher adds up the pages of one database, each given once, in any order.
type Hasher struct {
	PageSize uint32 // bytes
	sum      Sum
}

// Add adds a page. The lock page is passed over.
func (h *Hasher) Add(pgno uint32, data []byte) {
	if pgno != ltx.LockPgno(h.PageSize) {
		h.sum += Sum(Page(pgno, data))
	}
}

// Digest returns the digest of a database of commit pages, all of them added.
func (h *Hasher) Digest(commit uint32) Digest { return Of(h.sum, h.PageSize, commit) }
