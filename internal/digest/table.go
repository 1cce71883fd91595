package digest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/superfly/ltx"
	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"
)

// The file of a Table: a header and then 8 bytes for each page, little-endian, at
// headerSize + 8 * (page number - 1). The header is
//
//	 0  magic     8 bytes
//	 8  page size 4 bytes
//	12  commit    4 bytes: pages of the database at the mark
//	16  mark      8 bytes: TXID
//	24  check     8 bytes: XXH3 of the 24 bytes before
const (
	headerSize = 4096
	entrySize  = 8
	growStep   = 64 << 10 // bytes by which the file grows: 32 MiB of 4 KiB pages
	magic      = "HOLDDIG1"
)

// ErrUntrusted says that the table does not hold the digests that it should.
var ErrUntrusted = errors.New("page digests cannot be trusted")

// Table holds the digests of the pages that a replica's head holds, in a file
// that is mapped into memory: updating it is no system call. Not safe for
// concurrent use.
//
// Its content may be torn at any time by the end of the process or the machine.
// Mark brings it to disk together with the TXID that it belongs to; who opens it
// later makes it follow the objects after that TXID and then compares its sum
// (Verify).
type Table struct {
	path string
	file *os.File // nil while the digests are in memory alone
	data []byte   // mapped: the header, then the entries

	pageSize uint32
	commit   uint32 // pages that count
	sum      Sum    // of entries 1 to commit
	trusted  bool
}

// Open opens the table at path, or makes an empty one. It is not trusted before
// Verify or the first Change. No file is made before there is something to keep.
// Beside an error it returns a table too, which makes do without the file.
func Open(path string) (*Table, error) {
	t := &Table{path: path}
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	info, err := f.Stat()
	if err != nil {
		return t, errors.Join(err, f.Close())
	}
	if size := info.Size(); info.Mode().IsRegular() && size >= headerSize {
		if err := t.mapFile(f, size); err != nil {
			return t, errors.Join(err, f.Close())
		}
		return t, nil
	}
	return t, f.Close() // not ours, or torn at its birth; made anew when needed
}

// Close unmaps the table. What was set since the last Mark may or may not be
// found again.
func (t *Table) Close() error {
	var err error
	if t.data != nil {
		err = unix.Munmap(t.data)
	}
	if t.file != nil {
		err = errors.Join(err, t.file.Close())
	}
	*t = Table{path: t.path}
	return err
}

// Trusted tells whether the table is known to hold the digests of the replica's
// head.
func (t *Table) Trusted() bool { return t.trusted }

// Distrust makes the table worth nothing until it is verified or filled again.
func (t *Table) Distrust() { t.trusted = false }

// PageSize returns the size of the pages in bytes; 0 if nothing was kept yet.
func (t *Table) PageSize() uint32 { return t.pageSize }

// Commit returns how many pages the database has; 0 if nothing was kept yet.
func (t *Table) Commit() uint32 { return t.commit }

// Digest returns the digest of the database whose pages the table holds.
func (t *Table) Digest() Digest { return Of(t.sum, t.pageSize, t.commit) }

// Matches tells whether data is what the replica holds as page pgno. A page
// beyond the replica's end never does.
func (t *Table) Matches(pgno uint32, data []byte) (same bool, err error) {
	if pgno > t.commit {
		return false, nil
	}
	err = t.guard(func() { same = t.entry(pgno) == Page(pgno, data) })
	return same, err
}

// Verify adds up the entries of a database of commit pages and trusts them if
// that gives want, the digest that the replica's head names.
func (t *Table) Verify(pageSize, commit uint32, want Digest) (bool, error) {
	t.trusted = false
	if want == 0 || t.capacity() < commit {
		return false, nil
	}
	var sum Sum
	err := t.guard(func() {
		lock := ltx.LockPgno(pageSize)
		for pgno := uint32(1); pgno <= commit; pgno++ {
			if pgno != lock {
				sum += Sum(t.entry(pgno))
			}
		}
	})
	if err != nil || Of(sum, pageSize, commit) != want {
		return false, err
	}
	t.pageSize, t.commit, t.sum, t.trusted = pageSize, commit, sum, true
	return true, nil
}

// Marked returns the TXID whose digests were last brought to disk, and the number
// of pages at that time; 0 if that is not known or they had another page size.
// All entries that no object after that TXID touches are as they were then, unless a
// change that wrote into the table at once was given up: Verify tells.
func (t *Table) Marked(pageSize uint32) (txid ltx.TXID, commit uint32, err error) {
	if len(t.data) < headerSize {
		return 0, 0, nil
	}
	err = t.guard(func() {
		h := t.data[:32]
		if string(h[:8]) != magic || binary.LittleEndian.Uint64(h[24:]) != xxh3.Hash(h[:24]) {
			return
		}
		if binary.LittleEndian.Uint32(h[8:]) == pageSize {
			commit = binary.LittleEndian.Uint32(h[12:])
			txid = ltx.TXID(binary.LittleEndian.Uint64(h[16:]))
		}
	})
	return txid, commit, err
}

// Follow takes the entries as those of the marked state, without any proof: the
// caller applies the objects that came after it and then asks Verify.
func (t *Table) Follow(pageSize, commit uint32) {
	t.pageSize, t.commit, t.sum, t.trusted = pageSize, min(commit, t.capacity()), 0, false
}

// Mark brings the table to disk and notes that it belongs to txid.
func (t *Table) Mark(txid ltx.TXID) error {
	if !t.trusted {
		return nil
	}
	if t.file == nil {
		if err := t.moveToFile(); err != nil {
			return err
		}
	}
	if err := unix.Msync(t.data, unix.MS_SYNC); err != nil {
		return t.fault("sync", err)
	}
	if err := t.guard(func() { t.putHeader(txid) }); err != nil {
		return err
	}
	if err := unix.Msync(t.data[:headerSize], unix.MS_SYNC); err != nil {
		return t.fault("sync", err)
	}
	return nil
}

func (t *Table) putHeader(txid ltx.TXID) {
	h := t.data[:32]
	copy(h, magic)
	binary.LittleEndian.PutUint32(h[8:], t.pageSize)
	binary.LittleEndian.PutUint32(h[12:], t.commit)
	binary.LittleEndian.PutUint64(h[16:], uint64(txid))
	binary.LittleEndian.PutUint64(h[24:], xxh3.Hash(h[:24]))
}

// capacity returns how many pages have room.
func (t *Table) capacity() uint32 {
	return uint32(max(0, len(t.data)-headerSize) / entrySize)
}

func (t *Table) entry(pgno uint32) uint64 {
	return binary.LittleEndian.Uint64(t.data[headerSize+entrySize*int(pgno-1):])
}

func (t *Table) setEntry(pgno uint32, d uint64) {
	binary.LittleEndian.PutUint64(t.data[headerSize+entrySize*int(pgno-1):], d)
}

func (t *Table) fault(what string, err error) error {
	t.trusted = false
	return fmt.Errorf("%w: %s %s: %w", ErrUntrusted, what, t.path, err)
}
