package digest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// guard runs f, which reads or writes the mapping. The kernel answers a page that
// it cannot bring in, or has no room for, with a signal: here that is an error.
func (t *Table) guard(f func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch p := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }:
			err = t.fault("access", fmt.Errorf("%v", p))
		default:
			panic(p)
		}
	}()
	f()
	return nil
}

// grow makes room for commit pages. Where the disk has none for them the table
// goes on in memory alone: replication does not end for want of digests.
func (t *Table) grow(commit uint32) error {
	if t.capacity() >= commit {
		return nil
	}
	size := headerSize + entrySize*int64(commit)
	size += size / 8
	size = (size + growStep - 1) / growStep * growStep
	if t.file == nil && t.data == nil {
		if f, err := createFile(t.path); err == nil {
			t.file = f
		}
	}
	if t.file != nil {
		if err := t.growFile(size); err == nil {
			return nil
		}
	}
	return t.growMemory(size)
}

// createFile makes the file anew: one that is there is of no use.
func createFile(path string) (*os.File, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// growFile takes real space for size bytes, so that no store into the mapping
// finds the disk full, and maps them.
func (t *Table) growFile(size int64) error {
	if err := reserve(t.file, size); err != nil {
		return err
	}
	f, old := t.file, t.data
	if err := t.mapFile(f, size); err != nil {
		return err
	}
	if old == nil {
		return nil
	}
	return unix.Munmap(old)
}

// reserve makes f size bytes long, with space on disk for all of them.
func reserve(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	zeros := make([]byte, 64<<10)
	for at := info.Size(); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table) mapFile(f *os.File, size int64) error {
	data, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s: %w", t.path, err)
	}
	t.file, t.data = f, data
	return nil
}

// growMemory moves the table into memory of its own. The file stays as it is,
// with its mark.
func (t *Table) growMemory(size int64) error {
	data, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return fmt.Errorf("memory for %d bytes of page digests: %w", size, err)
	}
	if err := t.guard(func() { copy(data, t.data) }); err != nil {
		return errors.Join(err, unix.Munmap(data))
	}
	if t.data != nil {
		err = unix.Munmap(t.data)
	}
	if t.file != nil {
		err = errors.Join(err, t.file.Close())
	}
	t.file, t.data = nil, data
	return err
}

// moveToFile brings a table that went on in memory back to disk, in a new file.
func (t *Table) moveToFile() error {
	f, err := createFile(t.path)
	if err != nil {
		return err
	}
	if err := reserve(f, int64(len(t.data))); err != nil {
		return errors.Join(err, f.Close(), os.Remove(t.path))
	}
	memory := t.data
	if err := t.mapFile(f, int64(len(memory))); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := t.guard(func() { copy(t.data, memory) }); err != nil {
		return err
	}
	return errors.Join(unix.Munmap(memory), syncDir(filepath.Dir(t.path)))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
